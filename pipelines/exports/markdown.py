"""Markdown files: one a document, its pages in their order, failed pages marked; and an index of
them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import orjson

from internvl_ops.errors import ConfigurationError
from internvl_ops.scratch import ScratchFolder
from pipelines.exports.counts import ExportCounts
from pipelines.exports.files import ExportedFiles, Staged
from pipelines.exports.records import Parts, RecordForm
from pipelines.exports.target import Target
from pipelines.output.document_rows import Page, document, grouped
from pipelines.output.documents import failed_pages
from pipelines.output.folder import OutputFolder
from pipelines.output.markdown import markdown_name

INDEX = "index.jsonl"
FOLDER = "documents"  # of the files, if no splits are asked for
_TEXTS = ("text", "caption")


class Markdown(RecordForm):
    """``documents/NAME.md`` or ``SPLIT/NAME.md``, and ``index.jsonl``."""

    @property
    def text(self) -> str | None:
        """Column with the text of a page."""
        return next((name for name in _TEXTS if name in self.answers.own), None)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", "parent", "page", "finish_reason", self.text or "", *self.splitter.needs)

    def check(self) -> None:
        super().check()
        if self.options.kept_columns:
            raise ConfigurationError(
                f"--columns {self.options.columns} has no effect: a Markdown file is text alone."
            )
        if self.text is None:
            raise ConfigurationError(
                "--to markdown: the results have no text. It is for the commands ocr (--ocr-format"
                " text or markdown) and caption."
            )

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        owner, page = (row["id"], 1) if row.get("page") is None else (row["parent"], row["page"])
        return {
            "of": owner,
            "page": page,
            "text": row[self.text or ""] or "",
            "reason": row.get("finish_reason"),
        }

    def assemble(
        self, target: Target, folder: str, staged: Sequence[Staged], counts: ExportCounts
    ) -> ExportedFiles:
        outcome = ExportedFiles()
        with target.writing(f"{folder}/{INDEX}") as index:
            for split in sorted(counts.out):
                parts = Parts(target, [name for one in staged for name in one.files.get(split, ())])
                for entry, text in self._documents(parts):
                    inside = split if self.splitter.asked else FOLDER
                    place = f"{inside}/{markdown_name(entry['id'])}.md"
                    target.write(f"{folder}/{place}", text.encode())
                    outcome.moves.append((f"{folder}/{place}", place))
                    index.write(
                        orjson.dumps({**entry, "file": place}, option=orjson.OPT_APPEND_NEWLINE)
                    )
        outcome.moves.append((f"{folder}/{INDEX}", INDEX))
        outcome.details = {"documents": len(outcome.moves) - 1}
        return outcome

    def _documents(self, parts: Parts) -> Iterator[tuple[dict[str, Any], str]]:
        """An entry of the index, and the text, of each document. Pages are sorted on disk."""
        with ScratchFolder() as folder:
            db = sqlite3.connect(folder / "pages.db", isolation_level=None)
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.execute(
                "CREATE TABLE pages (owner TEXT, page INTEGER, text TEXT, reason TEXT, kind TEXT,"
                " message TEXT)"
            )
            db.execute("BEGIN")
            read = (orjson.loads(line) for line in parts.lines())
            rows = (
                (one["of"], one["page"], one["text"], one["reason"], None, None) for one in read
            )
            db.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", rows)
            db.execute("CREATE INDEX by_page ON pages (owner, page)")
            failed = (
                row[:6] for row in chain.from_iterable(failed_pages(OutputFolder(self.answers.uri)))
            )
            # A document of which no page is exported has no file.
            db.executemany(
                "INSERT INTO pages SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM pages"
                " WHERE owner = ?1)",
                failed,
            )
            db.execute("COMMIT")
            found = db.execute("SELECT * FROM pages ORDER BY owner, page, kind IS NOT NULL")
            for owner, pages in grouped((owner, Page(*page)) for owner, *page in found):
                row = document(owner, pages, "")
                text = row.pop("text")
                del row["run_id"]
                yield row, f"{text}\n"
            db.close()
