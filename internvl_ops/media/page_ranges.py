"""Selects pages of a document by ranges such as "1-3,7"."""

from __future__ import annotations

import re


def select_pages(ranges: str, count: int) -> list[int]:
    """The pages selected by ranges such as "1-3,7" or "10-", in a document with ``count`` pages.

    Args:
        ranges: Page numbers from 1 and ranges of them, separated by commas; empty means all.
            Numbers past the end are left out, since one setting serves documents of all lengths.
        count: Number of pages of the document.

    Returns:
        Page numbers from 1, ascending, each once.

    Raises:
        ValueError: ``ranges`` cannot be read.
    """
    if not ranges.strip():
        return list(range(1, count + 1))
    pages: set[int] = set()
    for part in ranges.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:(-)\s*(\d*)\s*)?", part)
        first = last = int(match[1]) if match else 0
        if match and match[2]:  # a range, which may be open
            last = int(match[3] or max(count, first))
        if not 1 <= first <= last:
            raise ValueError(
                f"pages {ranges!r} is not allowed: write numbers and ranges from 1, such as"
                " 1-3,7,10-"
            )
        pages.update(range(first, min(last, count) + 1))
    return sorted(pages)
