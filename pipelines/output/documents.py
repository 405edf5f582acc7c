"""Reassembles pages into documents: one row or one Markdown file per document, in page order, failed pages marked.

At the end of a run ``documents/`` is rebuilt completely from ``results/`` and ``errors/``, so the folders always agree;
other files in that folder stay. Pages are sorted in SQLite in a temporary file, so memory does not grow with their
number.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.output.folder import DOCUMENTS, ERRORS, RESULTS, OutputFolder
from pipelines.output.markdown import write_markdown
from pipelines.output.ownership import mark, parquet_name

DOCUMENTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("num_pages", pa.int32()),
        ("failed_pages", pa.list_(pa.struct([("page", pa.int32()), ("kind", pa.string()), ("message", pa.string())]))),
        ("cut_pages", pa.list_(pa.int32())),
        ("run_id", pa.string()),
    ]
)
ROWS_PER_FILE = 1000
_PAGE_ID = re.compile(r"(.*)#page=([1-9][0-9]{0,8})", re.DOTALL)  # the form of the ids from `stages.explode`

Page = tuple[int, str | None, str | None, str | None, str | None]  # number, text, finish reason, error kind, message


def write_documents(output: OutputFolder, text_column: str, form: str, run_id: str) -> int:
    """Rebuilds ``documents/``.

    A document's text is the text of its pages, separated by empty lines. In place of a failed page there is an HTML
    comment with the error. A document whose pages could not be listed is only in ``errors/``.

    Args:
        output: Output with the finished pages.
        text_column: Column of ``results/`` with the text of a page.
        form: ``parquet``: files of many documents; ``markdown``: one file per document, named by the document's id.
        run_id: Written into file names and rows.

    Returns:
        The number of documents.
    """
    before = [name for name, run in output.writers(DOCUMENTS).items() if run is not None]
    with tempfile.TemporaryDirectory(prefix="internvl-documents-") as folder:
        pages = _sorted_pages(output, text_column, Path(folder) / "pages.db")
        documents = (document(name, group, run_id) for name, group in grouped(pages))
        if form == "markdown":
            count = write_markdown(output, ((row["id"], row["text"]) for row in documents), run_id)
        else:
            count = _write_parquet(output, documents, run_id)
            write_markdown(output, iter(()), run_id)
    for name in before:
        output.remove(name)
    return count


def _sorted_pages(output: OutputFolder, text_column: str, path: Path) -> Iterator[tuple[str, Page]]:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("CREATE TABLE pages (parent TEXT, page INTEGER, text TEXT, reason TEXT, kind TEXT, message TEXT)")
    db.execute("BEGIN")
    for rows in itertools.chain(_read_pages(output, text_column), failed_pages(output)):
        db.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", rows)
    db.execute("COMMIT")
    db.execute("CREATE INDEX by_page ON pages (parent, page)")
    # A page may have an old error and a new text: the text comes first.
    for parent, *page in db.execute("SELECT * FROM pages ORDER BY parent, page, kind IS NOT NULL"):
        yield parent, tuple(page)
    db.close()


def _read_pages(output: OutputFolder, text_column: str) -> Iterator[Iterable[tuple[Any, ...]]]:
    for _, table in output.read_tables(RESULTS, ["parent", "page", text_column, "finish_reason"]):
        columns = (table[name].to_pylist() for name in ("parent", "page", text_column, "finish_reason"))
        yield ((*row, None, None) for row in zip(*columns, strict=True) if row[0] is not None)


def failed_pages(output: OutputFolder) -> Iterator[Iterable[tuple[Any, ...]]]:
    """Pages that failed. A document that failed as a whole is not one of them, whatever its id looks like."""
    for name in output.files(ERRORS):
        if "stage" not in output.read_schema(name).names:
            continue
        table = output.read_table(name, ["id", "kind", "message", "stage"])
        yield (
            (match[1], int(match[2]), None, None, row["kind"], row["message"])
            for row in table.to_pylist()
            if row["kind"] != "duplicate_id"
            and row["stage"] not in ("read", "explode")
            and (match := _PAGE_ID.fullmatch(row["id"]))
        )


def grouped(pages: Iterator[tuple[str, Page]]) -> Iterator[tuple[str, list[Page]]]:
    """The pages of each document, the first one of each number. They must be sorted."""
    for parent, group in itertools.groupby(pages, key=lambda item: item[0]):
        by_number = itertools.groupby((page for _, page in group), key=lambda page: page[0])
        yield parent, [next(same) for _, same in by_number]


def document(name: str, pages: list[Page], run_id: str) -> dict[str, Any]:
    """A row of `DOCUMENTS_SCHEMA`."""
    return {
        "id": name,
        "text": "\n\n".join(_page_text(page) for page in pages),
        "num_pages": len(pages),
        "failed_pages": [
            {"page": number, "kind": kind, "message": message} for number, _, _, kind, message in pages if kind
        ],
        "cut_pages": [number for number, _, reason, _, _ in pages if reason not in (None, "stop")],
        "run_id": run_id,
    }


def _page_text(page: Page) -> str:
    number, text, _, kind, message = page
    if kind is None:
        return text or ""
    said = f"page {number} failed: {kind}: {message}".replace("--", "- -").replace("\n", " ")
    return f"<!-- {said} -->"


def _write_parquet(output: OutputFolder, documents: Iterator[dict[str, Any]], run_id: str) -> int:
    count = 0
    for number in itertools.count():
        rows = list(itertools.islice(documents, ROWS_PER_FILE))
        if not rows:
            return count
        table = pa.Table.from_pylist(rows, DOCUMENTS_SCHEMA).replace_schema_metadata(mark(run_id))
        output.write_table(f"{DOCUMENTS}/{parquet_name(run_id, number)}", table)
        count += len(rows)
    return count
