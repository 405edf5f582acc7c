"""Options: flags, --config, and errors that name option, value and what is allowed."""

import pytest

from internvl_ops.errors import KINDS, ConfigurationError
from pipelines.command_line import build_options, groups, parse_options
from pipelines.options import JobOptions

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
    assert "--max-tilez is no option of this job. Did you mean --max-tiles?" in refused(capsys, "--config", str(config))


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
    assert [name for name in JobOptions.model_fields if f"--{name.replace('_', '-')}" not in text] == []


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
    with pytest.raises(ConfigurationError, match=r"'corupt' is no kind of error\. Allowed are all, .* mean corrupt\?"):
        build_options(JobOptions, {"input": "m", "output": "o", "model": "x", "retry-errors": "timeout,corupt"})
