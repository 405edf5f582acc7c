"""A row of ``documents/``: the text of all pages, what failed, how the pages ended, and what the
PDF says of itself."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from internvl_ops.page_texts.furniture import without_furniture
from internvl_ops.page_texts.heading_levels import level_headings
from internvl_ops.page_texts.page_joining import BETWEEN_PAGES, Vocabulary, join_pages
from internvl_ops.replies import BLANK
from internvl_ops.tasks.block_types import BLOCK, FURNITURE

FAILED = "failed"  # in place of a finish reason
SAID = ("title", "author", "language")  # of what a PDF says of itself, those that are columns
DOCUMENTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("num_pages", pa.int32()),
        (
            "failed_pages",
            pa.list_(
                pa.struct([("page", pa.int32()), ("kind", pa.string()), ("message", pa.string())])
            ),
        ),
        ("cut_pages", pa.list_(pa.int32())),
        ("blank_pages", pa.list_(pa.int32())),
        (
            "finish_reasons",
            pa.list_(pa.struct([("finish_reason", pa.string()), ("pages", pa.int32())])),
        ),
        *((name, pa.string()) for name in SAID),
        ("page_labels", pa.list_(pa.string())),
        ("page_logprobs", pa.list_(pa.float64())),
        ("min_logprob", pa.float64()),
        ("document_info", pa.string()),  # JSON
        ("blocks", pa.list_(pa.struct([("page", pa.int32()), *BLOCK]))),
        ("run_id", pa.string()),
    ]
)
# The mark behind a page whose answer was cut off, by its finish reason.
CUT = {
    "length": "its answer was cut off",
    "repetition": "its answer went round in a circle and was cut off",
}


class Page(NamedTuple):
    """A page with its answer, or its error.

    Args:
        number: From 1.
        text: Its text.
        reason: The finish reason of the answer.
        kind: The kind of the error; None if it did not fail.
        message: The message of the error.
        label: The label that viewers show for it.
        about: JSON of what the document says of itself, with the first page.
        logprob: The mean log-probability of the tokens of its answer; None if the job does not ask
            for it.
        blocks: JSON of its blocks; None if the job does not ask for them.
    """

    number: int
    text: str | None
    reason: str | None
    kind: str | None = None
    message: str | None = None
    label: str | None = None
    about: str | None = None
    logprob: float | None = None
    blocks: str | None = None


@dataclass(frozen=True)
class Joining:
    """How pages are put together.

    Args:
        words: Undo hyphens at the ends of lines and pages.
        paragraphs: Join paragraphs that run over the end of a page.
        tables: Join tables that run over the end of a page.
        drops_furniture: Leave out page numbers and running heads and feet.
        headings: Give numbered headings the levels of their numbers.
    """

    words: bool = False
    paragraphs: bool = False
    tables: bool = False
    drops_furniture: bool = False
    headings: bool = False


def grouped(pages: Iterable[tuple[str, Page]]) -> Iterator[tuple[str, list[Page]]]:
    """The pages of each document, the first one of each number. They must be sorted."""
    for parent, group in itertools.groupby(pages, key=lambda item: item[0]):
        by_number = itertools.groupby((page for _, page in group), key=lambda page: page.number)
        yield parent, [next(same) for _, same in by_number]


def document(
    name: str, pages: list[Page], run_id: str, joining: Joining | None = None
) -> dict[str, Any]:
    """A row of `DOCUMENTS_SCHEMA`.

    Args:
        name: The document's id.
        pages: Its pages, in order.
        run_id: Id of the run.
        joining: How the pages are put together; by default, each stands for itself.
    """
    about = next((page.about for page in pages if page.about), None)
    said = _said(about)
    known = [page.logprob for page in pages if page.logprob is not None]
    reasons = Counter(FAILED if page.kind else page.reason or "" for page in pages)
    return {
        "id": name,
        "text": _text(pages, joining or Joining()),
        "num_pages": len(pages),
        "failed_pages": [
            {"page": page.number, "kind": page.kind, "message": page.message}
            for page in pages
            if page.kind
        ],
        "cut_pages": [page.number for page in pages if not page.kind and page.reason in CUT],
        "blank_pages": [page.number for page in pages if not page.kind and page.reason == BLANK],
        "finish_reasons": [
            {"finish_reason": one, "pages": count} for one, count in reasons.most_common()
        ],
        **{key: said.get(key) for key in SAID},
        "page_labels": [page.label for page in pages]
        if any(page.label for page in pages)
        else None,
        "page_logprobs": [page.logprob for page in pages] if known else None,
        "min_logprob": min(known, default=None),
        "document_info": about,
        "blocks": _blocks(pages, joining or Joining()),
        "run_id": run_id,
    }


def _blocks(pages: list[Page], joining: Joining) -> list[dict[str, Any]] | None:
    """The blocks of all pages, with the page of each; None if no page has any."""
    if all(page.blocks is None for page in pages):
        return None
    found = [
        {"page": page.number} | block
        for page in pages
        if page.kind is None
        for block in json.loads(page.blocks or "[]")
    ]
    return [one for one in found if not (joining.drops_furniture and one["type"] in FURNITURE)]


def _said(about: str | None) -> dict[str, str]:
    with contextlib.suppress(ValueError):
        said = json.loads(about or "{}")
        return {key: value for key, value in said.items() if isinstance(value, str)}
    return {}


def _text(pages: list[Page], joining: Joining) -> str:
    """The texts of the pages. In place of a failed or blank page, and behind one that was cut off,
    stands a mark."""
    texts = [page.text or "" for page in pages]
    texts = without_furniture(texts) if joining.drops_furniture else texts
    texts = level_headings(texts) if joining.headings else texts
    pages = [page._replace(text=text) for page, text in zip(pages, texts, strict=True)]
    needs_words = joining.words or joining.paragraphs
    vocabulary = Vocabulary([page.text or "" for page in pages] if needs_words else [])
    pieces: list[str] = []
    run: list[str] = []  # texts of whole pages that follow each other
    before = 0

    def end_run() -> None:
        if run:
            asked = {
                "words": joining.words,
                "paragraphs": joining.paragraphs,
                "tables": joining.tables,
            }
            pieces.append(join_pages(run, vocabulary, **asked))
            run.clear()

    for page in pages:
        if page.number != before + 1:
            end_run()
        before = page.number
        mark = _mark(page)
        if page.kind is None and page.reason != BLANK:
            run.append(page.text or "")
        if mark:
            end_run()
            pieces.append(f"<!-- page {page.number} {mark} -->")
    end_run()
    return BETWEEN_PAGES.join(pieces)


def _mark(page: Page) -> str:
    if page.kind is not None:
        return f"failed: {page.kind}: {page.message}".replace("--", "- -").replace("\n", " ")
    if page.reason == BLANK:
        return "is blank"
    return f"ends early: {CUT[page.reason]}" if page.reason in CUT else ""
