"""TXT manifests: one URI per line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sources.lines import Broken, Line, batches, read_filled_lines
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    return pa.schema([(options.media_name[1], pa.string())]), splits, {}


def count(plan: SourcePlan, split: Split) -> int:
    return sum(1 for _ in islice(read_filled_lines(split.uri), split.max_rows))


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    for batch in batches(islice(read_filled_lines(split.uri), split.max_rows), batch_rows):
        yield _rows(plan, batch)


def _rows(plan: SourcePlan, batch: list[Line]) -> RawRows:
    problems: dict[int, str] = {}
    uris: list[str | None] = []
    for row, (_, line) in enumerate(batch):
        try:
            uris.append(line.decode("utf-8-sig").strip())  # type: ignore[union-attr]
        except (AttributeError, UnicodeDecodeError) as error:
            problems[row] = (
                line.message if isinstance(line, Broken) else f"line is not UTF-8 ({error})"
            )
            uris.append(None)
    numbers = np.fromiter((number for number, _ in batch), np.int64, len(batch))
    return RawRows({str(plan.media_column): pa.array(uris, pa.string())}, numbers, problems)
