"""Options: flags, --config, and errors that name option, value and what is allowed."""

import re
import socket

import pytest

from internvl_ops.engines.arguments import check_names, transformers_names, vllm_names
from internvl_ops.errors import KINDS, ConfigurationError
from pipelines.commands.registry import COMMANDS
from pipelines.options.command_line import build_options, groups, parse_options
from pipelines.options.job_options import JobOptions
from pipelines.options.rules import check_options, check_outcome
from pipelines.ray_address import check_address, check_listening, check_ray_job

NEEDED = ["--input", "in.jsonl", "--output", "out", "--model", "m"]


def parse(*argv):
    return parse_options(JobOptions, "A job.", [*NEEDED, *argv])


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        parse(*argv)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_flags_are_typed():
    options, mode = parse(
        "--max-tiles",
        "6",
        "--allow",
        "s3://a/",
        "--allow",
        "/b",
        "--engine-args",
        '{"quantization": "awq"}',
        "--overwrite",
    )
    assert (options.max_tiles, options.allow, options.engine_args, options.overwrite, mode) == (
        6,
        ("s3://a/", "/b"),
        {"quantization": "awq"},
        True,
        "run",
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--overwrite", "yes"], "--overwrite takes no value"),
        (["--overwrite=yes"], "--overwrite takes no value"),
        (["--verbose", "--overwrite", "1", "--seed", "3"], "--overwrite takes no value"),
        (["more.csv"], "Values need an option, as in --input more.csv"),
        (["--prompt"], "Give a value after it"),
        (["--stop", "--verbose"], "needs an equals sign: --stop=-value"),
        (["-o", "x"], "unrecognized arguments: -o"),
        (["--batch-size", "8"], "Did you mean --in-flight?"),
        (["--tensor-parallel-size=2"], "Did you mean --gpus-per-engine?"),
        (["--question", "Why?"], "Did you mean --prompt?"),
        (["--max_tokens", "8"], "Did you mean --max-new-tokens?"),
        (["--retry-errors", "now"], "engine_failed, bad_answer, storage.\n"),
        (["--engine", ""], "--engine '': must be"),
    ],
)
def test_what_newcomers_write(capsys, argv, said):
    assert said in refused(capsys, *argv)


@pytest.mark.parametrize("word", ["--boxes", "--colour", "--fast", "--x"])
def test_nothing_is_suggested_at_random(capsys, word):
    assert "Did you mean" not in refused(capsys, word, "1")


@pytest.mark.parametrize(
    ("given", "name"),
    [({"prompt": ""}, "prompt"), ({"prompt": " \n"}, "prompt"), ({"stop": ("a", "")}, "stop")],
)
def test_texts_without_a_sign_are_refused(given, name):
    """An empty stop text would end every answer before it begins."""
    options = JobOptions(input="in.jsonl", output="out", model="m", **given)
    with pytest.raises(ConfigurationError, match=f"--{name} is empty"):
        check_options(options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_new_tokens": 500, "max_new_tokens": 100}, "--max-new-tokens 100"),
        ({"min_new_tokens": 100_000}, "tokens that an answer of caption may have"),
    ],
)
def test_an_answer_cannot_be_longer_at_least_than_at_most(given, said):
    cls = COMMANDS["caption"].options_class()
    options = build_options(cls, {"input": "i", "output": "o", "model": "m", **given})
    with pytest.raises(ConfigurationError, match="is above") as error:
        check_outcome(options, options.make_task("image", []))
    assert said in str(error.value)


@pytest.mark.parametrize("mode", ["dry-run", "estimate"])
def test_other_things_than_running(mode):
    assert parse(f"--{mode}")[1] == mode


def test_config_file_sets_any_option_and_flags_win(tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text("max-tiles: 24\ntemperature: 0.5\nallow: [s3://other/]\n")
    options, _ = parse("--config", str(config), "--max-tiles", "3")
    assert (options.max_tiles, options.temperature, options.allow) == (3, 0.5, ("s3://other/",))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--max-tiles", "0"], ["--max-tiles 0", "greater than or equal to 1"]),
        (["--max-tiles", "41"], ["--max-tiles 41", "less than or equal to 40"]),
        (["--max-tiles", "many"], ["--max-tiles many", "must be a whole number"]),
        (["--input-format", "xml"], ["--input-format xml", "parquet", "jsonl", "files"]),
        (["--engine-args", "{"], ["--engine-args", "not JSON"]),
        (["--engine-args", "[1]"], ["--engine-args", "JSON object"]),
        (["--max-error-rate", "1.5"], ["--max-error-rate 1.5", "less than or equal to 1"]),
        (["--config", "/nowhere.yaml"], ["--config /nowhere.yaml", "No such file"]),
        (["--max-tile", "3"], ["--max-tile"]),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(capsys, argv, said):
    message = refused(capsys, *argv)
    assert all(part in message for part in said), message


def test_unknown_key_in_a_config_file_suggests_the_nearest(tmp_path, capsys):
    config = tmp_path / "job.yaml"
    config.write_text("max-tilez: 3\n")
    assert "--max-tilez is not an option of this job. Did you mean --max-tiles?" in refused(
        capsys, "--config", str(config)
    )


def test_every_wrong_option_is_said_at_once():
    with pytest.raises(ConfigurationError) as error:
        build_options(JobOptions, {"input": "i", "output": "o", "max-tiles": 0, "temperature": 9})
    assert all(name in str(error.value) for name in ("--model", "--max-tiles 0", "--temperature 9"))


def test_help_is_grouped_and_complete(capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--help")
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert [title for title in groups(JobOptions) if f"{title}:" not in text] == []
    assert [
        name for name in JobOptions.model_fields if f"--{name.replace('_', '-')}" not in text
    ] == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], False),
        (["--retry-errors"], True),
        (["--retry-errors", "corrupt"], ("corrupt",)),
        (["--retry-errors=refused, not_found"], ("refused", "not_found")),
        (["--retry-errors", "all"], KINDS),
        (["--retry-errors", "--no-retry-errors"], False),
    ],
)
def test_errors_are_run_again_by_kind(words: list[str], meant: object) -> None:
    assert parse(*words)[0].retry_errors == meant
    in_yaml = list(meant) if isinstance(meant, tuple) else meant
    config = {"input": "m", "output": "o", "model": "x", "retry-errors": in_yaml}
    assert build_options(JobOptions, config).retry_errors == meant


