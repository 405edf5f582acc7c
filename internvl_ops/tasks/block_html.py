"""Prepares an answer in HTML for the reader of blocks, which knows tables, headings, figures and
the lines of Markdown: lists become such lines, code a code block, and entities characters."""

from __future__ import annotations

import html
import re

_TABLE = re.compile(r"<table\b.*?(?:</table\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_LIST_TAG = re.compile(r"<(/?)(ul|ol|li)\b[^<>]*>", re.IGNORECASE)
_IN_ITEMS = re.compile(r"</?(?:p|div|span)\b[^<>]*>", re.IGNORECASE)
_PRE = re.compile(r"<pre\b[^<>]*>(.*?)(?:</pre\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_CODE_TAG = re.compile(r"</?code\b[^<>]*>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_HEAD = re.compile(r"<!doctype[^<>]*>|<!--.*?-->|<(head|style|script)\b.*?</\1\s*>",
                   re.IGNORECASE | re.DOTALL)  # fmt: skip
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)


def html_as_lines(answer: str) -> str:
    """An answer in HTML as `read_blocks` reads it. Tables stay as they are; no text is dropped but
    comments, scripts and what a head holds."""
    answer = _HEAD.sub("", answer)
    parts, end = [], 0
    for table in _TABLE.finditer(answer):
        parts += [_lines(answer[end : table.start()]), table[0]]
        end = table.end()
    return "".join([*parts, _lines(answer[end:])])


def _lines(text: str) -> str:
    parts, end = [], 0
    for code in _PRE.finditer(text):
        inside = html.unescape(_CODE_TAG.sub("", code[1])).strip("\n")
        longest = max(map(len, re.findall(r"`+", inside)), default=0)
        fence = "`" * max(3, longest + 1)
        parts += [_characters(_lists(text[end : code.start()]))]
        parts += [f"\n\n{fence}\n{inside}\n{fence}\n\n"] if inside.strip() else []
        end = code.end()
    return "".join([*parts, _characters(_lists(text[end:]))])


def _lists(text: str) -> str:
    open_lists: list[list[int]] = []  # of each its last number; empty for one without numbers
    parts, end = [], 0
    for tag in _LIST_TAG.finditer(text):
        parts.append(_item_text(text[end : tag.start()]) if open_lists else text[end : tag.start()])
        end, name, closes = tag.end(), tag[2].lower(), bool(tag[1])
        if name == "li":
            if not closes:
                parts.append(_item_mark(open_lists))
        elif closes:
            open_lists = open_lists[:-1]
            parts.append("\n" if open_lists else "\n\n")
        else:
            parts.append("" if open_lists else "\n\n")
            open_lists.append([0] if name == "ol" else [])
    rest = text[end:]
    return "".join([*parts, _item_text(rest) if open_lists else rest])


def _item_mark(open_lists: list[list[int]]) -> str:
    indent = "  " * (len(open_lists) - 1)
    if not open_lists or not open_lists[-1]:
        return f"\n{indent}- "
    open_lists[-1][0] += 1
    return f"\n{indent}{open_lists[-1][0]}. "


def _item_text(text: str) -> str:
    return " ".join(_IN_ITEMS.sub(" ", _BREAK.sub(" ", text)).split())


def _characters(text: str) -> str:
    """Entities as characters, but those that would begin a tag, and line breaks as such."""
    return _ENTITY.sub(_character, _BREAK.sub("\n", text))


def _character(entity: re.Match[str]) -> str:
    character = html.unescape(entity[0])
    return entity[0] if character in ("<", ">") else character
