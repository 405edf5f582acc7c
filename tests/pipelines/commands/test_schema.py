"""JSON schemas of --config files: they take what the jobs take, and those in docs/schemas are
current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from internvl_ops.errors import ConfigurationError
from pipelines.commands.registry import COMMANDS
from pipelines.commands.schema import config_schema, text, with_config
from pipelines.options.command_line import build_options
from pipelines.options.config_file import read_config

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "docs" / "schemas"
SAMPLES = sorted((ROOT / "examples" / "configs").glob("*.yaml"))
NEEDED = {"input": "in", "output": "out", "model": "m"}


@pytest.mark.parametrize("command", with_config())
def test_the_schema_in_docs_is_current(command: str) -> None:
    schema = SCHEMAS / f"{command}.schema.json"
    assert schema.is_file(), "run make renew"
    assert schema.read_text() == text(command), "run make renew"


def test_no_schema_is_left_of_a_command_that_is_gone() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == {
        f"{command}.schema.json" for command in with_config()
    }


@pytest.mark.parametrize("command", with_config())
def test_each_is_a_schema(command: str) -> None:
    jsonschema.Draft7Validator.check_schema(config_schema(command))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_names_its_schema_and_its_job_takes_it(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET", "s3://papers")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)", sample.read_text())
    assert named is not None
    schema = json.loads((sample.parent / named[1]).read_text())
    jsonschema.validate(yaml.safe_load(sample.read_text()), schema)
    cls = COMMANDS[sample.stem].options_class()
    options = build_options(cls, read_config(str(sample), cls))
    assert not [
        value for value in (options.input, options.output) if "$" in value or value.startswith("~")
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"max-tiles": 6, "allow": "s3://a/", "temperature": 0.5},
        {"allow": ["s3://a/", "/b"], "engine-args": {"quantization": "awq"}, "overwrite": True},
        {"engine-args": '{"quantization": "awq"}', "pages": 3, "prompt": "What is it?"},
        {"retry-errors": "corrupt,refused"},
        {"retry-errors": ["corrupt"]},
        {"retry-errors": True, "limit": 5},
    ],
)
def test_what_a_job_takes_the_schema_takes(config: dict[str, Any]) -> None:
    build_options(COMMANDS["caption"].options_class(), NEEDED | config)
    jsonschema.validate(NEEDED | config, config_schema("caption"))


@pytest.mark.parametrize(
    "config",
    [
        {"max-tils": 6},
        {"max-tiles": 0},
        {"max-tiles": "many"},
        {"engine": "vlm"},
        {"overwrite": [1]},
    ],
)
def test_what_a_job_refuses_the_schema_refuses(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        build_options(COMMANDS["caption"].options_class(), NEEDED | config)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(NEEDED | config, config_schema("caption"))
