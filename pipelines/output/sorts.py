"""Counts messages by sort: messages that differ only in numbers, names and addresses are of one
sort."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# all others are counted together, so that the record of a run of any length stays short
SORTS_KEPT = 40
_LONGEST_SORT = 300  # characters of a message that distinguish sorts
_LONGEST_EXAMPLE = 500
_VARIES = "…"

# HTTP statuses and lines of this project's code say what happened, so they stay; everything else
# that varies is removed.
_VARYING = re.compile(
    r"""
    (?<![A-Za-z]) (?:                                            # nothing begins inside a word
    (?P<stays> \bHTTP\ \d{3}\b | \b[\w/]+\.py\ line\ \d+ )
    | (?<![\w'])'(?:[^'\\\n]|\\.)*'(?!\w) | (?<![\w"])"(?:[^"\\\n]|\\.)*"(?!\w)  # a value in quotes
    | “[^”\n]*” | ‘[^’\n]*’ | «[^»\n]*» | `[^`\n]*`
    | (?<![\w'"])['"][^\n]*…$                                   # one cut off by the end
    | (?<![^\s'"(),;:=]) (?:
        [A-Za-z][\w+.-]*://[^\s'"<>]*[^\s'"<>:;,.)]                      # an address
        | [^\s'"(),;:/\\]*[/\\][^\s'"(),;:]*                            # a path
        | [^\s'"(),;:]+\.(?:[A-Za-z]\w{1,4}|parquet|ndjson)\b(?!\.?\w)  # a file or a host
        | [0-9a-fA-F]{2}(?:\ [0-9a-fA-F]{2})+\b | 0x[0-9a-fA-F]+\b      # bytes
        | [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b | (?=[a-f]*\d)[0-9a-f]{8,}\b
    )
    # a number, with or without a unit
    | (?<![A-Za-z_\d])(?:(?<![\w)])[-+])?\d+(?:[.,:_]\d+)*(?:[eE][-+]?\d+)?
    )
    """,
    re.VERBOSE,
)
_SEVERAL = re.compile(r"…(?:[\s,;:×x#.\[\]()/-]*…)+")  # a list of removed items, of any length
_PLURAL = re.compile(r"(…[ -][^\W\d_]{3,}?)s\b")


def sort_of(message: str, names: Collection[str] = ()) -> str:
    """The part of ``message`` that all messages of its sort have in common.

    Args:
        message: A message for a person.
        names: Name of the unit and locations of its media. They may be any text, such as a name
            with spaces.
    """
    for name in sorted({one for one in names if one}, key=len, reverse=True):
        if message.startswith(f"{name}: "):
            message = _VARIES + message[len(name) :]
        # such a name may be a word of the sentence
        elif name in message and not (name.isalpha() and name.islower()):
            message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _VARIES, message)
    return _template(message[: 2 * _LONGEST_SORT])


@functools.lru_cache(1024)
def _template(message: str) -> str:
    message = _VARYING.sub(lambda found: found["stays"] or _VARIES, " ".join(message.split()))
    return _PLURAL.sub(r"\1", _SEVERAL.sub(_VARIES, message))[:_LONGEST_SORT]


@dataclass
class Sort:
    """One sort of message.

    Args:
        units: Number of units that have it.
        example: The first message of this sort.
    """

    units: int
    example: str


class Sorts:
    """Counts messages by sort, in bounded memory.

    When the limit is reached, a new sort replaces the rarest one. So the frequent sorts stay, and
    the sum is always exact. If a removed sort comes back, its number counts only its later units.

    Args:
        kept: Largest number of sorts.
    """

    def __init__(self, kept: int = SORTS_KEPT) -> None:
        self._kept, self._found = kept, dict[str, Sort]()
        self.others = 0  # units whose sort was dropped

    def add_unit(self, messages: Iterable[str], names: Collection[str] = ()) -> None:
        """Counts one unit, once for each sort of ``messages``; see `sort_of`."""
        for name, message in {sort_of(message, names): message for message in messages}.items():
            if name in self._found:
                self._found[name].units += 1
                continue
            if len(self._found) >= self._kept:
                # of equally rare ones, the oldest
                rarest = min(self._found, key=lambda one: self._found[one].units)
                self.others += self._found.pop(rarest).units
            example = (
                message if len(message) <= _LONGEST_EXAMPLE else f"{message[:_LONGEST_EXAMPLE]}…"
            )
            self._found[name] = Sort(1, example)

    def most_common(self, count: int | None = None) -> list[Sort]:
        """The sorts, the most frequent first."""
        return sorted(self._found.values(), key=lambda sort: -sort.units)[:count]

    def __len__(self) -> int:
        return len(self._found)

    def as_list(self) -> list[dict[str, object]]:
        """The sorts as in ``run.json``: units and an example for each. The other units come last,
        without one."""
        found: list[dict[str, object]] = [vars(sort).copy() for sort in self.most_common()]
        return [*found, {"units": self.others, "example": None}] if self.others else found
