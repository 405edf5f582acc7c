"""From the command line and ``--config job.yaml`` to validated options, with errors a person can act on."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import safe_text

Options = TypeVar("Options", bound=BaseModel)
Mode = Literal["run", "dry-run", "estimate"]
MODES = {
    "dry-run": "Print the resolved options and the plan; start nothing.",
    "estimate": "Say from a sample of the input what all of it takes: GPU hours, price, CPU cores; start nothing.",
}


def parse_options(
    cls: type[Options],
    description: str,
    argv: list[str] | None = None,
    *,
    positional: str | None = None,
    modes: bool = True,
) -> tuple[Options, Mode]:
    """Reads the options of one job.

    Args:
        cls: The task's options.
        description: First paragraph of ``--help``.
        argv: Command line without the program's name; the process's own by default.
        positional: Name of a list of options that is given without a flag.
        modes: Whether there are flags for other than running.

    Returns:
        The options, and what is to be done.

    Raises:
        SystemExit: With status 2 where an option is wrong (said on standard error), with 0 after ``--help``.
    """
    parser = _parser(cls, description, positional, modes)
    given = vars(parser.parse_args(argv))
    mode = given.pop("mode", "run")
    config = given.pop("config", None)
    try:
        return build_options(cls, {**(_read_yaml(config) if config else {}), **given}), mode
    except ConfigurationError as error:
        exit_with(error)


def build_options(cls: type[Options], values: dict[str, Any]) -> Options:
    """Validates ``values`` (option names, dashes or underscores).

    Raises:
        ConfigurationError: Naming each wrong option, its value and what is allowed.
    """
    values = {name.replace("-", "_"): value for name, value in values.items()}
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_say(cls, detail) for detail in error.errors())) from None


def exit_with(error: Exception, status: int = 2) -> NoReturn:
    """Ends the process with a message on standard error; as a wrong configuration does, with status 2."""
    print(f"{Path(sys.argv[0]).name}: error: {safe_text(str(error))}", file=sys.stderr)
    sys.exit(status)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def groups(cls: type[BaseModel]) -> dict[str, list[str]]:
    """Field names by group, in the order of ``--help``."""
    found: dict[str, list[str]] = {}
    owners = [base for base in reversed(cls.__mro__) if issubclass(base, BaseModel) and base is not BaseModel]
    for name in cls.model_fields:
        # The class that first names a field gives its group: a task that narrows a default does not move the option.
        owner = next(base for base in owners if name in base.__annotations__)
        found.setdefault((owner.__doc__ or owner.__name__).splitlines()[0], []).append(name)
    order = [(base.__doc__ or base.__name__).splitlines()[0] for base in owners]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _parser(cls: type[BaseModel], description: str, positional: str | None, modes: bool) -> argparse.ArgumentParser:
    required = [flag(name) for name, field in cls.model_fields.items() if field.is_required() and name != positional]
    words = [*([f"{positional.upper()}…"] if positional else []), *(f"{name} …" for name in required)]
    parser = _Parser(
        usage=" ".join(["%(prog)s", *words, "[options]"]),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of the options below; flags win.")
    if modes:
        for mode, text in MODES.items():
            parser.add_argument(f"--{mode}", action="store_const", const=mode, dest="mode", help=text)
    if positional:
        parser.add_argument(positional, nargs="*", help=cls.model_fields[positional].description)
    for title, names in groups(cls).items():
        group = parser.add_argument_group(title)
        for name in names:
            if name == positional:
                continue
            _add(group, name, cls.model_fields[name])
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong, without a list of all options around it."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        unknown = [word for word in message.split() if word.startswith("--")] if "unrecognized" in message else []
        close = [match for word in unknown for match in difflib.get_close_matches(word, known, 1)]
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        self.exit(2, f"{self.prog}: error: {message}.{hint} --help lists the options.\n")


def _add(group: Any, name: str, field: Any) -> None:
    annotation = _without_none(field.annotation)
    text = field.description + (
        "" if field.default in (PydanticUndefined, None, (), {}) else f" (default: {field.default})"
    )
    if field.is_required():
        text += " (required)"
    text = text.replace("%", "%%")
    if annotation is bool and tuple[str, ...] in typing.get_args(field.annotation):
        group.add_argument(flag(name), nargs="?", const=True, metavar="KIND,KIND", help=text)
        group.add_argument(f"--no-{flag(name)[2:]}", dest=name, action="store_false", help=argparse.SUPPRESS)
    elif annotation is bool:
        group.add_argument(flag(name), action=argparse.BooleanOptionalAction, help=text)
    elif typing.get_origin(annotation) is tuple:
        group.add_argument(flag(name), action="append", metavar="PREFIX" if name == "allow" else "VALUE", help=text)
    elif typing.get_origin(annotation) is dict:
        group.add_argument(flag(name), type=_json_object, metavar="JSON", help=text)
    elif typing.get_origin(annotation) is typing.Literal:
        group.add_argument(flag(name), metavar="{" + ",".join(typing.get_args(annotation)) + "}", help=text)
    else:
        metavar = {int: "N", float: "X"}.get(annotation, name.upper())
        group.add_argument(flag(name), metavar=metavar, help=text)


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(arg for arg in typing.get_args(annotation) if arg is not type(None))
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object; write it as '{{\"name\": value}}'")
    return value


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigurationError(f"--config {path}: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"--config {path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"--config {path}: holds no options; write one a line, as in `max-tiles: 12`.")
    return {str(name): value for name, value in values.items()}


def _say(cls: type[BaseModel], detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    if detail["type"] == "missing":
        return f"{flag(name)} is required: {cls.model_fields[name].description}"
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, cls.model_fields, 1)
        return f"{flag(name)} is no option of this job." + (f" Did you mean {flag(close[0])}?" if close else "")
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{flag(name)} {detail['input']}: {message}."
