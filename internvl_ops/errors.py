"""Failures as values: the kind of a unit's failure, whether another attempt can help; and settings
in messages."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

ErrorKind = Literal[
    "bad_row",
    "duplicate_id",
    "not_found",
    "refused",
    "too_large",
    "unsupported",
    "corrupt",
    "decoder_crashed",
    "timeout",
    "prompt_too_long",
    "engine_failed",
    "bad_answer",
    "storage",
]
Stage = Literal["read", "explode", "fetch", "decode", "render", "generate", "parse", "write"]

KINDS: tuple[str, ...] = get_args(ErrorKind)
STAGES: tuple[str, ...] = get_args(Stage)

# Failures of these kinds may be temporary: a file may arrive later. The others are properties of
# the input.
RETRIABLE: frozenset[str] = frozenset({"timeout", "engine_failed", "storage", "not_found"})

# The kind of an unexpected failure, by the stage in which it happened.
_UNFORESEEN: dict[Stage, ErrorKind] = {
    "read": "bad_row",
    "explode": "decoder_crashed",
    "fetch": "storage",
    "decode": "decoder_crashed",
    "render": "bad_row",
    "generate": "engine_failed",
    "parse": "bad_answer",
    "write": "bad_row",
}
_LONGEST_MESSAGE = 300  # characters of an exception's own text
_MARK = "\u2060"  # WORD JOINER: shown nowhere
_KEYWORD = re.compile(_MARK + r"`([a-z]\w*)`(=?)")


@dataclass
class UnitError(Exception):
    """One unit failed; the job goes on.

    Raised anywhere in ``internvl_ops`` for a failure of one unit. A stage catches it, and it
    travels with the row to ``errors/``.

    Args:
        stage: Where it happened.
        kind: Its name in ``errors/``; one of a closed list.
        message: For the person who reads ``errors/``: the value, what is allowed, how to fix it. It
            has no credentials, and names settings by `keyword`.
        attempts: Number of attempts before it failed.
    """

    stage: Stage
    kind: ErrorKind
    message: str
    attempts: int = 1

    def __post_init__(self) -> None:
        # it may quote the row, and must be writable in any case
        self.message = well_formed(self.message)
        # pickle restores it from these
        super().__init__(self.stage, self.kind, self.message, self.attempts)

    @property
    def retriable(self) -> bool:
        return self.kind in RETRIABLE

    def __str__(self) -> str:
        return f"{self.kind} in {self.stage}: {self.message}"


class ConfigurationError(Exception):
    """The job cannot start as configured. It ends with exit status 2."""


def unforeseen(stage: Stage, error: Exception) -> UnitError:
    """Converts an unexpected exception into a failure of the current unit.

    Args:
        stage: Where it happened; the kind follows from it.
        error: A `UnitError` is returned unchanged.

    Returns:
        A failure whose message names the exception and the innermost line of code that raised it.
    """
    if isinstance(error, UnitError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    place = ""
    if frames:
        innermost = frames[-1]
        place = (
            f", in {'/'.join(PurePath(innermost.filename).parts[-2:])} line {innermost.lineno},"
            f" {innermost.name}"
        )
    said = str(error)
    if len(said) > _LONGEST_MESSAGE:
        said = f"{said[:_LONGEST_MESSAGE]}…"
    return UnitError(stage, _UNFORESEEN[stage], f"{type(error).__name__}: {said}{place}")


def keyword(name: str, value: object = None) -> str:
    """A setting in a message: its keyword argument in backquotes, such as ```max_tiles`=12``.

    Messages never name an option of a command line: whoever calls this package from Python has
    none. A program with a command line spells its options by `respelled`. An invisible character
    before the backquote marks the keyword, so that a backquoted word of a file or an answer is
    never mistaken for one. It stays in the text wherever the text goes: into another message, a
    traceback, a file, another process.

    Args:
        name: The keyword argument.
        value: Its value in the message, if any; the message quotes it if necessary.
    """
    return f"{_MARK}`{name}`" if value is None else f"{_MARK}`{name}`={value}"


def respelled(text: str, spell: Callable[[str, bool], str]) -> str:
    """``text`` with each `keyword` in another spelling.

    Args:
        text: A message.
        spell: Spells a keyword from its name and whether its value follows.
    """
    return _KEYWORD.sub(lambda found: spell(found[1], bool(found[2])), text)


def well_formed(text: str) -> str:
    """Returns ``text`` as Unicode that can be written: surrogate pairs are joined, a lone surrogate
    becomes U+FFFD.

    JSON may contain half a character as ``\\ud83d``; Python keeps it, but no file, log or Parquet
    column accepts it.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
