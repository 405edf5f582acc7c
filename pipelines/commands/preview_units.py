"""The units that several tries answer: rows of a manifest."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.media.parts import Part
from internvl_ops.preparer import MediaReader, Unit
from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.options.job_options import JobOptions
from pipelines.sources import SourcePlan, read_split
from pipelines.stages import wire
from pipelines.stages.explode import part_id
from pipelines.wiring.media import ReaderArguments, explodes, read_policy, reader_arguments

# most files of a manifest that are read; its draw is uniform over all rows up to this number
FILES = 16
Numbered = tuple[int, Part]  # a part of a file, with its number from 1


def draw_rows(plan: SourcePlan, count: int, seed: int) -> pa.Table:
    """Rows at random, in the order of the manifest. Of more than `FILES` files, as many are drawn
    first.

    Args:
        plan: Plan of the manifest.
        count: Most rows.
        seed: The same seed draws the same rows of the same manifest.
    """
    places = list(range(len(plan.splits)))
    if len(places) > FILES:
        places = sorted(random.Random(seed).sample(places, FILES))
    draw = np.random.default_rng(abs(seed))
    kept, keys = plan.table_schema.empty_table(), np.empty(0)
    for place in places:
        for table in read_split(plan, plan.splits[place]):
            drawn = draw.random(len(table))
            fits = np.flatnonzero(drawn < (np.inf if len(keys) < count else keys.max()))
            if not len(fits):
                continue
            both, rows = (
                np.concatenate([keys, drawn[fits]]),
                pa.concat_tables([kept, table.take(pa.array(fits))]),
            )
            best = np.sort(np.argsort(both, kind="stable")[:count])
            kept, keys = rows.take(pa.array(best)), both[best]
    return kept


def units_of(rows: pa.Table, options: JobOptions, plan: SourcePlan, seed: int | None) -> pa.Table:
    """The units of rows, with what the stages after `explode` need.

    Args:
        rows: Rows of ``plan``.
        options: Options of the job.
        plan: Plan of the input.
        seed: Draws one page or clip of each file; None takes the first page, or all that the
            options ask for.
    """
    if explodes(options, plan.media_kind):
        reading = reader_arguments(options, read_policy(options, plan), plan.media_kind)
        rows = _parts_of(rows, reading, _chooser(options, seed))
    keys = [unit_key(unit_id or "") for unit_id in rows[c.ID].to_pylist()]
    return rows.append_column(c.KEY, pa.array(keys, pa.binary(16)))


def _chooser(
    options: JobOptions, seed: int | None
) -> Callable[[Sequence[Numbered]], Sequence[Numbered]]:
    if seed is not None:
        draw = random.Random(seed)
        return lambda parts: [draw.choice(parts)]
    whole = options.pages or options.clip_scenes or options.clip_seconds is not None
    return lambda parts: parts if whole else parts[:1]


def _parts_of(
    rows: pa.Table,
    reading: ReaderArguments,
    choose: Callable[[Sequence[Numbered]], Sequence[Numbered]],
) -> pa.Table:
    """Chosen pages or clips of each file."""
    reader = MediaReader(*reading)
    places: list[int] = []
    parts: list[Part | None] = []
    ids, errors = [], []
    try:
        for row, (unit_id, media, error) in enumerate(
            zip(rows[c.ID].to_pylist(), wire.media_of(rows), rows[c.ERROR].to_pylist(), strict=True)
        ):
            found = reader.list_parts(Unit((), media)) if error is None else []
            if isinstance(found, UnitError):
                error, found = c.error_value(found), []
            chosen: Sequence[tuple[int, Part | None]] = (
                choose(list(enumerate(found, 1))) if found else [(0, None)]
            )
            for number, part in chosen:
                places.append(row)
                parts.append(part)
                ids.append(unit_id if part is None else part_id(unit_id, number, part))
                errors.append(error)
    finally:
        reader.close()
    table = rows.take(pa.array(places, pa.int64()))
    table = table.set_column(table.column_names.index(c.ID), c.ID, pa.array(ids, pa.string()))
    table = c.set_errors(table, errors)
    return c.with_columns(table, {c.PART: [wire.encode_part(part) for part in parts]}, c.EXPLODED)
