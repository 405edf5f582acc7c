"""--config: takes what the flags take, with home folders and variables in paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.options.command_line import build_options, parse_options
from pipelines.options.config_file import read_config
from pipelines.options.tasks import job_options

Options = job_options("ask")

NEEDED = "input: in.jsonl\noutput: out\nmodel: m\n"
# Aliases of aliases: a few lines that stand for billions of values.
LAUGHS = "engine-args:\n  a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  {new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def read(tmp_path: Path, text: str) -> Options:
    file = tmp_path / "job.yaml"
    file.write_text(NEEDED + text)
    return build_options(Options, read_config(str(file), Options))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("stop: END", "stop", ("END",)),
        ("stop: [1, '2']", "stop", ("1", "2")),
        ("allow: s3://x/", "allow", ("s3://x/",)),
        ("choices: [yes, no]", "choices", ("yes", "no")),  # which YAML takes for True and False
        ("choices: [on, 1.0, 2024-01-01, null]", "choices", ("on", "1.0", "2024-01-01", "")),
        ("pages: 7", "pages", "7"),
        ("prompt: 010", "prompt", "010"),
        ("prompt: $5 for ~/x?", "prompt", "$5 for ~/x?"),
        ("engine-args: '{\"a\": 1}'", "engine_args", {"a": 1}),
        ("engine_args: {a: 1, b: yes, c: [0.5, x], d: {e: null}}", "engine_args",
         {"a": 1, "b": True, "c": [0.5, "x"], "d": {"e": None}}),
        ("json-schema: {type: object}", "json_schema", '{"type": "object"}'),
        ("max-bytes: 1_000_000", "max_bytes", 1_000_000),
        ("temperature: 1", "temperature", 1.0),
        ("overwrite: yes", "overwrite", True),
        ("overwrite: 'false'", "overwrite", False),
        ("retry-errors: true", "retry_errors", True),
        ("retry-errors: no", "retry_errors", False),
        ("retry-errors: corrupt,refused", "retry_errors", ("corrupt", "refused")),
        ("retry-errors: [corrupt]", "retry_errors", ("corrupt",)),
        ("limit: null", "limit", None),
        ("engine-args: {<<: {a: 1, b: 2}, b: 3}", "engine_args", {"a": 1, "b": 3}),
        ("stop: &s [a, b]\nchoices: *s", "choices", ("a", "b")),
        ("engine-args: {a: 2024-01-01, b: 1:30}", "engine_args", {"a": "2024-01-01", "b": "1:30"}),
        ("json-schema: {const: 2024-01-01}", "json_schema", '{"const": "2024-01-01"}'),
        ('prompt: "\\ud83d\\ude00?"', "prompt", "😀?"),
        ("max-tiles: ~", "max_tiles", 12),
        ("stop:", "stop", ()),
    ],
)  # fmt: skip
def test_a_key_takes_what_the_flag_takes(tmp_path: Path, text: str, name: str, value: Any) -> None:
    assert getattr(read(tmp_path, text), name) == value


@pytest.mark.parametrize(
    ("values", "name", "value"),
    [({"stop": "END"}, "stop", ("END",)), ({"pages": 7}, "pages", "7"),
     ({"engine-args": "{}"}, "engine_args", {}), ({"stop": [1, "b"]}, "stop", ("1", "b")),
     ({"media-root": "~/m"}, "media_root", "/home/me/m"),
     ({"lora": "a=~/m"}, "lora", "a=/home/me/m"), ({"allow": ["~/p/"]}, "allow", ("/home/me/p/",)),
     ({"prompt": "~"}, "prompt", "~"), ({"model": "s3~x/y"}, "model", "s3~x/y")],
)  # fmt: skip
def test_values_of_programs_are_taken_likewise(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], name: str, value: Any
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    needed = {"input": "i", "output": "o", "model": "m"}
    assert getattr(build_options(Options, needed | values), name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("media-root: ~/pictures", "media_root", "/home/me/pictures"),
        ("media-root: ${DATA}/pictures", "media_root", "/data/pictures"),
        ("media-root: $DATA/pictures", "media_root", "/data/pictures"),
        ("media-root: ${NOT_SET:-/other}/pictures", "media_root", "/other/pictures"),
        ("media-root: ${DATA:-/other}/pictures", "media_root", "/data/pictures"),
        ("media-root: s3://b/$${DATA}", "media_root", "s3://b/${DATA}"),
        ("allow: ['${DATA}/', ~/x]", "allow", ("/data/", "/home/me/x")),
        ("lora: name=~/adapter", "lora", "name=/home/me/adapter"),
        ("json-schema: ${DATA}/s.json", "json_schema", "/data/s.json"),
        ("""json-schema: '{"$ref": "#"}'""", "json_schema", '{"$ref": "#"}'),
        ("prompt: ${DATA}", "prompt", "${DATA}"),
    ],
)
def test_home_and_variables_in_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, name: str, value: Any
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    assert getattr(read(tmp_path, text), name) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("media-root: ${NOT_SET}/x", ["NOT_SET is not set", "media-root", "$$"]),
        ("media-root: /x/${DATA", ["media-root", "brace is not closed", "$$"]),
        ("dry-run: true", ["--dry-run is a flag of the command line alone"]),
        ("config: other.yaml", ["--config is a flag of the command line alone"]),
        ("max-tiles: 3\nmax-tiles: 4", ["max-tiles is there twice", "line 5"]),
        ("max-tiles: 3\nmax_tiles: 4", ["max_tiles is there twice"]),
        ("engine-args: {a: 1, a: 2}", ["a is there twice", "line 4"]),
        ("engine-args: &a {b: *a}", ["within themselves", "line 4"]),
        ("stop: &a [*a]", ["within themselves"]),
        ("engine-args: {a: " + "[" * 2_000 + "]" * 2_000 + "}", ["nested too deep"]),
        (LAUGHS, ["more than 100,000 values"]),
        ("prompt: !env HOME", ["the tag !env is not read", "line 4"]),
        (
            "engine-args: {a: !!python/name:os.system }",
            ["the tag !!python/name:os.system is not read"],
        ),
        ("engine-args: {a: !!binary aGVsbG8=}", ["the tag !!binary is not read"]),
        ("engine-args: {a: .nan}", [".nan is no JSON value"]),
        ("engine-args: '{\"a\": Infinity}'", ["--engine-args", "Infinity is no JSON value"]),
        ("? [a, b]\n: 1", ["a name is no text"]),
        ("'': 1", ["a name is no text"]),
        ('prompt: "cut \\ud83d"', ["--prompt", "not UTF-8"]),
        ('media-root: "a\\0b"', ["--media-root", "a null character"]),
        ('engine-args: {a: ["\\ud83d"]}', ["--engine-args", "not UTF-8"]),
        (f"limit: {10**30}", ["--limit", "must be less than or equal to"]),
        (f"seed: {2**63}", ["--seed", "must be less than"]),
        (f"fetch-timeout: {10**12}", ["--fetch-timeout", "must be less than or equal to"]),
        (f"in-flight: {2**31}", ["--in-flight", "must be less than or equal to"]),
        ("dpi: inf", ["--dpi", "not infinite"]),
        ("temperature: nan", ["--temperature", "not infinite"]),
        ('engine-args: \'{"a": 1, "a": 2}\'', ["--engine-args", "'a' is there twice"]),
        ("engine-args: '[1]'", ["--engine-args", "JSON object"]),
        ("max-tiles: [1, 2]", ["--max-tiles", "whole number"]),
        ("prompt: [a, b]", ["--prompt", "must be a text"]),
        ("stop: {a: b}", ["--stop"]),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    assert all(part in str(refused.value) for part in said), str(refused.value)
    assert "tuple" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"- a\n- b\n", b"a: [", b"", b"a: 1\n---\nb: 2\n"]
)
def test_a_file_that_holds_no_options(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        parse_options(Options, "A job.", ["--config", str(tmp_path / "job.yaml")])
    assert ended.value.code == 2
    assert "--config" in capsys.readouterr().err
