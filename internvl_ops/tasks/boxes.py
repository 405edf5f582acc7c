"""Converts boxes in the text of a grounding, detection or OCR answer to pixels, and back.

The family writes ``<ref>label</ref><box>[[x1, y1, x2, y2]]</box>`` in thousandths of the width and
height of the original image (InternVL issues #844, #1009, #1063). Real answers vary more: see
`parse_boxes`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from internvl_ops.tasks.box_labels import find_labels, find_refs, label_of_ref
from internvl_ops.tasks.box_numbers import find_groups, fours, of_relations

GRID = 1000

# One character for one character, so that positions in the plain text are the same in the answer.
WIDE = (
    "（）【】［］｛｝〔〕「」『』〖〗，、；：＜＞／．－\u2212＝％＋～＿＊“”„＂‘’＇０１２３４５６７８９"
    "₀₁₂₃₄₅₆₇₈₉\u3000\u00a0\u2009\u202f"
)
TO_ASCII = str.maketrans(WIDE, '()[][]{}[][][][],,;:<>/.--=%+~_*""""\'\'\'01234567890123456789    ')
NO_BOX = re.compile(
    r"\A\W*(?:none|null|nothing|no|n/a)\b|\bno (?:\w+"
    r" ){0,4}(?:box|boxes|object|objects|match|matches|text|region)\b"
    r"|\bthere (?:is|are) (?:no|not)\b|\bnot (?:\w+ )?"
    r"(?:found|visible|present|shown|detected|in the (?:image|picture))\b"
    r"|\b(?:can(?:not| not|'t)|could(?: not|n't)|unable to|do(?:es)?(?: not|n't)) "
    r"(?:find|see|locate|detect|appear|contain)\b"
    r"|没有|沒有|未找到|未发现|未检测|不存在|找不到|看不到|无法(?:找到|看到|识别|检测|定位)|\A\W*无",
    re.IGNORECASE,
)
EMPTY = re.compile(
    r"\[\s*\]|<box>[\s\[\](){}]*+</box>"
    r"|(?:<box>|<quad>|(?<!\[)\[)[\s\[(\"']*+(?:(?:null|none|nil|n/?a|empty|nothing|[无無空]|没有|不存在)\b[\s,\"']*)++"
    r"[\s.)\]]*(?:</box>|</quad>|\]|\Z)"
    r"|\bb?box(?:es)?(?:_?2d)?[\"']?\s*:\s*(?:null|none|\{\s*\})"
    r"|:\s*(?:null|none|n/a|无)\.?\s*\Z",
    re.IGNORECASE,
)
NO_TEXT = re.compile(
    r"|none\.?|null|n/a|\[[\s\[\]]*\]|```(?:json)?\s*\[\s*\]\s*```|<ref>\s*</ref>(?:<box>[\s\[\]]*</box>)?"
    r"|(?:there is )?no (?:\w+ )?text(?: (?:in|on|is|was|found|visible|detected)\b[^\n]{0,50})?\.?"
    r"|(?:the|this) (?:image|picture|page) (?:has|contains|does not contain) (?:no|any)"
    r" text[^\n]{0,50}"
    r"|[^\n]{0,12}没有[^\n]{0,8}文[字本][^\n]{0,10}|无(?:文[字本])?",
    re.IGNORECASE,
)
TAGS = re.compile(r"</?(?:ref|box|quad)>")
JSON = re.compile(r"\s*(?:```(?:json)?\s*)?[\[{]\s*[\[{\"]")
BEHIND = re.compile(r"[\])}]*")


