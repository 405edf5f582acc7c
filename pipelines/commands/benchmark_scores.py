"""Scores what a benchmark's job wrote: its samples, its figures, and the text that is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from internvl_ops.evaluation import Sample
from internvl_ops.evaluation.published import PUBLISHED, beside_published, decimals
from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.benchmark_rows import BenchmarkRows
from pipelines.commands.benchmark_settings import asked_benchmark
from pipelines.commands.judges import judge_of, judged
from pipelines.commands.page_benchmarks import PAGE_FIELDS, page_rows
from pipelines.output.folder import ERRORS, EVALUATION, RESULTS, RUNS, OutputFolder
from pipelines.output.parquet_bytes import as_parquet
from pipelines.output.side_files import write_side_file
from pipelines.sources import SourcePlan, read_split

SAMPLES, SCORES = f"{EVALUATION}/samples.parquet", f"{EVALUATION}/scores.json"


def score_benchmark(options: Any, plan: SourcePlan) -> str:
    """Scores all rows of the output and writes each sample and the figures to ``evaluation/``.

    Returns:
        The text that the job prints: a table with the figures and the published ones.
    """
    output = OutputFolder(options.output)
    benchmark = replace(asked_benchmark(options), no_letter=options.no_letter)
    if benchmark.pages is not None:
        rows, fields = page_rows(options, plan, output), PAGE_FIELDS
    else:
        reshape: Any = plan.options.reshape
        answered = list(_answered(output, reshape))
        rows = [*answered, *_failed(output, plan, reshape, {row["id"] for row in answered})]
        fields = reshape.fields
    samples = [_sample(row) for row in rows]
    run_id = max(
        (name for name in output.list_names(RUNS) if not name.startswith(".")), default="run"
    )
    unjudged = 0
    if benchmark.judge is not None:
        samples, unjudged = judged(options, benchmark.judge, samples, run_id)
    scores, figures = benchmark.evaluate(samples)
    if benchmark.judge is not None:
        judge = options.judge_model or ""
        frames = options.num_frames if benchmark.media == "video" and options.fps is None else None
        figures.table = {
            benchmark.judge.column(column, judge, frames): one
            for column, one in figures.table.items()
        }
    scored = [{**row, "score": score} for row, score in zip(rows, scores, strict=True)]
    failed, left_out = sum(sample.failed for sample in samples), scores.count(None)
    if benchmark.judge is not None:
        scored = [
            {**row, "judgement": one.judgement} for row, one in zip(scored, samples, strict=True)
        ]
    own = [("response", pa.string()), ("score", pa.float64()), ("error", pa.string())]
    own += [("judgement", pa.string())] if benchmark.judge is not None else []
    schema = pa.schema([("id", pa.string()), *fields, *own])
    samples_at = write_side_file(
        output, SAMPLES, as_parquet(pa.Table.from_pylist(scored, schema)), run_id, beside=True
    )
    result = {
        "benchmark": options.benchmark,
        "model": safe_uri(options.model),
        "questions": len(samples),
        "failed": failed,
        "left_out": left_out,
        "release": options.release,
        "figures": figures.table,
        "categories": figures.categories,
        "published": _published(options.benchmark),
        "prompt": options.prompt or benchmark.prompt,
        "max_tiles": options.max_tiles,
        "max_new_tokens": options.max_new_tokens or benchmark.max_new_tokens,
        "min_new_tokens": max(benchmark.min_new_tokens, options.min_new_tokens),
        "exif": options.exif,
        **(
            {"num_frames": options.num_frames, "frame_rule": options.frame_rule}
            if benchmark.media == "video"
            else {}
        ),
        **({"no_letter": options.no_letter} if benchmark.scores else {}),
        **({"judge": judge_of(options), "not_judged": unjudged} if benchmark.judge else {}),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False).encode()
    scores_at = write_side_file(output, SCORES, text, run_id, beside=True)
    counts = f", {failed:,} of which failed and count as wrong" if failed else ""
    counts += (
        f", {left_out:,} of which have answers without a letter and are left out"
        if left_out
        else ""
    )
    counts += (
        f", {unjudged:,} of which the judge gave no usable judgement about" if unjudged else ""
    )
    folder = safe_uri(output.uri)
    parts = [
        (
            f"\n{benchmark.title}, {benchmark.metric}: {len(samples):,} questions{counts}. "
            f"Settings of the release: {options.release}."
        ),
        beside_published(options.benchmark, safe_uri(options.model), figures.table),
        *(
            [_categories(figures.categories, decimals(options.benchmark))]
            if figures.categories
            else []
        ),
        f"  scores    {folder}/{scores_at}\n  samples   {folder}/{samples_at}",
    ]
    return "\n\n".join(parts)


def _answered(output: OutputFolder, reshape: BenchmarkRows) -> Iterator[dict[str, Any]]:
    for _, table in output.read_tables(
        RESULTS, ["id", *reshape.fields.names, "answer", "width", "height"]
    ):
        for row in table.to_pylist():
            yield row | {"response": row["answer"], "error": None}


def _failed(
    output: OutputFolder, plan: SourcePlan, reshape: BenchmarkRows, answered: set[str]
) -> Iterator[dict[str, Any]]:
    """Failed questions with their data, so that they count as wrong in their own category."""
    messages = {
        row["source"]: row
        for _, table in output.read_tables(ERRORS, ["id", "source", "kind", "message"])
        for row in table.to_pylist()
        if row["kind"] == "duplicate_id" or row["id"] not in answered
    }
    read: dict[str, dict[str, Any]] = {}
    for split in plan.splits if messages else ():
        for table in read_split(plan, split):
            wanted = [
                row
                for row, source in enumerate(table["__source"].to_pylist())
                if source in messages
            ]
            if wanted:
                rows = table.select([*reshape.fields.names, "__source"]).take(wanted).to_pylist()
                read |= {row["__source"]: row for row in rows}
    for source, message in messages.items():
        unread = {"split": reshape.split_of(source.rpartition(":")[0])}
        error = f"{message['kind']}: {message['message']}"
        yield {**read.get(source, unread), "id": message["id"], "response": None, "error": error}


def _sample(row: dict[str, Any]) -> Sample:
    names = (
        "split",
        "question",
        "answers",
        "category",
        "group",
        "options",
        "box",
        "width",
        "height",
        "response",
    )
    known = {name: row[name] for name in names if row.get(name) is not None}
    return Sample(id=row["id"], failed=row["error"] is not None, **{"split": "", **known})


def _categories(categories: dict[str, dict[str, float]], places: int) -> str:
    columns = list(next(iter(categories.values())))
    lines = [f"| category | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name, figures in categories.items():
        shown = (
            f"{value:.{places}f}" if isinstance(value, float) else f"{value:,}"
            for value in figures.values()
        )
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _published(name: str) -> dict[str, dict[str, float | None]]:
    if name not in PUBLISHED:
        return {}
    table = PUBLISHED[name]
    return {
        model: dict(zip(table.columns, figures, strict=True))
        for model, figures in table.models.items()
    }
