"""From the command line and ``--config job.yaml`` to validated options, with errors that say what
to change."""

from __future__ import annotations

import argparse
import difflib
import functools
import os
import sys
import textwrap
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from internvl_ops.errors import ConfigurationError, well_formed
from internvl_ops.stores.redaction import safe_text
from pipelines.flags import flag, in_flags
from pipelines.options.config_file import as_the_flag, bare, json_object, read_config
from pipelines.options.job_options import EstimateOptions, JobOptions
from pipelines.options.messages import in_words, nearest, version, whose_option

OptionsT = TypeVar("OptionsT", bound=BaseModel)
Mode = Literal["run", "dry-run", "estimate"]
MODES = {
    "dry-run": "Print the resolved options and the plan; start nothing.",
    "estimate": (
        "Estimate GPU hours, price and CPU cores for the whole input from a sample; start nothing."
    ),
}
_FLAGS_ALONE = ("dry_run", "estimate", "config", "help", "version")
# A price is also for the record of a run.
_FOR_ESTIMATE = frozenset(EstimateOptions.model_fields) - {"price_per_gpu_hour"}


def parse_options(
    cls: type[OptionsT],
    description: str,
    argv: list[str] | None = None,
    *,
    positional: str | None = None,
    modes: bool = True,
    program: str | None = None,
) -> tuple[OptionsT, Mode]:
    """Reads the options of one job.

    Args:
        cls: The task's options.
        description: First paragraph of ``--help``.
        argv: Command line without the program's name; the process's own by default.
        positional: Name of a list of options that is given without a flag.
        modes: Whether the command has flags for a dry run and an estimate.
        program: Name of the program in ``--help``; the name of the process's file by default.

    Returns:
        The options and the mode.

    Raises:
        SystemExit: With status 2 if an option is wrong, after a message on standard error; with 0
            after ``--help``.
    """
    parser = make_parser(cls, description, positional=positional, modes=modes, program=program)
    given = vars(parser.parse_args(argv))
    mode = given.pop("mode", "run")
    config = given.pop("config", None)
    if positional and not given.get(positional):
        given.pop(positional, None)
    try:
        idle = sorted(_FOR_ESTIMATE & given.keys()) if mode == "run" else []
        if idle:
            raise ConfigurationError(
                f"{flag(idle[0])} is for --estimate alone. Add --estimate, or leave it out."
            )
        values = {**(read_config(config, cls) if config else {}), **given}
        if positional and positional not in values:
            field = cls.model_fields[positional]
            if field.is_required():
                raise ConfigurationError(f"{positional.upper()} is required: {field.description}")
        return build_options(cls, values), mode
    except ConfigurationError as error:
        exit_with(error)


def build_options(cls: type[OptionsT], values: dict[str, Any]) -> OptionsT:
    """Validates ``values``; names may have dashes or underscores.

    Raises:
        ConfigurationError: An option is wrong; the message names each one, its value and what is
            allowed.
    """
    values = {name.replace("-", "_"): value for name, value in values.items()}
    for name in values.keys() & _left_out(cls).keys():
        raise ConfigurationError(
            f"{flag(name)} is not an option of this command: {_left_out(cls)[name]}."
        )
    values = {name: _readable(name, value) for name, value in values.items()}
    try:
        return cls.model_validate(
            {name: as_the_flag(cls, name, value) for name, value in values.items()}
        )
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(_say(cls, detail) for detail in error.errors())
        ) from None