@dataclass(frozen=True)
class Box:
    """A labelled rectangle, x1 ≤ x2 and y1 ≤ y2, in pixels of the upright original image and within
    it."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


def parse_boxes(response: str, width: int, height: int) -> list[Box] | None:
    """All boxes of an answer, in its order. Accepts any text and never raises.

    Besides the family's own form it accepts: several boxes for a label; tags that are missing
    (``car[[75, 658, 305, 850]]``), not closed or cut off; boxes without a label; missing brackets;
    two corners with their own brackets; ``<quad>``, for which it returns the upright box around it;
    full-width characters; JSON (``{"bbox_2d": […], "label": …}``, ``{"car": […]}``, ``{"x1": …}``);
    corners and edges by name, in any order (``Top-left: (75, 658), …``, ``左上角…``, ``x1: 75, …``,
    ``x, y, width, height``); two points with a word in between; percentages. Boxes that only repeat
    what a ``<pred>`` of a scene graph relates are left out. The fifth of five numbers is ignored;
    corners may be in any order; boxes are clipped to the image.

    Numbers are thousandths. As in the family's own evaluation, four numbers whose sum is less than
    4 are fractions, but only if the answer writes such numbers with a decimal point: ``[0, 0, 1,
    1]`` alone is a box in the corner.

    Args:
        response: The model's text, with special tokens if the tokenizer can keep them.
        width: Width of the upright original, in pixels.
        height: Height of the upright original, in pixels.

    Returns:
        The boxes; an empty list if the answer says that there are none; None if the answer cannot
        be parsed.
    """
    plain = response.translate(TO_ASCII)
    refs = find_refs(plain)
    groups = find_groups(plain, refs)
    if not groups:
        return [] if EMPTY.search(plain) or NO_BOX.search(response) else None
    labels = find_labels(response, plain, refs, [(group.start, group.end) for group in groups])
    found = [
        (label, four)
        for label, group, repeated in zip(labels, groups, of_relations(plain, groups), strict=True)
        if not repeated
        for four in fours(group)
    ]
    fractions = any(_is_fraction(four) and "." in "".join(four) for _, four in found)
    return [
        _box(
            label,
            [*map(float, four)],
            1 if fractions and _is_fraction(four) else GRID,
            width,
            height,
        )
        for label, four in found
    ]


def parse_text_boxes(response: str, width: int, height: int) -> tuple[str, list[Box] | None]:
    """The text of an OCR answer with boxes, ``<ref>text</ref><box>…</box>`` for each line, and the
    boxes of its lines.

    The order is the model's, which is the reading order. The text also includes lines whose box is
    missing or cut off; it includes a line with several boxes once. If the tags are missing, the
    text is the answer without coordinates.

    Args:
        response: The model's text, with special tokens if the tokenizer can keep them.
        width: Width of the upright original, in pixels.
        height: Height of the upright original, in pixels.

    Returns:
        The text, one line per line of the page, and the boxes, labelled with their text. The list
        of boxes is empty if the answer says that there is no text, and None if the answer has text
        but no box.
    """
    plain = response.translate(TO_ASCII)
    if NO_TEXT.fullmatch(plain.strip()):
        return "", []
    refs = find_refs(plain)
    boxes = parse_boxes(response, width, height) or None
    if refs:
        lines = [label_of_ref(response, ref) for ref in refs]
    elif boxes and JSON.match(plain):
        lines = [label for label, _ in groupby(box.label for box in boxes)]
    else:
        lines = _without_groups(response, plain).splitlines()
    return "\n".join(line.strip() for line in lines if line.strip()), boxes


def _without_groups(response: str, plain: str) -> str:
    parts, end = [], 0
    for group in find_groups(plain, []):
        start = len(plain[end : group.start].rstrip(" [({")) + end
        parts.append(response[end:start])
        behind = BEHIND.match(plain, group.end)
        end = behind.end() if behind else group.end
    return TAGS.sub("", "".join([*parts, response[end:]]))


def format_box(box: Box, width: int, height: int) -> str:
    """A box in the family's own form.

    Args:
        box: In pixels.
        width: Width of the upright original, in pixels; at least 1.
        height: Height of the upright original, in pixels; at least 1.
    """
    return format_boxes(box.label, [box], width, height)


def format_boxes(label: str, boxes: Sequence[Box], width: int, height: int) -> str:
    """Boxes of one label in the family's own form: ``<ref>label</ref><box>[[x1, y1, x2, y2],
    …]</box>``.

    Args:
        label: The label; without it there is no ``<ref>``.
        boxes: In pixels.
        width: Width of the upright original, in pixels; at least 1.
        height: Height of the upright original, in pixels; at least 1.
    """
    numbers = [_thousandths(box, width, height) for box in boxes]
    return (f"<ref>{label}</ref>" if label else "") + f"<box>{numbers}</box>"


def _thousandths(box: Box, width: int, height: int) -> list[int]:
    corners = zip((box.x1, box.y1, box.x2, box.y2), (width, height, width, height), strict=True)
    return [round(min(max(corner / size, 0.0), 1.0) * GRID) for corner, size in corners]


def _is_fraction(four: list[str]) -> bool:
    return sum(map(float, four)) < 4


def _box(label: str, numbers: list[float], grid: int, width: int, height: int) -> Box:
    x1, x2 = sorted(min(max(number / grid, 0.0), 1.0) * width for number in numbers[::2])
    y1, y2 = sorted(min(max(number / grid, 0.0), 1.0) * height for number in numbers[1::2])
    return Box(label, x1, y1, x2, y2)
