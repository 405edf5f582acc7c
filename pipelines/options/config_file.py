"""``--config job.yaml``: takes for each option what its flag takes; paths may have ``~`` and
``${VAR:-DEFAULT}``."""

from __future__ import annotations

import json
import os
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from internvl_ops.errors import ConfigurationError
from pipelines.flags import flag
from pipelines.options.yaml_nodes import check_nodes, json_value, pairs_of

# Options whose values are paths or addresses; `~` and `${VAR}` are replaced in them.
PATH_OPTIONS = frozenset({"input", "inputs", "output", "model", "media_root", "allow", "base_url",
                          "lora", "json_schema", "annotations", "subtitles", "drawings",
                          "ray_address"})  # fmt: skip
_VARIABLE = re.compile(r"\$(?:\$|\{([^}]*)(?:\}|$)|([A-Za-z_]\w*))")
_HOME = re.compile(r"^([\w.-]+=)?(~[^/\s]*)(?=/|$)")  # --lora also takes NAME=PATH


def read_config(path: str, cls: type[BaseModel]) -> dict[str, Any]:
    """The options in a YAML file, by field names.

    Args:
        path: Path of the file.
        cls: The options that the file may hold. Other names pass through, for `build_options` to
            refuse.

    Raises:
        ConfigurationError: The file cannot be read, is not YAML, names an option twice or a
            variable that is not set.
    """
    try:
        root = yaml.compose(
            Path(path).expanduser().read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader
        )
        if not isinstance(root, yaml.MappingNode):
            raise ConfigurationError(
                f"--config {path}: has no options; write one per line, as in `max-tiles: 12`."
            )
        check_nodes(root)
        found = pairs_of(root, spelled=lambda name: name.replace("-", "_"))
        values = {name: _value(name, node, cls) for name, node in found.items()}
    except OSError as error:
        raise ConfigurationError(f"--config {path}: {error.strerror}.") from None
    except RecursionError:
        raise ConfigurationError(f"--config {path}: nested too deep to be read.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"--config {path}: cannot be read: {error}") from None
    return {name: value for name, value in values.items() if value is not None}


def as_the_flag(cls: type[BaseModel], name: str, value: Any) -> Any:
    """Converts ``value`` to what the option's flag takes: one text becomes a list, a number a text,
    JSON an object."""
    if name not in cls.model_fields:
        return value
    annotation = bare(cls.model_fields[name].annotation)
    if typing.get_origin(annotation) is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        value = [_text(item) for item in values]
        return [_home(item) for item in value] if name in PATH_OPTIONS else value
    if typing.get_origin(annotation) is dict and isinstance(value, str):
        return json_object(name, value)
    if annotation is str:
        value = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else _text(value)
        return _home(value) if name in PATH_OPTIONS else value
    return value


def json_object(name: str, text: str) -> dict[str, Any]:
    """The JSON object in ``text``.

    Raises:
        ConfigurationError: The text is not a JSON object, or has a name twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{flag(name)} {text!r:.200} is not JSON ({error}).") from None
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"{flag(name)} {text!r:.200} is not a JSON object; write it as '{{\"name\": value}}'."
        )
    return value


def bare(annotation: Any) -> Any:
    """A field's type without None and without its limits."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(arg for arg in typing.get_args(annotation) if arg is not type(None))
    return (
        typing.get_args(annotation)[0]
        if typing.get_origin(annotation) is typing.Annotated
        else annotation
    )


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    return found


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _value(name: str, node: Any, cls: type[BaseModel]) -> Any:
    """The value of a node. Text stays as written: YAML would turn `no` into False and `010` into
    8."""
    known = cls.model_fields.get(name)
    if isinstance(node, yaml.MappingNode):
        return json_value(node)
    if isinstance(node, yaml.SequenceNode):
        found = [_value(name, item, cls) for item in node.value]
        return ["" if item is None else item for item in found]
    if node.tag == "tag:yaml.org,2002:null" and node.style is None:
        return None
    if (
        node.tag == "tag:yaml.org,2002:bool"
        and known is not None
        and bare(known.annotation) is bool
    ):
        return json_value(node)  # a switch, which may take more than a switch
    return _variables(name, node.value) if name in PATH_OPTIONS else node.value


def _variables(name: str, text: str) -> str:
    if name == "json_schema" and text.lstrip().startswith("{"):
        return text  # the schema itself, with its $ref

    def replace(found: re.Match[str]) -> str:
        if found[1] is not None and not found[0].endswith("}"):
            raise ConfigurationError(
                f"--config: {name.replace('_', '-')}: {text}: the brace is not closed. Close it, or"
                " write $$ for a dollar sign."
            )
        variable = found[1] if found[1] is not None else found[2]
        if variable is None:
            return "$"
        variable, with_default, default = variable.partition(":-")
        if with_default and not os.environ.get(variable):
            return default
        if variable not in os.environ:
            key = name.replace("_", "-")
            raise ConfigurationError(
                f"--config: {key}: {text}: the environment variable {variable} is not set. Set it,"
                " or write $$ for a dollar sign."
            )
        return os.environ[variable]

    return _VARIABLE.sub(replace, text)


def _home(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    return _HOME.sub(lambda found: (found[1] or "") + os.path.expanduser(found[2]), text, count=1)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