def _readable(name: str, value: Any) -> Any:
    """``value`` with emoji whole whose halves are written one by one, as JSON escapes them.

    Raises:
        ConfigurationError: A text in it is not UTF-8, or has a null character. No file and no model
            could take it.
    """
    if isinstance(value, dict):
        return {_readable(name, key): _readable(name, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(name, one) for one in value]
    if not isinstance(value, str):
        return value
    whole = well_formed(value)
    if "\0" in whole or whole.count("\ufffd") > value.count("\ufffd"):
        what = "a null character" if "\0" in whole else "bytes that are not UTF-8"
        raise ConfigurationError(
            f"{flag(name)} {whole!r:.200} holds {what}. Leave them out, or rename the file."
        )
    return whole


def exit_with(error: Exception, status: int = 2) -> NoReturn:
    """Ends the process with a message on standard error. The default status is that of a wrong
    configuration."""
    program = Path(sys.argv[0]).name.replace("__main__.py", "internvl-batch")
    print(f"{program}: error: {in_flags(safe_text(str(error)))}", file=sys.stderr)
    sys.exit(status)


def show(text: str) -> None:
    """Prints ``text``. A reader that closes early, such as `| head`, is not an error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def groups(cls: type[BaseModel]) -> dict[str, list[str]]:
    """Field names by group, in the order of ``--help``: the task's own first."""
    found: dict[str, list[str]] = {}
    owners = [
        base
        for base in reversed(cls.__mro__)
        if issubclass(base, BaseModel) and base is not BaseModel
    ]
    for name in cls.model_fields:
        if name in _left_out(cls):
            continue
        # The class that first names a field gives its group: a task that narrows a default does not
        # move the option.
        owner = next(base for base in owners if name in base.__annotations__)
        found.setdefault((owner.__doc__ or owner.__name__).splitlines()[0], []).append(name)
    own = [base for base in owners if base not in JobOptions.__mro__]
    order = [(base.__doc__ or base.__name__).splitlines()[0] for base in [*own, *owners]]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _left_out(cls: type[BaseModel]) -> dict[str, str]:
    """Inherited options that a command does not have, with the reason."""
    return getattr(cls, "left_out", {})


def make_parser(
    cls: type[BaseModel],
    description: str,
    *,
    positional: str | None = None,
    modes: bool = True,
    program: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of a command; `parse_options` describes the arguments."""
    names = [name for name in cls.model_fields if name not in _left_out(cls)]
    required = [
        flag(name) for name in names if cls.model_fields[name].is_required() and name != positional
    ]
    words = [
        *([f"{positional.upper()}…"] if positional else []),
        *(f"{name} …" for name in required),
    ]
    parser = _Parser(
        names,
        _left_out(cls),
        prog=program,
        usage="\n  ".join(
            textwrap.wrap(" ".join(["%(prog)s", *words, "[options]"]), 60, break_on_hyphens=False)
        ),
        description=description,
        formatter_class=_Help,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file with any of the options below. Flags have priority.",
    )
    if modes:
        for mode, text in MODES.items():
            parser.add_argument(
                f"--{mode}", action="store_const", const=mode, dest="mode", help=text
            )
    if positional:
        parser.add_argument(positional, nargs="*", help=cls.model_fields[positional].description)
    for title, fields in groups(cls).items():
        group = parser.add_argument_group(title)
        for name in fields:
            if name != positional:
                _add(group, name, cls.model_fields[name])
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Breaks lines only between words, and shows the negative of a switch only if the switch is on
    by default."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Fills paragraphs to the width and leaves commands as they are."""
        parts = [
            part if "\\\n" in part else "\n".join(self._split_lines(part, width))
            for part in text.split("\n\n")
        ]
        return "\n\n".join(parts)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(
            " ".join(text.split()), width, break_on_hyphens=False, break_long_words=False
        )

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction) and not action.metavar:
            return action.option_strings[0]
        return super()._format_action_invocation(action)


class _Parser(argparse.ArgumentParser):
    """Prints an error without the list of all options."""

    def __init__(self, names: Sequence[str], left_out: Mapping[str, str], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._names, self._left_out = names, left_out
        self._given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file in (None, sys.stdout):
            show(message.rstrip("\n"))
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        words = message.split()
        unknown = (
            [word.partition("=")[0] for word in words if word.startswith("--")]
            if "unrecognized" in words
            else []
        )
        known = [option for action in self._actions for option in action.option_strings]
        hints = [self._hint(word, known) for word in unknown]
        if "unrecognized" in words and not unknown:
            hints = [self._about_value(words[words.index("arguments:") + 1])]
        if "ignored explicit argument" in message:  # a value of a switch, after an equals sign
            name = words[1].partition("/")[0]
            message, hints = f"{name} takes no value", [f" Write {name} or --no-{name[2:]}."]
        if "expected one argument" in message:
            name = words[1].partition("/")[0].rstrip(":")
            hints = [
                f" Give a value after it. One that begins with a dash needs an equals sign:"
                f" {name}=-value."
            ]
        self.exit(
            2,
            f"{self.prog}: error: {safe_text(message)}.{''.join(hints)} --help lists the"
            " options.\n",
        )

    def _about_value(self, value: str) -> str:
        """What to do about a value that no option takes."""
        given = [word for word in self._given if word]
        at = given.index(value) if value in given else 0
        before = given[at - 1] if at else ""
        action = self._option_string_actions.get(before)
        if action is not None and action.nargs == 0 and before.startswith("--"):
            return f" {before} takes no value."
        if value.startswith("-"):
            return ""
        return f" Values need an option, as in --input {value}."

    def _hint(self, word: str, known: Sequence[str]) -> str:
        name = word.lstrip("-").replace("-", "_")
        if flag(name) in known:
            return f" Did you mean {flag(name)}?"
        if name in self._left_out:
            return f" It is not an option of this command: {self._left_out[name]}."
        return whose_option(word, self._names) or nearest(flag(name), known)


def _add(group: Any, name: str, field: Any) -> None:
    annotation = bare(field.annotation)
    text = field.description.replace("%", "%%") + _default(field, annotation)
    if annotation is bool and tuple[str, ...] in typing.get_args(field.annotation):
        group.add_argument(flag(name), nargs="?", const=True, metavar="KIND,KIND", help=text)
        group.add_argument(
            f"--no-{flag(name)[2:]}", dest=name, action="store_false", help=argparse.SUPPRESS
        )
    elif annotation is bool:
        # A metavar is never shown for it; it tells _Help that the switch is on by default.
        shown = {"metavar": "on"} if field.default is True else {}
        group.add_argument(flag(name), action=argparse.BooleanOptionalAction, help=text, **shown)
    elif typing.get_origin(annotation) is tuple:
        metavar = {"allow": "PREFIX", "stop": "TEXT", "phrase": "TEXT", "choices": "TEXT"}.get(
            name, "VALUE"
        )
        group.add_argument(flag(name), action="append", metavar=metavar, help=text)
    elif typing.get_origin(annotation) is dict:
        group.add_argument(
            flag(name), type=functools.partial(_json_object, name), metavar="JSON", help=text
        )
    elif typing.get_origin(annotation) is typing.Literal:
        allowed = typing.get_args(annotation)
        metavar = "{" + ",".join(allowed) + "}"
        if len(metavar) > 60:
            metavar, text = "NAME", f"{text} One of {', '.join(allowed)}."
        group.add_argument(flag(name), metavar=metavar, help=text)
    else:
        metavar = {"shard": "I/N"}.get(name) or {int: "N", float: "X"}.get(annotation, name.upper())
        group.add_argument(flag(name), metavar=metavar, help=text)


def _default(field: Any, annotation: Any) -> str:
    """The default in parentheses; empty if the description already gives it or there is none."""
    if field.is_required():
        return " (required)"
    if field.default in (PydanticUndefined, None, (), {}, "") or "Default:" in field.description:
        return ""
    if annotation is bool:
        return " (default: on)" if field.default else ""
    several = isinstance(field.default, tuple)
    return f" (default: {', '.join(field.default) if several else field.default})"


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        return json_object(name, text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(
            str(error).removeprefix(f"{flag(name)} ").removesuffix(".")
        ) from None


def _say(cls: type[BaseModel], detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    if not name:  # an error of several options together; its message names them
        return str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{flag(name)} is required: {cls.model_fields[name].description}"
    if detail["type"] == "extra_forbidden" and name in _FLAGS_ALONE:
        return f"{flag(name)} is a flag of the command line alone. Leave it out of the file."
    if detail["type"] == "extra_forbidden":
        names = [field for field in cls.model_fields if field not in _left_out(cls)]
        hint = whose_option(flag(name), names) or nearest(
            flag(name), [flag(field) for field in names]
        )
        return f"{flag(name)} is not an option of this job.{hint}"
    close = ""
    if detail["type"] == "literal_error":
        allowed = typing.get_args(bare(cls.model_fields[name].annotation))
        found = difflib.get_close_matches(
            str(detail["input"]), [str(value) for value in allowed], 1
        )
        close = f" Did you mean {found[0]}?" if found else ""
    if name == "limit" and str(detail["input"]).strip() == "0":
        close = " To see only the plan, use --dry-run; to read all rows, leave --limit out."
    shown = str(detail["input"]) or "''"
    return f"{flag(name)} {shown:.200}: {in_words(detail).rstrip('.')}.{close}"
