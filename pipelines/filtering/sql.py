"""Pieces of SQL that several rules share."""

from __future__ import annotations

from pipelines.output.sql import literal

# A word, or one letter of a script that is written without blanks between words.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+"


def words(column: str) -> str:
    """The list of a text's words; letters of Chinese, Japanese, Thai and the like count as a word
    each."""
    return f"regexp_extract_all({column}, {literal(_WORD)})"


def lines(column: str) -> str:
    """The list of a text's lines, trimmed, without blank ones."""
    trimmed = f"list_transform(string_split({column}, chr(10)), lambda line: trim(line))"
    return f"list_filter({trimmed}, lambda line: line <> '')"


def repeated_share(items: str) -> str:
    """Share of a list's items that are equal to an earlier one; 0 of an empty list."""
    return f"coalesce(1 - len(list_distinct({items})) / nullif(len({items}), 0), 0)"
