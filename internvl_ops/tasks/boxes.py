"""Boxes in answers: from the text of a grounding, detection or OCR answer to pixels, and back.

The family writes ``<ref>label</ref><box>[[x1, y1, x2, y2]]</box>`` in thousandths of the width and height of the
original image (InternVL issues #844, #1009, #1063). What it gives in practice is looser: see `parse_boxes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from internvl_ops.tasks.box_labels import find_labels, find_refs

GRID = 1000

# One sign for one sign, so that a place in the plain text is the same place in the answer.
WIDE = "（）【】［］｛｝〔〕，、；：＜＞／．－“”„＂‘’＇０１２３４５６７８９\u3000\u00a0"
PLAIN = str.maketrans(WIDE, '()[][]{}[],,;:<>/.-""""\'\'\'0123456789  ')
TOKEN = re.compile(
    r"(?P<number>(?<![\w.])(?:(?<![\w.])[-+])?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d{1,3})?(?![A-Za-z\d._]))"
    r"|(?P<tag></?(?:box|quad)>|<\|box_(?:start|end)\|>)|(?P<open>[\[({])|(?P<close>[\])}])|(?P<gap>[,;\s]++)",
    re.ASCII,
)
CORNER = re.compile(
    r"""["']?\b(?:(x1|x_?min|left)|y1|y_?min|top|x2|x_?max|right|y2|y_?max|bottom)\b["']?\s*[:=]\s*""", re.IGNORECASE
)
NO_BOX = re.compile(
    r"\A\W*(?:none|null|nothing|no|n/a)\b|\bno (?:\w+ ){0,4}(?:box|boxes|object|objects|match|matches|text|region)\b"
    r"|\bthere (?:is|are) (?:no|not)\b|\bnot (?:\w+ )?"
    r"(?:found|visible|present|shown|detected|in the (?:image|picture))\b"
    r"|\b(?:can(?:not| not|'t)|could(?: not|n't)|unable to|do(?:es)?(?: not|n't)) "
    r"(?:find|see|locate|detect|appear|contain)\b"
    r"|没有|沒有|未找到|未发现|未检测|不存在|找不到|看不到|无法(?:找到|看到|识别|检测|定位)|\A\W*无",
    re.IGNORECASE,
)
EMPTY = re.compile(r"\[\s*\]|<box>\s*</box>")


@dataclass(frozen=True)
class Box:
    """A labelled rectangle, x1 ≤ x2 and y1 ≤ y2, in pixels of the upright original image and within it."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass
class _Group:
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


def parse_boxes(response: str, width: int, height: int) -> list[Box] | None:
    """All boxes of an answer, in its order. Takes any text and never raises.

    Besides the family's own form it takes: several boxes to a label; tags that were dropped (``car[[75, 658, 305,
    850]]``), left open or cut off; boxes without a label; missing brackets; two corners in brackets of their own;
    ``<quad>``, of which the upright box around it is given; full-width signs; JSON (``{"bbox_2d": […], "label": …}``,
    ``{"car": […]}``, ``{"x1": …}``). Five numbers are a box and one too many, the last; corners may be in any order;
    what lies outside of the image is clipped.

    Numbers are thousandths. As in the family's own evaluation four numbers that sum to less than 4 are fractions, but
    only in an answer that writes such numbers with a decimal point: ``[0, 0, 1, 1]`` alone is a box in the corner.

    Args:
        response: The model's text, special tokens kept if the tokenizer can.
        width: Of the upright original, in pixels.
        height: Likewise.

    Returns:
        The boxes; none if the answer says that there are none; None where the answer cannot be understood.
    """
    plain = response.translate(PLAIN)
    refs = find_refs(plain)
    groups = [(group, fours) for group in _groups(plain, refs) if (fours := list(_fours(group)))]
    if not groups:
        return [] if EMPTY.search(plain) or NO_BOX.search(response) else None
    labels = find_labels(response, plain, refs, [(group.start, group.end) for group, _ in groups])
    fractions = any(_is_fraction(four) and "." in "".join(four) for _, fours in groups for four in fours)
    return [
        _box(label, [*map(float, four)], 1 if fractions and _is_fraction(four) else GRID, width, height)
        for label, (_, fours) in zip(labels, groups, strict=True)
        for four in fours
    ]


def format_box(box: Box, width: int, height: int) -> str:
    """A box as the family writes it.

    Args:
        box: In pixels.
        width: Of the upright original, in pixels; at least 1.
        height: Likewise.
    """
    sizes = (width, height, width, height)
    corners = zip((box.x1, box.y1, box.x2, box.y2), sizes, strict=True)
    numbers = [round(min(max(corner / size, 0.0), 1.0) * GRID) for corner, size in corners]
    return (f"<ref>{box.label}</ref>" if box.label else "") + f"<box>[{numbers}]</box>"


def _is_fraction(four: list[str]) -> bool:
    return sum(map(float, four)) < 4


def _box(label: str, numbers: list[float], grid: int, width: int, height: int) -> Box:
    x1, x2 = sorted(min(max(number / grid, 0.0), 1.0) * width for number in numbers[::2])
    y1, y2 = sorted(min(max(number / grid, 0.0), 1.0) * height for number in numbers[1::2])
    return Box(label, x1, y1, x2, y2)


def _fours(group: _Group) -> Iterator[list[str]]:
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


def _groups(plain: str, refs: list[re.Match[str]]) -> list[_Group]:
    """The numbers that may be boxes: those in brackets or tags; without any, each four or five that stand alone."""
    groups = list(_joined(_numbers(_without_labels(plain, refs))))
    if groups and groups[-1].end == len(plain):
        _drop_broken_number(groups[-1])
    return [group for group in groups if group.enclosed] or [group for group in groups if len(group.numbers) in (4, 5)]


def _without_labels(plain: str, refs: list[re.Match[str]]) -> str:
    """The same text with blanks for labels, whose numbers are no coordinates, and for the names of corners, the first
    of which leaves a bracket."""
    parts, end = [], 0
    for ref in refs:
        parts += [plain[end : ref.start()], " " * (ref.end() - ref.start())]
        end = ref.end()
    return CORNER.sub(lambda name: ("[" if name[1] else "").ljust(len(name[0])), "".join([*parts, plain[end:]]))


def _numbers(plain: str) -> Iterator[_Group]:
    group: _Group | None = None
    before: str | None = None
    quad, linked, end = False, False, 0
    for token in TOKEN.finditer(plain):
        if token.start() != end:  # other text stands between
            group, before, linked, quad = None, None, False, False
        kind, end = token.lastgroup, token.end()
        if kind == "number":
            if group is None:
                group = _Group(token.start(), before in ("open", "tag"), linked, quad)
                yield group
            group.numbers.append(token[0])
            group.end, linked = end, True
        elif kind != "gap":
            if group and kind in ("close", "tag"):
                group.enclosed = True
            group, before = None, kind
            if kind == "tag":
                quad, linked = token[0] == "<quad>", False


def _joined(groups: Iterator[_Group]) -> Iterator[_Group]:
    """Points in brackets of their own made into boxes."""
    waiting: _Group | None = None
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


def _drop_broken_number(group: _Group) -> None:
    """Where the answer ends with a number that is too small for the lower edge, its last digits were cut off."""
    numbers = group.numbers
    if len(numbers) % 4 == 0 and float(numbers[-1]) < float(numbers[-3]):
        del numbers[-1]
