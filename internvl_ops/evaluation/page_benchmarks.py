"""Benchmarks about whole pages, whose answers are Markdown."""

from __future__ import annotations

from typing import Any

from internvl_ops.evaluation import olmocr_bench, omnidocbench
from internvl_ops.evaluation.benchmark import Benchmark, BenchmarkRow
from internvl_ops.evaluation.page_truths import PageRule
from internvl_ops.tasks.ocr import OCR_MAX_NEW_TOKENS

PAGE_PROMPT = (
    "Write this page as Markdown in the order in which it is read: headings, lists, tables as HTML"
    " tables, formulas as LaTeX between dollar signs. Leave out page headers, page footers and page"
    " numbers. Add nothing. Answer with the Markdown alone."
)


def _no_rows(row: BenchmarkRow, split: str) -> dict[str, Any]:
    raise ValueError("the pages of a folder are asked, not the rows of a table")


def _of_pages(**settings: Any) -> Benchmark:
    return Benchmark(
        prompt=PAGE_PROMPT,
        needs={},
        read=_no_rows,
        fields=(),
        max_tiles=24,
        max_new_tokens=OCR_MAX_NEW_TOKENS,
        exif="apply",  # there are no published figures to compare with
        **settings,
    )


PAGE_BENCHMARKS: dict[str, Benchmark] = {
    "olmocr_bench": _of_pages(
        title="olmOCR-Bench",
        metric="share of facts that the answers state",
        score=olmocr_bench.score,
        summarise=olmocr_bench.summarise,
        media="document",
        pages=PageRule("pdfs", ".jsonl", olmocr_bench.read_facts),
    ),
    "omnidocbench": _of_pages(
        title="OmniDocBench",
        metric="edit distance of text, formulas and order, TEDS of tables",
        score=omnidocbench.score,
        summarise=omnidocbench.summarise,
        pages=PageRule("images", ".json", omnidocbench.read_pages),
    ),
}
