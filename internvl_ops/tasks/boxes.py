"""Boxes in answers: from the text of a grounding, detection or OCR answer to pixels, and back.

The family writes ``<ref>label</ref><box>[[x1, y1, x2, y2]]</box>`` in thousandths of the width and height of the
original image (InternVL issues #844, #1009, #1063). What it gives in practice is looser: see `parse_boxes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from internvl_ops.tasks.box_labels import find_labels, find_refs, label_of_ref
from internvl_ops.tasks.box_numbers import find_groups, fours, of_relations

GRID = 1000

# One sign for one sign, so that a place in the plain text is the same place in the answer.
WIDE = (
    "（）【】［］｛｝〔〕「」『』〖〗，、；：＜＞／．－\u2212＝％＋～＿＊“”„＂‘’＇０１２３４５６７８９"
    "₀₁₂₃₄₅₆₇₈₉\u3000\u00a0\u2009\u202f"
)
PLAIN = str.maketrans(WIDE, '()[][]{}[][][][],,;:<>/.--=%+~_*""""\'\'\'01234567890123456789    ')
NO_BOX = re.compile(
    r"\A\W*(?:none|null|nothing|no|n/a)\b|\bno (?:\w+ ){0,4}(?:box|boxes|object|objects|match|matches|text|region)\b"
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
    r"|(?:the|this) (?:image|picture|page) (?:has|contains|does not contain) (?:no|any) text[^\n]{0,50}"
    r"|[^\n]{0,12}没有[^\n]{0,8}文[字本][^\n]{0,10}|无(?:文[字本])?",
    re.IGNORECASE,
)
TAGS = re.compile(r"</?(?:ref|box|quad)>")
JSON = re.compile(r"\s*(?:```(?:json)?\s*)?[\[{]\s*[\[{\"]")
BEHIND = re.compile(r"[\])}]*")


@dataclass(frozen=True)
class Box:
    """A labelled rectangle, x1 ≤ x2 and y1 ≤ y2, in pixels of the upright original image and within it."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


def parse_boxes(response: str, width: int, height: int) -> list[Box] | None:
    """All boxes of an answer, in its order. Takes any text and never raises.

    Besides the family's own form it takes: several boxes to a label; tags that were dropped (``car[[75, 658, 305,
    850]]``), left open or cut off; boxes without a label; missing brackets; two corners in brackets of their own;
    ``<quad>``, of which the upright box around it is given; full-width signs; JSON (``{"bbox_2d": […], "label": …}``,
    ``{"car": […]}``, ``{"x1": …}``); corners and edges by name, in any order (``Top-left: (75, 658), …``, ``左上角…``,
    ``x1: 75, …``, ``x, y, width, height``); two points with a word between; percentages. Boxes that repeat what a
    ``<pred>`` of a scene graph relates are left out. Five numbers are a box and one too many, the last; corners may be
    in any order; what lies outside of the image is clipped.

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
        _box(label, [*map(float, four)], 1 if fractions and _is_fraction(four) else GRID, width, height)
        for label, four in found
    ]


def parse_text_boxes(response: str, width: int, height: int) -> tuple[str, list[Box] | None]:
    """The text of an OCR answer with boxes, ``<ref>text</ref><box>…</box>`` for each line, and the boxes of its lines.

    The order is the model's, which reads as people do. A line whose box is missing or cut off is in the text all the
    same; one with several boxes is there once. Where the tags were dropped, the text is the answer without coordinates.

    Args:
        response: The model's text, special tokens kept if the tokenizer can.
        width: Of the upright original, in pixels.
        height: Likewise.

    Returns:
        The text, a line a line, and the boxes, labelled with their text; no boxes if the answer says that there is no
        text; None where it has text but nothing that is a box.
    """
    plain = response.translate(PLAIN)
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
