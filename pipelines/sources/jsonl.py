"""JSONL manifests: types are inferred from a sample, and every line is checked against them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.sources.conversion import set_aside
from pipelines.sources.json_columns import Build, build_columns, find_columns, make_builders
from pipelines.sources.json_objects import Parsed, parse_object
from pipelines.sources.lines import Broken, Line, batches, read_filled_lines, sample_lines
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows

_SAMPLED_ROWS = 10_000
_SAMPLED_BYTES = 16 << 20
_SAMPLED_FILES = 50
_MEND_ARRAY = "jq -c '.[]' FILE > FILE.jsonl"
_MEND_LINES = "jq -c . FILE > FILE.jsonl"


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Finds columns and types in about 10,000 rows or 16 MiB, taken from up to 50 files, heads
    first."""
    rows: list[dict[str, Any]] = []
    first_bad = None
    chosen = splits[:: -(-len(splits) // _SAMPLED_FILES) or 1]
    for split in chosen:
        lines = sample_lines(
            split.uri, _SAMPLED_ROWS // len(chosen) or 1, _SAMPLED_BYTES // len(chosen)
        )
        for place, line in enumerate(lines):
            if place == 0:
                _refuse_array(split, line)
            value = parse_line(line)
            if isinstance(value, Parsed):
                rows.append(value.fields)
            else:
                first_bad = first_bad or f"the first in {split.name} is {value}"
    if rows:
        columns, details = find_columns(rows, options)
        return columns, splits, details
    if first_bad is None:
        return pa.schema([]), splits, {"json_text": []}
    raise ConfigurationError(
        f"--input {options.uri}: none of the lines sampled is a JSON object: {first_bad}. JSONL has"
        " one object a line, in UTF-8. A compressed file needs its suffix (.gz, .zst, .bz2, .xz);"
        f" a JSON array: {_MEND_ARRAY}; objects over several lines: {_MEND_LINES}"
    )


def _refuse_array(split: Split, first: bytes | Broken) -> None:
    """Refuses a file that is one JSON array: it is called JSON too, and may have one object per
    line."""
    if first in (b"[", b"[\r"):
        raise ConfigurationError(
            f"--input: {split.uri} is a JSON array; one object a line is needed: {_MEND_ARRAY}"
        )


def count(plan: SourcePlan, split: Split) -> int:
    return sum(1 for _ in islice(read_filled_lines(split.uri), split.max_rows))


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    builders = make_builders(plan)
    for batch in batches(islice(read_filled_lines(split.uri), split.max_rows), batch_rows):
        yield _rows(plan, builders, batch)


def _rows(plan: SourcePlan, builders: dict[str, Build], batch: list[Line]) -> RawRows:
    raw = RawRows({}, np.fromiter((number for number, _ in batch), np.int64, len(batch)))
    rows: list[dict[str, Any]] = []
    for index, (_, line) in enumerate(batch):
        value = parse_line(line)
        if isinstance(value, str):
            raw.problems[index] = value
            value = Parsed({})
        for key in value.mended:
            set_aside(plan, raw, index, key, value.mended[key])
        rows.append(value.fields)
    build_columns(builders, rows, raw, chosen=bool(plan.options.names))
    return raw


def parse_line(line: bytes | Broken) -> Parsed | str:
    """The object on a line, or what is wrong with it."""
    if isinstance(line, Broken):
        return line.message
    try:
        return parse_object(line)
    except ValueError as error:
        return (
            f"{error}; one object a line is needed"
            if str(error).startswith("not JSON")
            else str(error)
        )
