"""Reassembles pages into documents: one row or one Markdown file per document, in page order,
failed pages marked.

At the end of a run, documents that have new pages are made from ``results/`` and ``errors/``, so
the folders always agree; other files in ``documents/`` stay. Pages are sorted in SQLite in a
temporary file, so memory does not grow with their number.
"""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.scratch import ScratchFolder
from internvl_ops.tasks.block_types import BLOCK
from pipelines import columns as c
from pipelines.output.document_rows import DOCUMENTS_SCHEMA, Joining, Page, document, grouped
from pipelines.output.documented import Documented, read_documented, write_documented
from pipelines.output.folder import DOCUMENTS, ERRORS, RESULTS, OutputFolder
from pipelines.output.markdown import write_markdown
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.result_columns import DOCUMENT_INFO, carried_names

ROWS_PER_FILE = 1000
_LOGPROB = "mean_logprob"  # of a page's answer, with --log-probs
_BLOCKS = "blocks"  # of a page, with --blocks
_BLOCKS_AS_JSON = pa.schema([(_BLOCKS, pa.string())])
_OPTIONAL = (*DOCUMENT_INFO, _LOGPROB, _BLOCKS)
# the form of the ids from `stages.explode`
_PAGE_ID = re.compile(r"(.*)#page=([1-9][0-9]{0,8})", re.DOTALL)


def write_documents(
    output: OutputFolder, text_column: str, form: str, run_id: str, joining: Joining | None = None
) -> int:
    """Brings ``documents/`` up to date.

    A document's text is the text of its pages, separated by empty lines. An HTML comment stands in
    place of a failed page, with the error, and of a blank one, and behind a page whose answer was
    cut off. A document whose pages could not be listed is only in ``errors/``.

    Only documents that have new rows, or lost some, are made. If `documented` cannot tell which
    these are, all are.

    Args:
        output: Output with the finished pages.
        text_column: Column of ``results/`` with the text of a page.
        form: ``parquet``: files of many documents; ``markdown``: one file per document, named by
            the document's id.
        run_id: Written into file names and rows.
        joining: How pages are put together; by default, each stands for itself.

    Returns:
        The number of documents that were made.
    """
    files = (*output.files(RESULTS), *output.files(ERRORS))
    joining = joining or Joining()
    now = Documented(
        form, text_column, files, len(output.list_names(DOCUMENTS)), made=made_how(joining)
    )
    before = read_documented(output)
    names: set[str] | None = None
    if before is not None and before.continues(now):
        names = _with_new_rows(output, set(files) - set(before.files)) | set(before.stale)
    count = (
        0
        if names is not None and not names
        else _make(output, text_column, form, run_id, names, joining)
    )
    now = replace(now, entries=len(output.list_names(DOCUMENTS)))
    if now != before:
        write_documented(output, now)
    return count


def _with_new_rows(output: OutputFolder, new: Collection[str]) -> set[str]:
    """The documents that have rows in the files ``new``."""
    names: set[str] = set()
    for _, table in output.read_tables(RESULTS, ["parent"], only=new):
        names.update(pc.unique(table["parent"]).drop_null().to_pylist())
    for rows in failed_pages(output, new):
        names.update(row[0] for row in rows)
    return names


def made_how(joining: Joining) -> str:
    """By what the documents of an output would differ; they are all made anew if it changes."""
    return repr((joining, DOCUMENTS_SCHEMA.names))


def _make(
    output: OutputFolder,
    text_column: str,
    form: str,
    run_id: str,
    names: set[str] | None,
    joining: Joining,
) -> int:
    """Makes the documents called ``names``, or all, in place of those that are there."""
    before = [name for name, run in output.writers(DOCUMENTS).items() if run is not None]
    with ScratchFolder() as folder:
        pages = _sorted_pages(output, text_column, folder / "pages.db", names)
        documents = (document(name, group, run_id, joining) for name, group in grouped(pages))
        if form == "markdown":
            texts = ((row["id"], row["text"]) for row in documents)
            count = write_markdown(output, texts, run_id, replaces=names)
        else:
            count = _write_parquet(output, documents, run_id)
            if names is None:
                write_markdown(output, iter(()), run_id)  # removes those of an earlier form
    if names is None:
        for name in before:
            output.remove(name)
    else:
        _remove_documents(output, before, names)
    return count


