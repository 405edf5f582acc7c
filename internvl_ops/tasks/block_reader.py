"""Takes an answer apart, line by line, into blocks."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace

from internvl_ops.page_texts.tables import Table, html_table, markdown_lines, markdown_table
from internvl_ops.tasks.block_types import (
    CAPTION,
    CODE,
    FIGURE,
    FOOTNOTE,
    FORMULA,
    HEADING,
    LIST,
    PARAGRAPH,
    TABLE,
    TAGGED,
    Block,
    Blocks,
)

_TAG = re.compile(
    r"<(header|footer|page_number|figcaption|caption|footnote)\b[^<>]*>", re.IGNORECASE
)
FOOTNOTE_MARK = re.compile(r"\[\^([^\]\[\s]{1,20})\]:[ \t]*(.*)")
_FOOTNOTE_END = re.compile(r"</footnote>", re.IGNORECASE)
_FENCE = re.compile(r"(`{3,}|~{3,})([^`]*)")
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
_HEADING_END = re.compile(r"(?:[ \t]+#+)+$")
_HTML_HEADING = re.compile(r"<h([1-6])\b[^<>]*>(.*?)(?:</h\1\s*>|$)", re.IGNORECASE)
_ITEM = re.compile(r"(?:[-*+•]|\d{1,9}[.)])[ \t]+\S.*")
_FIGURE = re.compile(r"!\[([^\]]*)\]\(([^()]*)\)")
_IMAGE = re.compile(r"<img\b([^<>]*)>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?:[-*_=][ \t]*){3,}")
_SPLITS = re.compile(
    r"</?(?:p|div|html|body|main|article|section|center|figure)\b[^<>]*>|</(?:table|h[1-6])\s*>"
    r"|<table\b[^<>]*>?"
    r"|<(?:h[1-6]|img|header|footer|page_number|figcaption|caption|footnote)\b[^<>]*>",
    re.IGNORECASE,
)
_STAYS = (
    "<table",
    "<h1",
    "<h2",
    "<h3",
    "<h4",
    "<h5",
    "<h6",
    "<img",
    "<header",
    "<footer",
    "<page",
    "<figc",
    "<cap",
    "<footn",
)
_TABLE_TAGS = re.compile(r"<(/?)table\b[^<>]*>?", re.IGNORECASE)
_CELL_ENDS = re.compile(r"</(?:tr|td|th|thead|tbody|tfoot)\s*>", re.IGNORECASE)
_BLANK = re.compile(r"\n[^\S\n]*\n")
_MATHS = {"$$": "$$", "\\[": "\\]"}
ENVIRONMENT = re.compile(r"\\begin\{((?:equation|align|gather|multline|eqnarray)\*?)\}")
_BEGINS_ENDS = re.compile(r"\\(begin|end)\{(\w+\*?)\}")


class BlockReader:
    """Takes lines from the front and adds blocks."""

    def __init__(self, text: str, found: Blocks) -> None:
        self._lines = deque(line.strip() if line.strip() else "" for line in text.split("\n"))
        self._raw = deque(text.split("\n"))
        self._found = found
        self._paragraph: list[str] = []

    def read(self) -> None:
        while self._lines:
            if not self._block():
                self._paragraph.append(self._take())
        self._end_paragraph()

    def _take(self) -> str:
        self._raw.popleft()
        return self._lines.popleft()

    def _push(self, *lines: str) -> None:
        for line in reversed(lines):
            self._lines.appendleft(line.strip())
            self._raw.appendleft(line)

    def _block(self) -> bool:
        """Takes a block that begins with this line; False if the line is one of a paragraph."""
        line = self._lines[0]
        if not line or _SEPARATOR.fullmatch(line):
            self._take()
            self._end_paragraph()
            return True
        if fence := _FENCE.fullmatch(line):
            self._code(fence[1])
        elif tag := _TAG.match(line):
            self._tagged(tag)
        elif count := markdown_lines(self._lines_ahead()):
            self._table(markdown_table([self._take() for _ in range(count)]))
        elif figure := _FIGURE.fullmatch(line) or _IMAGE.fullmatch(line):
            self._take()
            self._add(FIGURE, _described(figure))
        elif heading := _HTML_HEADING.match(line):
            self._take()
            self._push("", line[heading.end() :])
            self._heading(_SPLITS.sub(" ", heading[2]), int(heading[1]))
        elif splits := _SPLITS.search(line):
            self._split(line, splits)
        elif delimiter := next((one for one in _MATHS if line.startswith(one)), None):
            self._formula(delimiter, _MATHS[delimiter], keeps=False)
        elif environment := ENVIRONMENT.match(line):
            self._formula(environment[0], f"\\end{{{environment[1]}}}", keeps=True)
        elif heading := _HEADING.fullmatch(line):
            self._take()
            self._heading(heading[2], len(heading[1]))
        elif _ITEM.fullmatch(line):
            self._list()
        elif footnote := FOOTNOTE_MARK.fullmatch(line):
            self._footnote(footnote)
        else:
            return False
        return True

    def _footnote(self, mark: re.Match[str]) -> None:
        """Takes a footnote as Markdown writes it, ``[^1]: text``, and the lines that go on with
        it."""
        self._take()
        lines = [f"{mark[1]} {mark[2]}".strip()]
        while self._lines and self._lines[0] and not self._begins_other():
            if _ITEM.fullmatch(self._lines[0]):
                break
            lines.append(self._take())
        text = _FOOTNOTE_END.sub("", "\n".join(lines)).strip()
        if text:
            self._add(
                FOOTNOTE, "\n".join(line.rstrip() for line in text.split("\n") if line.strip())
            )

    def _heading(self, text: str, level: int) -> None:
        self._end_paragraph()
        text = _HEADING_END.sub("", text.strip()).strip()
        if text:
            self._add(HEADING, text, level=level)

    def _lines_ahead(self) -> list[str]:
        """The lines up to the next blank one, if the first can begin a table."""
        ahead: list[str] = []
        if "|" in self._lines[0]:
            for line in self._lines:
                if not line:
                    break
                ahead.append(line)
        return ahead

    def _add(
        self, kind: str, text: str, *, level: int | None = None, html: str | None = None
    ) -> None:
        self._end_paragraph()
        blocks = self._found.blocks
        if kind == LIST and blocks and blocks[-1].type == LIST:
            blocks[-1] = replace(blocks[-1], text=f"{blocks[-1].text}\n{text}")
        else:
            blocks.append(Block(kind, text, level, html))

    def _repaired(self, what: str) -> None:
        self._found.repairs.append(
            f"block {len(self._found.blocks) + bool(self._paragraph) + 1}: {what}"
        )

    def _end_paragraph(self) -> None:
        lines, self._paragraph = self._paragraph, []
        # A table is still among the lines if tags beside it were split from it.
        first = next(
            (number for number in range(len(lines)) if markdown_lines(lines[number : number + 2])),
            len(lines),
        )
        if first:
            self._found.blocks.append(Block(PARAGRAPH, "\n".join(lines[:first])))
        if first < len(lines):
            count = markdown_lines(lines[first:])
            self._table(markdown_table(lines[first : first + count]))
            self._paragraph = lines[first + count :]
            self._end_paragraph()

    def _split(self, line: str, found: re.Match[str]) -> None:
        """Takes a table, or puts what stands beside a tag on lines of their own."""
        if found.start() == 0 and found[0].lower().startswith("<table"):
            self._html_table()
            return
        self._take()
        tag, after = found[0], line[found.end() :]
        if tag.lower().startswith(_STAYS):
            # An <img> behind which the line goes on stands at its start.
            self._push(
                *([line[: found.start()], "", tag + after] if found.start() else [tag, "", after])
            )
        else:
            self._push(line[: found.start()], "", after)

    def _html_table(self) -> None:
        self._end_paragraph()
        text = "\n".join(self._raw)
        depth, end = 0, None
        for tag in _TABLE_TAGS.finditer(text):
            depth += -1 if tag[1] else 1
            if depth == 0:
                end = tag.end()
                break
        closed = end is not None
        if end is None:
            ends = [tag.end() for tag in _CELL_ENDS.finditer(text)]
            blank = _BLANK.search(text, ends[-1] if ends else 0)
            rest = text[ends[-1] :] if ends else ""
            end = len(text) if blank is None else blank.start()
            if ends and "<t" not in rest.lower():
                end = ends[-1]
        lines = text[end:].split("\n")
        self._lines, self._raw = deque(map(str.strip, lines)), deque(lines)
        table = html_table(text[:end])
        if not closed:
            table.repairs.insert(0, "it was not closed")
        self._table(table)

    def _table(self, table: Table) -> None:
        if table.caption:
            self._add(CAPTION, table.caption)
        self._end_paragraph()
        for repair in table.repairs:
            self._repaired(f"a table: {repair}")
        if table.rows:
            self._add(TABLE, table.text, html=table.html)

    def _code(self, fence: str) -> None:
        self._end_paragraph()
        self._take()
        lines: list[str] = []
        while self._lines:
            raw, line = self._raw[0], self._take()
            if line.startswith(fence) and not line.strip(fence[0]):
                break
            lines.append(raw.rstrip())
        else:
            self._repaired("a code block was not closed")
        text = "\n".join(lines).strip("\n")
        if text.strip():
            self._add(CODE, text)

    def _tagged(self, tag: re.Match[str]) -> None:
        self._end_paragraph()
        line = self._take()
        self._push(line[tag.end() :])
        name = tag[1].lower()
        text, closed = self._until(f"</{name}>")
        if not closed:
            self._repaired(f"<{name}> was not closed")
        if text:
            self._add(TAGGED[name], text)

    def _formula(self, opens: str, closes: str, *, keeps: bool) -> None:
        self._end_paragraph()
        line = self._take()
        self._push(line[len(opens) :])
        text, closed = self._until(closes)
        if not closed:
            self._repaired(f"a formula was not closed by {closes}")
        text, missing = balanced(text)
        if keeps:  # dollars have no place in an environment, and would end the formula that it is
            text = "\n".join(filter(None, (opens, re.sub(r"\$(?=\$)", "$ ", text), closes)))
        if missing:
            self._repaired(f"a formula lacked {missing}")
        if text:
            self._add(FORMULA, text)

    def _until(self, end: str) -> tuple[str, bool]:
        """The text up to ``end``, or else up to a blank line; and whether ``end`` was there."""
        lines: list[str] = []
        while self._lines:
            line = self._take()
            if found := re.search(re.escape(end), line, re.IGNORECASE):
                self._push("", line[found.end() :])
                lines.append(line[: found.start()].rstrip())
                return "\n".join(filter(None, lines)), True
            if not line and lines:
                break
            lines.append(line)
        return "\n".join(filter(None, lines)), False

    def _list(self) -> None:
        self._end_paragraph()
        lines: list[str] = []
        while self._lines:
            if self._lines[0] and self._begins_other():
                break
            if not self._lines[0]:
                after = next((line for line in self._lines if line), "")
                if not _ITEM.fullmatch(after) or _SEPARATOR.fullmatch(after):
                    break
                self._take()
                continue
            if _SEPARATOR.fullmatch(self._lines[0]):
                break
            indent = len(self._raw[0]) - len(self._raw[0].lstrip()) if lines else 0
            lines.append(" " * indent + self._take())
        self._add(LIST, "\n".join(lines))

    def _begins_other(self) -> bool:
        line = self._lines[0]
        if _SPLITS.search(line) or markdown_lines(self._lines_ahead()):
            return True
        return not _ITEM.fullmatch(line) and bool(
            _FENCE.fullmatch(line)
            or _TAG.match(line)
            or line.startswith(tuple(_MATHS))
            or ENVIRONMENT.match(line)
            or _HEADING.fullmatch(line)
            or _FIGURE.fullmatch(line)
            or FOOTNOTE_MARK.fullmatch(line)
        )


def _described(figure: re.Match[str]) -> str:
    if figure.re is _FIGURE:
        return figure[1].strip() or figure[2].strip()
    described = _ALT.search(figure[1])
    return (described[1] or described[2] or "").strip() if described else ""


def balanced(formula: str) -> tuple[str, str]:
    """A formula with the braces and ends of environments that it lacks, and what these are."""
    missing: list[str] = []
    for one in re.finditer(r"\\(begin|end)\{(\w+\*?)\}|\\.|[{}]", formula):
        end = f"\\end{{{one[2]}}}"
        if one[1] == "begin":
            missing.append(end)
        elif one[1] == "end" and missing[-1:] == [end]:
            missing.pop()
        elif one[0] == "{":
            missing.append("}")
        elif one[0] == "}" and missing[-1:] == ["}"]:
            missing.pop()
    lacking = "".join(reversed(missing))
    between = "\n" if lacking and formula.endswith("\\") else ""
    return formula + between + lacking, lacking
