"""Benchmarks about whole pages: plans the pages of a folder, and joins what is true of them with
the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS
from internvl_ops.evaluation.page_truths import PageRule, PageTruth
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks.ocr import without_fence
from pipelines.options.rules import refuse
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.sources import SourcePlan, Split, plan_source
from pipelines.sources.storage import check_scheme, kind_of, open_input, walk
from pipelines.wiring.sources import source_options

PAGE_FIELDS = pa.schema(
    [
        ("page", pa.string()),
        ("split", pa.string()),
        ("category", pa.string()),
        ("answers", pa.list_(pa.string())),
    ]
)
_LARGEST = 1 << 30  # bytes of a file of truths; the published ones have a hundredth
_SHOWN = 5


def plan_pages(options: Any, rule: PageRule) -> SourcePlan:
    """Plans the pages of which something is true.

    Raises:
        ConfigurationError: The input has no such folder or no file of truths, something in one
            cannot be used, or it is about files that are not there.
    """
    unused = ("annotations", "id_column", "media_root")
    refuse(options, unused, f"--benchmark {options.benchmark} reads a folder of pages")
    root, files = _root(options), _truth_files(options, rule)
    media = BENCHMARKS[options.benchmark].media
    changes: dict[str, Any] = {
        "uri": f"{root}/{rule.folder}",
        "format": "files",
        "limit": None,  # counts files that something is said about
        f"{media}_column": media,
    }
    plan = plan_source(replace(source_options(options), **changes))
    names = [name for split in plan.splits for name in split.paths or ()]
    if not names:
        raise ConfigurationError(
            f"--input {safe_uri(root)}: {rule.folder}/ has too many files for a benchmark."
        )
    truths = _read(options, rule, files, names)
    wanted = {truth.file for truth in truths}
    missing = sorted(wanted.difference(names))
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise ConfigurationError(
            f"--input {safe_uri(root)}: {len(missing):,} of the {len(wanted):,} files that it is"
            f" about are not in {rule.folder}/: {shown}. Download them beside it, or choose a part"
            " by --split."
        )
    splits = list(_only(plan.splits, wanted, options.limit))
    rows = sum(split.rows or 0 for split in splits)
    return replace(plan, splits=splits, total_rows=rows, left_out={})


def page_rows(options: Any, plan: SourcePlan, output: OutputFolder) -> list[dict[str, Any]]:
    """A row for each thing that is true of a page, with the answer about the page or the error."""
    benchmark = BENCHMARKS[options.benchmark]
    assert benchmark.pages is not None
    names = [name for split in plan.splits for name in split.paths or ()]
    truths = _read(options, benchmark.pages, _truth_files(options, benchmark.pages), names)
    answers = {
        row["id"]: row["answer"]
        for _, table in output.read_tables(RESULTS, ["id", "answer"])
        for row in table.to_pylist()
    }
    errors = {
        row["id"]: f"{row['kind']}: {row['message']}"
        for _, table in output.read_tables(ERRORS, ["id", "kind", "message"])
        for row in table.to_pylist()
    }
    there = set(names)
    return [_row(truth, answers, errors) for truth in truths if truth.file in there]


def _row(truth: PageTruth, answers: dict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    answer = answers.get(truth.unit)
    error = None
    if answer is None:  # a document that could not be opened fails as a whole
        error = errors.get(truth.unit) or errors.get(truth.file)
        error = error or f"not_found: there is no answer about {truth.unit}"
    return {
        "id": truth.id,
        "page": truth.unit,
        "split": truth.split,
        "category": truth.category,
        "answers": [truth.truth],
        "response": None if answer is None else without_fence(answer),
        "error": error,
    }


def _root(options: Any) -> str:
    return check_scheme("--input", options.input).rstrip("/")


def _truth_files(options: Any, rule: PageRule) -> list[str]:
    """The names of the files of truths; with ``--split``, of those that have it in their names."""
    root = _root(options)
    form = f"a folder with {rule.folder}/ and {rule.suffix} files beside it"
    if kind_of(root) != "directory" or kind_of(f"{root}/{rule.folder}") != "directory":
        raise ConfigurationError(
            f"--input {safe_uri(options.input)}: --benchmark {options.benchmark} needs {form}, as"
            " published. There is no such folder."
        )
    names = sorted(name for name in walk(root, recursive=False) if name.endswith(rule.suffix))
    if not names:
        raise ConfigurationError(
            f"--input {safe_uri(options.input)}: --benchmark {options.benchmark} needs {form}, as"
            f" published. There is no {rule.suffix} file."
        )
    chosen = [name for name in names if options.split is None or options.split in name]
    if not chosen:
        raise ConfigurationError(
            f"--split {options.split}: none of the files has it in its name: {', '.join(names)}."
        )
    return chosen


def _read(options: Any, rule: PageRule, files: list[str], names: list[str]) -> list[PageTruth]:
    """What is true of the pages. A part of the benchmark, chosen by ``--split``, is about its own
    pages alone."""
    texts = {name: _text(f"{_root(options)}/{name}") for name in files}
    try:
        truths = rule.read(texts, names)
    except ValueError as error:
        raise ConfigurationError(f"--input {safe_uri(options.input)}: {error}.") from None
    if options.split is None:
        return truths
    own = {name.removesuffix(rule.suffix) for name in files}
    about = {truth.file for truth in truths if truth.split in own}
    return [truth for truth in truths if truth.file in about]


def _text(uri: str) -> str:
    with open_input(uri) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ConfigurationError(f"{safe_uri(uri)} has more than {_LARGEST:,} bytes.")
    try:
        return bytes(content).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{safe_uri(uri)} is not UTF-8; convert it.") from None


def _only(splits: list[Split], wanted: set[str], limit: int | None) -> Iterator[Split]:
    """The splits with the wanted files alone, the first ``limit`` of them."""
    first = 0
    for split in splits:
        paths = tuple(name for name in split.paths or () if name in wanted)
        paths = paths if limit is None else paths[: max(0, limit - first)]
        if paths:
            yield replace(split, paths=paths, rows=len(paths), first_row=first)
            first += len(paths)
