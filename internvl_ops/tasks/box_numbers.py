"""Finds the numbers of boxes in an answer, in one pass over it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from internvl_ops.tasks.box_names import NUMBER, find_named, joined_points, thousandths

TOKEN = re.compile(
    rf"(?P<number>{NUMBER})"
    r"|(?P<tag></?(?:box|quad)>|<\|box_(?:start|end)\|>)|(?P<open>[\[({])|(?P<close>[\])}])|(?P<gap>[,;\s\x22\x27]++)",
    re.ASCII,
)
CORNER = re.compile(
    r"""["']?\b(?:(x1|x_?min|left)|y1|y_?min|top|x2|x_?max|right|y2|y_?max|bottom)\b["']?\s*[:=]\s*""",
    re.IGNORECASE,
)
RELATION = re.compile(r"<pred>[^<\[]*+(?:</pred>)?", re.IGNORECASE)
MARKS = re.compile(r"(?:</?(?:box|quad)>|<\|box_(?:start|end)\|>|[\s,;()\[\]{}])*+")


@dataclass
class Group:
    """Numbers that belong together.

    Attributes:
        start: Start of the first number in the answer.
        end: End of the last number.
        numbers: As written.
        enclosed: Whether a bracket or a tag is before or after them.
        linked: Whether only brackets are between them and the previous group.
        quad: Whether they are the four corners of a tilted box.
    """

    start: int
    enclosed: bool
    linked: bool
    quad: bool
    end: int = 0
    numbers: list[str] = field(default_factory=list)


def find_groups(plain: str, refs: list[re.Match[str]]) -> list[Group]:
    """The numbers of boxes: groups of four or more in brackets or tags, or with names. If there are
    none, groups of four or five numbers that stand alone. In a group of four, either all numbers or
    none are percentages.

    Args:
        plain: An answer without full-width characters.
        refs: The labels in it; numbers inside them are not coordinates.
    """
    plain_numbers = _without_labels(plain, refs)
    groups = [
        Group(start, True, False, False, end, numbers)
        for start, end, numbers in find_named(plain_numbers)
    ]
    for group in groups:
        covered = group.end - group.start
        plain_numbers = f"{plain_numbers[: group.start]}{'|' * covered}{plain_numbers[group.end :]}"
    groups += _joined(_numbers(_without_corners(joined_points(plain_numbers))))
    groups.sort(key=lambda group: group.start)
    if groups and groups[-1].end == len(plain):
        _drop_broken_number(groups[-1])
    groups = [group for group in groups if len(group.numbers) >= 4 and _alike(group.numbers)]
    return [group for group in groups if group.enclosed] or [
        group for group in groups if len(group.numbers) <= 5
    ]


def fours(group: Group) -> Iterator[list[str]]:
    """The boxes in a group of numbers, as two corners each."""
    numbers = list(map(thousandths, group.numbers))
    if group.quad and len(numbers) >= 8:
        for first in range(0, len(numbers) - 7, 8):
            across, down = (
                sorted(numbers[first + axis : first + 8 : 2], key=float) for axis in (0, 1)
            )
            yield [across[0], down[0], across[-1], down[-1]]
        return
    step = 5 if len(numbers) % 5 == 0 and len(numbers) % 4 else 4
    for first in range(0, len(numbers) - 3, step):
        yield numbers[first : first + 4]


def of_relations(plain: str, groups: list[Group]) -> list[bool]:
    """For each group, whether it comes directly after a ``<pred>`` and so repeats the boxes that
    this relates."""
    said = [relation.end() for relation in RELATION.finditer(plain)]
    flags: list[bool] = []
    end = 0
    for group in groups:
        number = bisect_right(said, group.start) - 1
        begins = number >= 0 and said[number] > end
        after = said[number] if begins else end
        flags.append(
            (begins or (flags[-1:] == [True])) and bool(MARKS.fullmatch(plain, after, group.start))
        )
        end = group.end
    return flags


def _alike(numbers: list[str]) -> bool:
    return len({number.endswith("%") for number in numbers}) == 1


def _without_labels(plain: str, refs: list[re.Match[str]]) -> str:
    """The same text with spaces in place of labels, whose numbers are not coordinates."""
    parts, end = [], 0
    for ref in refs:
        parts += [plain[end : ref.start()], " " * (ref.end() - ref.start())]
        end = ref.end()
    return "".join([*parts, plain[end:]])


def _without_corners(plain: str) -> str:
    """The same text with spaces in place of corner names; the first name becomes a bracket."""
    return CORNER.sub(lambda name: ("[" if name[1] else "").ljust(len(name[0])), plain)


def _numbers(plain: str) -> Iterator[Group]:
    group: Group | None = None
    before: str | None = None
    quad, linked, end = False, False, 0
    for token in TOKEN.finditer(plain):
        if token.start() != end:  # there is other text in between
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
    """Joins points that have their own brackets to boxes."""
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
    """Drops the answer's last number if it is too small for a lower edge, because its last digits
    were cut off."""
    numbers = group.numbers
    if len(numbers) % 4 == 0 and float(thousandths(numbers[-1])) < float(thousandths(numbers[-3])):
        del numbers[-1]
