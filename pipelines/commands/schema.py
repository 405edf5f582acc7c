"""`internvl-batch schema`: what a --config file may hold, as a JSON schema for editors."""

from __future__ import annotations

import json
import sys
import textwrap
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from internvl_ops.errors import ConfigurationError
from pipelines.commands.registry import COMMANDS, PROGRAM
from pipelines.options.command_line import exit_with, groups, show
from pipelines.options.config_file import bare
from pipelines.options.messages import nearest

# the newest that the YAML extensions of editors know in full
DRAFT = "http://json-schema.org/draft-07/schema#"
# Options that hold JSON themselves, which YAML can hold as an object.
_OBJECTS = ("json_schema",)


def with_config() -> list[str]:
    """Names of the commands that read a --config file."""
    return [name for name, command in COMMANDS.items() if command.options]


def main(program: str, argv: Sequence[str]) -> int:
    """Prints the schema of the command that the argument names."""
    names = with_config()
    if not argv or argv[0] in ("-h", "--help"):
        said = (
            COMMANDS["schema"].description,
            f"{program} COMMAND > COMMAND.schema.json",
            f"COMMAND is one of {', '.join(names)}.",
        )
        show("\n\n".join(textwrap.fill(part, 79) for part in said))
        return 0 if argv else 2
    if len(argv) > 1:
        exit_with(ConfigurationError(f"{' '.join(argv)}: give the name of one command alone."))
    if argv[0] not in names:
        exit_with(
            ConfigurationError(
                f"{argv[0]}: no command with a --config file; allowed are"
                f" {', '.join(names)}.{nearest(argv[0], names)}"
            )
        )
    show(text(argv[0]).rstrip())
    return 0


def text(command: str) -> str:
    """The schema of a command as it stands in docs/schemas/."""
    return json.dumps(config_schema(command), indent=1, ensure_ascii=False) + "\n"


def config_schema(command: str) -> dict[str, Any]:
    """What the --config file of a command may hold. No option is required, since flags may give
    it."""
    cls = COMMANDS[command].options_class()
    properties = cls.model_json_schema()["properties"]
    names = [name for names in groups(cls).values() for name in names]
    return {
        "$schema": DRAFT,
        "title": f"{PROGRAM} {command} --config",
        "description": COMMANDS[command].description,
        "type": "object",
        "properties": {
            name.replace("_", "-"): _property(cls, name, properties[name]) for name in names
        },
        "additionalProperties": False,
    }


def _property(cls: type[BaseModel], name: str, found: dict[str, Any]) -> dict[str, Any]:
    """One option, which takes all that `pipelines.options.config_file` takes for it."""
    kept = {key: value for key, value in found.items() if key not in ("title", "default")}
    field = cls.model_fields[name]
    annotation = bare(field.annotation)
    if typing.get_origin(annotation) is tuple:
        kept = {
            "description": kept["description"],
            "anyOf": [_list(), {"type": ["string", "number"]}],
        }
    elif annotation is bool and "anyOf" in kept:  # a switch that also takes a list
        kept = {
            "description": kept["description"],
            "anyOf": [{"type": ["boolean", "string"]}, _list()],
        }
    elif typing.get_origin(annotation) is dict:
        kept = {"description": kept["description"], "type": ["object", "string"]}
    elif annotation is str:
        types = ["string", "number", *(["object"] if name in _OBJECTS else [])]
        kept = {"description": kept["description"], "type": types}
    default = found.get("default")
    return kept if default in (None, "", [], {}) else kept | {"default": default}


def _list() -> dict[str, Any]:
    return {"type": "array", "items": {"type": ["string", "number"]}}


# python -m pipelines.commands.schema docs/schemas: renews the files there
if __name__ == "__main__":
    for one in with_config():
        Path(sys.argv[1], f"{one}.schema.json").write_text(text(one), encoding="utf-8")
