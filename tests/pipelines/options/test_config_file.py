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
        ("max-tiles: ~", "max_tiles", 12),
        ("stop:", "stop", ()),
    ],
)  # fmt: skip
def test_a_key_takes_what_the_flag_takes(tmp_path: Path, text: str, name: str, value: Any) -> None:
    assert getattr(read(tmp_path, text), name) == value


@pytest.mark.parametrize(
    ("values", "name", "value"),
    [({"stop": "END"}, "stop", ("END",)), ({"pages": 7}, "pages", "7"), ({"engine-args": "{}"}, "engine_args", {}),
     ({"stop": [1, "b"]}, "stop", ("1", "b")), ({"media-root": "~/m"}, "media_root", "/home/me/m"),
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
        ("max-tiles: 3\nmax-tiles: 4", ["max-tiles is there twice", "line 5"]),
        ("max-tiles: 3\nmax_tiles: 4", ["max_tiles is there twice"]),
        ("engine-args: {a: 1, a: 2}", ["'a' is there twice"]),
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


@pytest.mark.parametrize("content", [b"\xff\xfe", b"- a\n- b\n", b"a: [", b"", b"a: 1\n---\nb: 2\n"])
def test_a_file_that_holds_no_options(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        parse_options(Options, "A job.", ["--config", str(tmp_path / "job.yaml")])
    assert ended.value.code == 2
    assert "--config" in capsys.readouterr().err
