"""Documents become their pages, videos their clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import ray

from internvl_ops.errors import UnitError
from internvl_ops.media.parts import Part
from internvl_ops.prepare import MediaReader, Unit
from pipelines import columns as c
from pipelines.finished import unit_key
from pipelines.ledger import RUN, SKIP
from pipelines.stages.rows import media_of, repeated


class Explode:
    """CPU actor: a document becomes its pages, a video its clips; each is claimed in the ledger."""

    def __init__(self, make_reader: Callable[[], MediaReader], ledger: Any) -> None:
        self._reader, self._ledger = make_reader(), ledger

    def __call__(self, rows: pa.Table) -> pa.Table:
        if not len(rows):
            return _with_parts(rows, [])
        return pa.concat_tables([self._explode(rows.slice(row, 1)) for row in range(len(rows))])

    def _explode(self, row: pa.Table) -> pa.Table:
        parts = [] if row[c.ERROR][0].is_valid else self._reader.list_parts(Unit((), media_of(row)[0]))
        if isinstance(parts, UnitError) or not parts:
            errors = [c.error_value(parts)] if isinstance(parts, UnitError) else row[c.ERROR].to_pylist()
            return _with_parts(c.set_errors(row, errors), [None])
        ids = [part_id(row[c.ID][0].as_py(), number, part) for number, part in enumerate(parts, 1)]
        answers = ray.get(self._ledger.explode.remote(row[c.KEY][0].as_py(), ids, row[c.POSITION][0].as_py()))
        wanted = [number for number, answer in enumerate(answers) if answer != SKIP]
        units = row.take(pa.array([0] * len(wanted), pa.int64()))
        own = {
            c.ID: [ids[number] for number in wanted],
            c.KEY: [unit_key(ids[number], answers[number]) for number in wanted],
        }
        units = c.with_columns(units, own, pa.schema([(c.ID, pa.string()), (c.KEY, pa.binary(16))]))
        source = row[c.SOURCE][0].as_py()
        errors = [repeated("explode", ids[number], source) if answers[number] > RUN else None for number in wanted]
        units = c.set_errors(units, errors)
        return _with_parts(units, [parts[number] for number in wanted], parent=row[c.ID][0].as_py())


def part_id(parent: str, number: int, part: Part) -> str:
    """``parent#page=3`` or ``parent#clip=2``, both counted from 1."""
    return f"{parent}#page={part.page}" if part.page is not None else f"{parent}#clip={number}"


def _with_parts(rows: pa.Table, parts: Sequence[Part | None], parent: str | None = None) -> pa.Table:
    columns = {
        c.PART: [part and vars(part) for part in parts],
        "parent": [parent] * len(parts),
        "page": [part and part.page for part in parts],
        "clip_start": [part and part.start for part in parts],
        "clip_end": [part and part.end for part in parts],
    }
    return c.with_columns(rows, columns, c.EXPLODED)
