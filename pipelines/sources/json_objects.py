"""Reads JSON as programs write it: with NaN, integers of any size, and lone surrogates where a text
was cut."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

# Longer than any 64-bit integer: the fast reader would turn such an integer into a float.
_LONG_NUMBER = re.compile(rb"\d{20}")
_MOST_DIGITS = 4_000  # digits of an integer; Python refuses longer ones, which stay text


@dataclass
class Parsed:
    """A parsed object.

    Args:
        fields: Its keys and values.
        mended: For each key whose value was repaired, what was wrong.
    """

    fields: dict[str, Any]
    mended: dict[str, str] = field(default_factory=dict)


def parse_object(data: bytes, *, other: str | None = None) -> Parsed:
    """Reads one JSON object.

    Args:
        data: JSON in UTF-8, or with the byte order mark of UTF-16.
        other: Key for a value that is no object; by default it is refused.

    Raises:
        ValueError: With a description of what is wrong.
    """
    data = _in_utf8(data)
    plain = not _LONG_NUMBER.search(data)
    try:
        value = orjson.loads(data) if plain else _second_try(data, None)
    except orjson.JSONDecodeError as error:
        plain, value = False, _second_try(data, error)
    if type(value) is not dict:
        if other is None:
            raise ValueError(f"a JSON {type(value).__name__}, where an object is needed")
        value = {other: value}
    try:
        return Parsed(value) if plain else _mended(value)
    except RecursionError:
        raise ValueError("not JSON (nested too deep)") from None


def _in_utf8(data: bytes) -> bytes:
    """``data`` without a byte order mark, which stands within a file that was put together from
    several."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def _second_try(data: bytes, error: orjson.JSONDecodeError | None) -> Any:
    try:
        # strict=False: tabs and newlines within texts, as in JSON that is written by hand.
        return json.loads(data.decode(errors="surrogateescape"), parse_int=_whole, strict=False)
    except (ValueError, RecursionError) as other:
        why = "nested too deep" if isinstance(other, RecursionError) else error or other
        raise ValueError(f"not JSON ({why})") from None


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _mended(value: dict[str, Any]) -> Parsed:
    """Replaces lone surrogates and invalid UTF-8, which Arrow strings cannot hold."""
    parsed = Parsed({})
    for key, item in value.items():
        found: list[bool] = []
        whole = _well_formed(key)
        while whole in parsed.fields:  # two keys that differ only in what is replaced
            whole += "�"
        parsed.fields[whole] = _deep(item, found)
        if found:
            parsed.mended[whole] = (
                "holds characters that are cut or not UTF-8; they are U+FFFD here"
            )
    return parsed


def _deep(value: Any, found: list[bool]) -> Any:
    if isinstance(value, str):
        whole = _well_formed(value)
        if whole != value:
            found.append(True)
        return whole
    if isinstance(value, list):
        return [_deep(item, found) for item in value]
    if isinstance(value, dict):
        return {_well_formed(key): _deep(item, found) for key, item in value.items()}
    return value


def _well_formed(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
