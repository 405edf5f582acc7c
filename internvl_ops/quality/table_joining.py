"""Joins a table that goes on at the head of the next page."""

from __future__ import annotations

import re

from internvl_ops.tasks.block_tables import Table, html_table, markdown_lines, markdown_table

_OPENS = re.compile(r"\s*<table\b[^<>]*>", re.IGNORECASE)
_CLOSES = re.compile(r"</table\s*>\s*$", re.IGNORECASE)
_ANY = re.compile(r"</?table\b", re.IGNORECASE)
_LAST = re.compile(r".*(?=<table\b)", re.IGNORECASE | re.DOTALL)
_FIRST_ROW = re.compile(
    r"\s*(?:<thead[^<>]*>\s*)?<tr\b.*?</tr\s*>(?:\s*</thead\s*>)?", re.IGNORECASE | re.DOTALL
)


def join_tables(above: str, below: str) -> tuple[str, str] | None:
    """Joins the table at the end of a page with the one at the head of the next.

    Both are in HTML, or both in Markdown; they have the same number of columns; and the second has
    no head, an empty one, or that of the first; the latter two then go.

    Args:
        above: The text of a page.
        below: The text of the next one.

    Returns:
        The two texts, to be put on consecutive lines; None if there is no such table.
    """
    if _CLOSES.search(above) and _OPENS.match(below):
        return _in_html(above, below)
    return _in_markdown(above.rstrip(), below.lstrip("\n"))


def _in_html(above: str, below: str) -> tuple[str, str] | None:
    last, opens = _LAST.match(above), _OPENS.match(below)
    closes = re.search(r"</table\s*>", below, re.IGNORECASE)
    if (
        last is None
        or opens is None
        or closes is None
        or _ANY.search(below, opens.end(), closes.start())
    ):
        return None
    first, second = html_table(above[last.end() :]), html_table(below[: closes.end()])
    skipped = _skipped(
        first, second, has_head=any(cell.head for row in second.rows[:1] for cell in row)
    )
    if skipped is None:
        return None
    rest = below[opens.end() :]
    head = _FIRST_ROW.match(rest) if skipped else None
    if skipped and head is None:
        return None
    return _CLOSES.sub("", above).rstrip(), rest[head.end() :].lstrip() if head else rest.lstrip()


def _in_markdown(above: str, below: str) -> tuple[str, str] | None:
    lines, following = above.split("\n"), below.split("\n")
    start = len(lines)
    while start and lines[start - 1].strip().startswith("|"):
        start -= 1
    count = len(lines) - start
    taken = 0
    while taken < len(following) and following[taken].strip().startswith("|"):
        taken += 1
    if not count or not taken or markdown_lines(lines[start:]) != count:
        return None
    rule = taken > 1 and _is_rule(following[1])
    first, second = markdown_table(lines[start:]), markdown_table(following[:taken])
    skipped = _skipped(first, second, has_head=rule)
    if skipped is None:
        return None
    return above, "\n".join(following[2 if skipped else 0 :])


def _is_rule(line: str) -> bool:
    return "-" in line and not line.strip(" |:-")


def _skipped(first: Table, second: Table, *, has_head: bool) -> bool | None:
    """Whether the first row of the second table repeats a head; None if the second is a table of
    its own."""
    if not first.rows or not second.rows or _columns(first) != _columns(second):
        return None
    repeats = [cell.text for cell in first.rows[0]] == [cell.text for cell in second.rows[0]]
    if has_head and not any(cell.text for cell in second.rows[0]):
        return True  # Markdown has no table without a head, so this one is empty
    if has_head:
        return True if repeats and len(second.rows) > 1 else None
    return False


def _columns(table: Table) -> int:
    return sum(cell.columns for cell in table.rows[0])