def _remove_documents(output: OutputFolder, files: Collection[str], names: set[str]) -> None:
    """Removes the documents called ``names`` from files of earlier runs."""
    wanted = pa.array(sorted(names), pa.string())
    for name, ids in output.read_tables(DOCUMENTS, ["id"], only=files):
        gone = pc.is_in(ids["id"], wanted)
        if not pc.any(gone).as_py():
            continue
        table = output.read_table(name).filter(pc.invert(gone))
        if len(table):
            output.write_table(name, table)
        else:
            output.remove(name)


def _sorted_pages(
    output: OutputFolder, text_column: str, path: Path, names: set[str] | None
) -> Iterator[tuple[str, Page]]:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute(
        "CREATE TABLE pages (parent TEXT, page INTEGER, text TEXT, reason TEXT, kind TEXT, message"
        " TEXT, label TEXT, about TEXT, logprob REAL, blocks TEXT)"
    )
    db.execute("BEGIN")
    for rows in itertools.chain(_read_pages(output, text_column, names), failed_pages(output)):
        wanted = rows if names is None else (row for row in rows if row[0] in names)
        db.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", wanted)
    db.execute("COMMIT")
    db.execute("CREATE INDEX by_page ON pages (parent, page)")
    # A page may have an old error and a new text: the text comes first.
    for parent, *page in db.execute("SELECT * FROM pages ORDER BY parent, page, kind IS NOT NULL"):
        yield parent, Page(*page)
    db.close()


def _read_pages(
    output: OutputFolder, text_column: str, names: set[str] | None
) -> Iterator[Iterable[tuple[Any, ...]]]:
    columns = ["parent", "page", text_column, "finish_reason"]
    only = None if names is None else _files_with(output, names)
    for file, table in output.read_tables(RESULTS, columns, only=only, optional=_OPTIONAL):
        if there := {_LOGPROB, _BLOCKS}.intersection(table.column_names):
            # columns of the manifest, whatever they hold
            table = table.drop_columns(list(there & {*carried_names(output.read_schema(file))}))
        if _BLOCKS in table.column_names:
            table = c.with_columns(table, {_BLOCKS: _as_json(table[_BLOCKS])}, _BLOCKS_AS_JSON)
        said = [
            table[one].to_pylist() if one in table.column_names else [None] * len(table)
            for one in _OPTIONAL
        ]
        values = [table[name].to_pylist() for name in columns]
        read = zip(*values, *said, strict=True)
        yield ((*row[:4], None, None, *row[4:]) for row in read if row[0] is not None)


def _as_json(blocks: pa.ChunkedArray) -> list[str | None]:
    """The blocks of each page as JSON, in the form of this version."""
    names = [field.name for field in BLOCK]
    return [
        None
        if page is None
        else json.dumps([{name: one.get(name) for name in names} for one in page])
        for page in blocks.to_pylist()
    ]


def _files_with(output: OutputFolder, names: set[str]) -> set[str]:
    """The files of results that have a page of one of these documents."""
    wanted = pa.array(sorted(names), pa.string())
    tables = output.read_tables(RESULTS, ["parent"])
    return {name for name, table in tables if pc.any(pc.is_in(table["parent"], wanted)).as_py()}


def failed_pages(
    output: OutputFolder, only: Collection[str] | None = None
) -> Iterator[Iterable[tuple[Any, ...]]]:
    """Pages that failed, in all files or only in some.

    A document that failed as a whole is not one of them, whatever its id looks like.
    """
    for name in output.files(ERRORS):
        if only is not None and name not in only:
            continue
        if "stage" not in output.read_schema(name).names:
            continue
        table = output.read_table(name, ["id", "kind", "message", "stage"])
        yield (
            (match[1], int(match[2]), None, None, row["kind"], row["message"], *[None] * 4)
            for row in table.to_pylist()
            if row["kind"] != "duplicate_id"
            and row["stage"] not in ("read", "explode")
            and (match := _PAGE_ID.fullmatch(row["id"]))
        )


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
