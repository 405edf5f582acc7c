"""Joins a table that goes on at the head of the next page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from internvl_ops.page_texts.tables import Table, html_table, markdown_lines, markdown_table

_OPENS = re.compile(r"\s*<table\b[^<>]*>", re.IGNORECASE)
_CLOSES = re.compile(r"</table\s*>\s*$", re.IGNORECASE)
_ANY = re.compile(r"</?table\b", re.IGNORECASE)
_LAST = re.compile(r".*(?=<table\b)", re.IGNORECASE | re.DOTALL)
_FIRST_ROW = re.compile(
    r"\s*(?:<thead[^<>]*>\s*)?<tr\b.*?</tr\s*>(?:\s*</thead\s*>)?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Begun:
    """A table that runs from page to page: what of its first page decides how it goes on.

    Args:
        columns: Its number of columns.
        head: The texts of its first row.
    """

    columns: int
    head: list[str]


class Joined(NamedTuple):
    """Two texts to be put on consecutive lines; the table that runs from one to the other."""

    above: str
    below: str
    begun: Begun


def join_tables(above: str, below: str, begun: Begun | None = None) -> Joined | None:
    """Joins the table at the end of a page with the one at the head of the next.

    Both are in HTML, or both in Markdown; they have the same number of columns; and the second has
    no head, an empty one, or that of the first; the latter two then go.

    Args:
        above: The text of a page.
        below: The text of the next one.
        begun: The table with which ``above`` begins, if it was joined to the page before: its first
            rows stand there. So each page of a long table is read once.

    Returns:
        None if there is no such table.
    """
    if _CLOSES.search(above) and _OPENS.match(below):
        return _in_html(above, below, begun)
    return _in_markdown(above.rstrip(), below.lstrip("\n"), begun)


def _in_html(above: str, below: str, begun: Begun | None) -> Joined | None:
    last, opens = _LAST.match(above), _OPENS.match(below)
    closes = re.search(r"</table\s*>", below, re.IGNORECASE)
    if (
        (last is None and begun is None)
        or opens is None
        or closes is None
        or _ANY.search(below, opens.end(), closes.start())
    ):
        return None
    if last is not None:
        begun = _begun(html_table(above[last.end() :]))
    second = html_table(below[: closes.end()])
    has_head = any(cell.head for row in second.rows[:1] for cell in row)
    skipped = _skipped(begun, second, has_head=has_head)
    if begun is None or skipped is None:
        return None
    rest = below[opens.end() :]
    head = _FIRST_ROW.match(rest) if skipped else None
    if skipped and head is None:
        return None
    return Joined(
        _CLOSES.sub("", above).rstrip(),
        rest[head.end() :].lstrip() if head else rest.lstrip(),
        begun,
    )


def _in_markdown(above: str, below: str, begun: Begun | None) -> Joined | None:
    lines, following = above.split("\n"), below.split("\n")
    start = len(lines)
    while start and lines[start - 1].strip().startswith("|"):
        start -= 1
    count = len(lines) - start
    taken = 0
    while taken < len(following) and following[taken].strip().startswith("|"):
        taken += 1
    if not count or not taken:
        return None
    if start or begun is None:
        if markdown_lines(lines[start:]) != count:
            return None
        begun = _begun(markdown_table(lines[start:]))
    second = markdown_table(following[:taken])
    skipped = _skipped(begun, second, has_head=taken > 1 and _is_rule(following[1]))
    if begun is None or skipped is None:
        return None
    return Joined(above, "\n".join(following[2 if skipped else 0 :]), begun)


def _is_rule(line: str) -> bool:
    return "-" in line and not line.strip(" |:-")


def _begun(table: Table) -> Begun | None:
    if not table.rows:
        return None
    return Begun(_columns(table), [cell.text for cell in table.rows[0]])


def _skipped(first: Begun | None, second: Table, *, has_head: bool) -> bool | None:
    """Whether the first row of the second table repeats a head; None if the second is a table of
    its own."""
    if first is None or not second.rows or first.columns != _columns(second):
        return None
    repeats = first.head == [cell.text for cell in second.rows[0]]
    if has_head and not any(cell.text for cell in second.rows[0]):
        return True  # Markdown has no table without a head, so this one is empty
    if has_head:
        return True if repeats and len(second.rows) > 1 else None
    return False


def _columns(table: Table) -> int:
    return sum(cell.columns for cell in table.rows[0])
