"""Finds the objects in an answer that is not quite JSON: cut off, with backslashes that are not
escaped, with quotation marks in texts, or with words around it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from internvl_ops.tasks.block_fields import BOX_FIELDS, LEVEL_FIELDS, TEXT_FIELDS, TYPE_FIELDS

_FIELDS = "|".join((*TYPE_FIELDS, *BOX_FIELDS, *LEVEL_FIELDS, *TEXT_FIELDS))
# An object around the list of blocks: its first field is none of a block, and is no text.
_WRAPPER = re.compile(r"\{\s*\"(\w{1,40})\"\s*:\s*(?=[\[{])")
_NEXT = re.compile(r"\}\s*,?\s*(?=\{\s*\"\w{1,40}\"\s*:)")
_NO_ESCAPE = re.compile(r"\\(?![\"\\/bfnrtu])")
_OPEN_QUOTE = re.compile(r"(?<!\\)\"")
_TYPE = re.compile(rf"\"({'|'.join(TYPE_FIELDS)})\"\s*:\s*\"([^\"\\]*)\"")
_BOX = re.compile(rf"\"({'|'.join(BOX_FIELDS)})\"\s*:\s*\[([^\[\]]*)\]")
_LEVEL = re.compile(rf"\"({'|'.join(LEVEL_FIELDS)})\"\s*:\s*([1-9])")
_TEXT = re.compile(rf"\"({'|'.join(TEXT_FIELDS)})\"\s*:\s*\"")
_TEXT_END = re.compile(rf"\"\s*,\s*\"(?:{_FIELDS})\"\s*:")
_CLOSINGS = ("", "}", '"}', "]}", '"]}', "null}")
_FENCE = re.compile(r"```[a-z]*", re.IGNORECASE)
_WORDS = re.compile(r"\w")
_SHOWN = 80  # characters of what stands outside of the JSON
ESCAPES = "backslashes were not escaped"
BROKEN = "its JSON was broken or cut off; what can be read of it is here"


@dataclass
class Outside:
    """What broken JSON lost.

    Attributes:
        repairs: What was repaired, by the number of the item, from 0.
        texts: What stands outside of its objects.
    """

    repairs: dict[int, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A sentence about the texts; none if there are none."""
        text = " ".join(_FENCE.sub(" ", " ".join(self.texts)).split())
        if not _WORDS.search(text):
            return []
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        return [f"text outside of the JSON was left out: {shown!r}"]


def broken_items(text: str, outside: Outside) -> list[Any]:
    """The objects of an answer, one by one; those that are broken as far as they can be read."""
    decoder = json.JSONDecoder(strict=False)
    items: list[Any] = []
    place = 0
    while (start := text.find("{", place)) >= 0:
        outside.texts.append(text[place:start])
        try:
            value, place = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            wrapper = _WRAPPER.match(text, start)
            if wrapper and wrapper[1] not in _FIELDS.split("|"):
                place = wrapper.end()
                continue
            after = _NEXT.search(text, start)
            place = len(text) if after is None else after.start() + 1
            value, repair = _repaired(text[start:place])
            if value is None:
                outside.texts.append(text[start:place])
                continue
            outside.repairs[len(items)] = repair
        items.append(value)
    outside.texts.append(text[place:])
    return items


def _repaired(chunk: str) -> tuple[dict[str, Any] | None, str]:
    """What can be read of an object, and what was repaired."""
    escaped = _NO_ESCAPE.sub(r"\\\\", chunk)
    for form in dict.fromkeys((chunk, escaped)):
        cut = _without_end(form)
        for closing in _CLOSINGS:
            value = _loaded(cut + closing)
            if isinstance(value, dict) and value:
                return value, BROKEN if closing else ESCAPES
    return _by_fields(chunk), BROKEN


def _without_end(chunk: str) -> str:
    """An object without the ends of what stands around it."""
    kept = chunk.rstrip(" \t\r\n]}`")
    ends = chunk[len(kept) :].find("}")
    return chunk.rstrip().rstrip(",") if ends < 0 else chunk[: len(kept) + ends + 1]


def _by_fields(chunk: str) -> dict[str, Any] | None:
    """The fields of an object that no reader of JSON can read."""
    found: dict[str, Any] = {}
    begins = _TEXT.search(chunk)
    before = chunk if begins is None else chunk[: begins.start()]
    if begins is not None:
        rest = chunk[begins.end() :]
        ends = _TEXT_END.search(rest)
        if ends is None:
            closed = _without_end(rest).removesuffix("}").rstrip()
            rest = closed.removesuffix('"') if closed.endswith('"') else rest.rstrip()
            found[begins[1]] = _unescaped(rest)
        else:
            found[begins[1]] = _unescaped(rest[: ends.start()])
            before += rest[ends.start() :]
    for pattern in (_TYPE, _BOX, _LEVEL):
        if said := pattern.search(before):
            found[said[1]] = said[2]
    return found or None


def _unescaped(text: str) -> str:
    quoted = _OPEN_QUOTE.sub(r"\"", _NO_ESCAPE.sub(r"\\\\", text))
    value = _loaded(f'"{quoted}"')
    return value if isinstance(value, str) else text.replace("\\n", "\n")


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