def test_a_kind_of_error_that_is_none_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"'corupt' is not a kind of error\. Allowed are all, .* mean corrupt\?",
    ):
        build_options(
            JobOptions,
            {"input": "m", "output": "o", "model": "x", "retry-errors": "timeout,corupt"},
        )


@pytest.mark.parametrize("command", [name for name, row in COMMANDS.items() if row.modes])
def test_help_says_what_is_true_on_a_terminal_of_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    cls = COMMANDS[command].options_class()
    with pytest.raises(SystemExit):
        COMMANDS[command].execute(f"internvl-batch {command}", ["--help"])
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert [
        wrong for wrong in ("(default: )", "(default: False)", "(default: None)") if wrong in text
    ] == []
    assert re.findall(r"\w-\n", text) == []  # a word that is broken
    flat = " ".join(text.split())
    for name, field in cls.model_fields.items():
        offered = name not in getattr(cls, "left_out", {})
        if (
            offered
            and isinstance(field.default, int | float)
            and not isinstance(field.default, bool)
        ):
            assert f"--{name.replace('_', '-')} " in flat
            assert f"(default: {field.default})" in flat
    own = [title for title in groups(cls) if title not in groups(JobOptions)]
    assert text.index(own[0] + ":") < text.index("Input:")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--engine", "vlm"], "Did you mean vllm?"),
        (["--phrase", "a dog"], "It is an option of the command ground."),
        (["--temprature", "1"], "Did you mean --temperature?"),
        (["--prompt", "-x"], "--prompt=-value"),
        (["--gpu", "h100"], "--gpu is for --estimate alone"),
    ],
)
def test_what_was_meant_is_said(capsys, argv, said):
    assert said in refused(capsys, *argv)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_tiles": 8, "max_tiles": 2}, "--min-tiles 8 is above --max-tiles 2"),
        ({"n": 3}, "--n 3 at --temperature 0"),
        ({"overwrite": True, "retry_errors": True}, "--retry-errors has no effect"),
        ({"overwrite": True, "refresh": "changed"}, "--refresh changed has no effect"),
        ({"retries": 0, "retry_cut": False}, "--no-retry-cut has no effect"),
        ({"autoscaling": True}, "--autoscaling"),
        ({"engine": "openai", "trust_remote_code": True}, "--trust-remote-code has no effect"),
        ({"engine": "openai", "revision": "main"}, "--revision main has no effect"),
    ],
)
def test_options_that_contradict_each_other_or_do_nothing_are_refused(given, said):
    options = build_options(JobOptions, {"input": "i", "output": "o", "model": "m", **given})
    with pytest.raises(ConfigurationError) as error:
        check_options(options)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://head:8265", "dashboard"),
        ("https://head", "dashboard"),
        ("nonsense", "no address"),
        ("head:99999", "no address"),
        ("head:port", "no address"),
        ("ray:/head:1", "no address"),
        ("head:6379", None),
        ("ray://head:10001", None),
        ("[::1]:6379", None),
        ("auto", None),
        ("local", None),
        ("", None),
    ],
)
def test_addresses_of_ray(address, said, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    options = build_options(JobOptions, {"input": "i", "output": "o", "model": "m"})
    if said is None:
        return check_address(options)
    with pytest.raises(ConfigurationError, match=said):
        check_address(options)


def test_an_address_where_nothing_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigurationError, match="nothing listens there"):
            check_listening(f"127.0.0.1:{unused.getsockname()[1]}", "--ray-address")


def test_relative_paths_in_a_job_that_was_submitted(monkeypatch):
    options = build_options(JobOptions, {"input": "/i", "output": "rel-out", "model": "org/m"})
    check_ray_job(options)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(ConfigurationError, match="--output rel-out"):
        check_ray_job(options)
    check_ray_job(options.model_copy(update={"output": "s3://b/out"}))


@pytest.mark.parametrize(
    ("engine", "names"), [("vllm", vllm_names), ("transformers", transformers_names)]
)
def test_names_of_engine_arguments(engine, names):
    known = names()
    assert {"vllm": "quantization", "transformers": "attn_implementation"}[engine] in known
    check_names(engine, known, known)
    with pytest.raises(ConfigurationError, match=rf"`engine`={engine}\. Did you mean 'revision'"):
        check_names(engine, ["revison"], known)
    described = {"vllm": "EngineArgs", "transformers": "from_pretrained"}[engine]
    with pytest.raises(ConfigurationError, match=described):
        check_names(engine, ["qqqqq"], known)
