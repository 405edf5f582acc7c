"""Finds the label of each box in an answer."""

from __future__ import annotations

import json
import re
from bisect import bisect_right

REF = re.compile(r"<ref>((?:(?!<ref>|<box>|<quad>).)*?)</ref>|<ref>(.*?)(?=<|\[\[|\Z)", re.DOTALL)
OBJECT_REACH = 2000  # characters; a JSON object with a box is smaller
LABEL_KEY = re.compile(
    r"""["'](?:label|text|text_content|name|category|class|object|description|phrase"""
    r"""|标签|名称|类别|文字|文本)["']\s*:\s*"""
    r"""(?:"((?:[^"\\]|\\.)*+)"|'((?:[^'\\]|\\.)*+)')"""
)
LAST_KEY = re.compile(r"""["']([^"'{}\[\]]+)["']\s*:[\s\[(]*\Z""")
BOX_KEY = re.compile(
    r"b?box(?:es)?(?:_?2d)?|bounding_?box(?:es)?|coord\w*|positions?|locations?|rect|坐标\w*|位置|边界框"
    r"|[xy]_?(?:1|2|min|max)?|left|top|right|bottom|w(?:idth)?|h(?:eight)?"
    r"|(?:top|upper|bottom|lower)_?(?:left|right)|points?|corners?|start|end",
    re.IGNORECASE,
)
MARKUP = re.compile(
    r"</?\w{1,20}>|<\|\w{1,20}\|>|```(?:json)?|\b(?:user|assistant)\s*:", re.IGNORECASE
)
LIST_MARK = re.compile(r"\A(?:[-*•]|\d{1,3}[.)])\s+")
NOT_A_LABEL = re.compile(
    r"\bbounding box|\bcoordinates?\b|\bx_?(?:1|min)\b|坐标|边界框", re.IGNORECASE
)
# Text that joins two boxes is not a label, neither alone nor in front of the next label.
JOIN = re.compile(
    r"(?:(?:and|or|also|then|plus|as well as|along with|together with|followed by"
    r"|und|et|и|と|および|及び|그리고|및)(?!\w)"
    r"|[&+]|以及|还有|或者|(?:和(?![服尚平谐牌室弦解])|与(?!会)|及(?!格)|跟(?!踪)|或|并且?)\s*)\s*",
    re.IGNORECASE,
)
JOINING = re.compile(
    r"(?:(?:and|or|also|then|plus|as|well|along|together|with|followed|by|to|from|between"
    r"|another|one|the|other|at|in|is|are|located|respectively|und|et|и|と|および|及び|그리고|및"
    r"|以及|还有|另一个|或者|和|与|及|跟|或|并|且|到|至|在|位于|从)(?![A-Za-z])"
    r"|[\s&+,;.*~→>–—、-])++",
    re.IGNORECASE,
)
FROM = re.compile(r"(?:(?<!\S)(?:from|between|spans|spanning)|从|由)\s*\Z", re.IGNORECASE)


def find_refs(plain: str) -> list[re.Match[str]]:
    """Each ``<ref>label</ref>``, including those whose end tag is missing."""
    return list(REF.finditer(plain))


def label_of_ref(response: str, ref: re.Match[str]) -> str:
    """The label of a match from `find_refs`, as in the answer but without surrounding spaces."""
    start, end = ref.span(1 if ref[1] is not None else 2)
    return " ".join(response[start:end].split())


def find_labels(
    response: str, plain: str, refs: list[re.Match[str]], groups: list[tuple[int, int]]
) -> list[str]:
    """One label for each group of numbers: from its JSON object, from the ``<ref>`` or the text
    before it, or else the label of the previous group; empty if there is none.

    Args:
        response: The answer.
        plain: The same text, character for character, with full-width characters replaced.
        refs: The matches of `find_refs` in ``plain``.
        groups: Start and end of each group's numbers, ascending.
    """
    ref_ends = [ref.end() for ref in refs]
    labels: list[str] = []
    end = 0
    for start, next_end in groups:
        ref = bisect_right(ref_ends, start) - 1
        label = _in_object(response, plain, start, next_end)
        if label is None and ref >= 0 and ref_ends[ref] > end:
            label = _after_line_break(response, plain, ref_ends[ref], start) or label_of_ref(
                response, refs[ref]
            )
        elif label is None:
            between = (
                ""
                if refs and "<box>" in plain[end:start]
                else _text(response[end:start], plain[end:start], joined=end > 0)
            )
            label = between or (labels[-1] if labels else "")
        labels.append(label)
        end = next_end
    return labels


def _after_line_break(response: str, plain: str, start: int, end: int) -> str:
    """The label of an answer that repeats the question with its ``<ref>`` and then omits the tags
    (#953)."""
    between = plain[start:end]
    return (
        _text(response[start:end], between)
        if "\n" in between.strip() and "<box>" not in between
        else ""
    )


def _text(response: str, plain: str, joined: bool = False) -> str:
    """The label in the text before a box: its last line, without characters that belong to the
    boxes.

    Args:
        response: The text, from the previous box or the beginning.
        plain: The same text, character for character, with full-width characters replaced.
        joined: Whether there is a previous box.
    """
    size = len(plain.rstrip(" \t\n\r:=-*[({\"'"))
    text = MARKUP.sub("", response[:size]).rstrip()
    line = text[text.rfind("\n") + 1 :].lstrip(" ])},;.，。；、】）\"'")
    line = " ".join(LIST_MARK.sub("", FROM.sub("", line)).strip(" *#：:").split())
    if NOT_A_LABEL.search(line) or not any(map(str.isalnum, line)):
        return ""
    # a line of text before a box, such as "And[[…"
    own_line = "\n" in text and not plain[size:][:1].isspace()
    if not joined or own_line:
        return line
    if JOINING.fullmatch(line):
        return ""
    return line if "\n" in text else JOIN.sub("", line, count=1)


def _in_object(response: str, plain: str, start: int, end: int) -> str | None:
    """The label in the JSON object that contains the numbers, or else the key of the numbers. None
    if they are not in an object; empty if the object has no label."""
    low = max(0, start - OBJECT_REACH)
    label, inner = None, start
    while (opening := plain.rfind("{", low, inner)) >= 0 and plain.rfind("}", low, inner) < opening:
        closing = plain.find("}", end, end + OBJECT_REACH)
        end = closing + 1 if closing >= 0 else min(len(plain), end + OBJECT_REACH)
        if found := LABEL_KEY.search(plain, opening, end):
            return _unescaped(response[slice(*found.span(1 if found[1] is not None else 2))])
        if key := LAST_KEY.search(plain, opening, inner):
            if not BOX_KEY.fullmatch(key[1]):
                return response[slice(*key.span(1))].strip()
            label, inner = "", opening
        else:
            break
    return label


def _unescaped(text: str) -> str:
    try:
        return " ".join(json.loads(f'"{text}"', strict=False).split())
    except ValueError:
        return text
