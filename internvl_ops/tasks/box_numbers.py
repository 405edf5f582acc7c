"""The numbers of an answer that are boxes, found in one pass over it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"(?P<number>(?<![\w.])[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d{1,3})?(?![A-Za-z\d._]))"
    r"|(?P<tag></?(?:box|quad)>|<\|box_(?:start|end)\|>)|(?P<open>[\[({])|(?P<close>[\])}])|(?P<gap>[,;\s]++)",
    re.ASCII,
)
CORNER = re.compile(
    r"""["']?\b(?:(x1|x_?min|left)|y1|y_?min|top|x2|x_?max|right|y2|y_?max|bottom)\b["']?\s*[:=]\s*""", re.IGNORECASE
)


@dataclass
class Group:
    """Numbers that stand together.

    Attributes:
        start: Where the first one begins in the answer.
        end: Behind the last one.
        numbers: As they are written.
        enclosed: Whether a bracket or a tag stands before or behind them.
        linked: Whether only brackets stand between them and the group before.
        quad: Whether they are the four corners of a tilted box.
    """

    start: int
    enclosed: bool
    linked: bool
    quad: bool
    end: int = 0
    numbers: list[str] = field(default_factory=list)


def find_groups(plain: str, refs: list[re.Match[str]]) -> list[Group]:
    """The numbers that are boxes: four and more in brackets or tags; without any, each four or five that stand alone.

    Args:
        plain: An answer without full-width signs.
        refs: The labels in it, whose numbers are no coordinates.
    """
    groups = list(_joined(_numbers(_without_labels(plain, refs))))
    if groups and groups[-1].end == len(plain):
        _drop_broken_number(groups[-1])
    groups = [group for group in groups if len(group.numbers) >= 4]
    return [group for group in groups if group.enclosed] or [group for group in groups if len(group.numbers) <= 5]


def fours(group: Group) -> Iterator[list[str]]:
    """The boxes in a group of numbers, as two corners each."""
    numbers = group.numbers
    if group.quad and len(numbers) >= 8:
        for first in range(0, len(numbers) - 7, 8):
            across, down = (sorted(numbers[first + axis : first + 8 : 2], key=float) for axis in (0, 1))
            yield [across[0], down[0], across[-1], down[-1]]
        return
    step = 5 if len(numbers) % 5 == 0 and len(numbers) % 4 else 4
    for first in range(0, len(numbers) - 3, step):
        yield numbers[first : first + 4]


def _without_labels(plain: str, refs: list[re.Match[str]]) -> str:
    """The same text with blanks for labels, whose numbers are no coordinates, and for the names of corners, the first
    of which leaves a bracket."""
    parts, end = [], 0
    for ref in refs:
        parts += [plain[end : ref.start()], " " * (ref.end() - ref.start())]
        end = ref.end()
    return CORNER.sub(lambda name: ("[" if name[1] else "").ljust(len(name[0])), "".join([*parts, plain[end:]]))


def _numbers(plain: str) -> Iterator[Group]:
    group: Group | None = None
    before: str | None = None
    quad, linked, end = False, False, 0
    for token in TOKEN.finditer(plain):
        if token.start() != end:  # other text stands between
            group, before, linked, quad = None, None, False, False
        kind, end = token.lastgroup, token.end()
        if kind == "number":
            if group is None:
                group = Group(token.start(), before in ("open", "tag"), linked, quad)
                yield group
            group.numbers.append(token[0])
            group.end, linked = end, True
        elif kind != "gap":
            if group and kind in ("close", "tag"):
                group.enclosed = True
            group, before = None, kind
            if kind == "tag":
                quad, linked = token[0] == "<quad>", False


def _joined(groups: Iterator[Group]) -> Iterator[Group]:
    """Points in brackets of their own made into boxes."""
    waiting: Group | None = None
    for group in list(groups):
        if waiting and group.linked and len(group.numbers) == 2:
            waiting.numbers += group.numbers
            waiting.end = group.end
            waiting.enclosed &= group.enclosed
            if len(waiting.numbers) == (8 if waiting.quad else 4):
                waiting = None
            continue
        waiting = group if len(group.numbers) == 2 else None
        yield group


def _drop_broken_number(group: Group) -> None:
    """Where the answer ends with a number that is too small for the lower edge, its last digits were cut off."""
    numbers = group.numbers
    if len(numbers) % 4 == 0 and float(numbers[-1]) < float(numbers[-3]):
        del numbers[-1]
