"""Media become tiles and token ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.gauge import Gauge
from internvl_ops.generation import ChatConversation, RenderedConversation
from internvl_ops.media.parts import WHOLE, Part
from internvl_ops.prepare import Prepared, Unit, UnitPreparer, preview
from internvl_ops.tasks import Task
from pipelines import columns as c
from pipelines.options import row_sampling
from pipelines.stages.rows import asked_of, media_of, worker_name

PREVIEWS = 24  # pictures each prepare actor makes for the report


class Prepare:
    """CPU actor: fetch, decode, tile, render.

    Args:
        make_preparer: Of the preparer that does it.
        task: What is asked.
        clip_columns: Columns in which a row says which seconds of its video are asked about.
        sampling_column: Column in which a row says how its answer is generated.
    """

    def __init__(
        self,
        make_preparer: Callable[[], UnitPreparer],
        task: Task,
        clip_columns: tuple[str, str] | None = None,
        sampling_column: str | None = None,
    ) -> None:
        self._preparer = make_preparer()
        self._task, self._clip_columns, self._sampling_column = task, clip_columns, sampling_column
        self._previews_left = PREVIEWS
        self._name, self._gauge = worker_name(), Gauge()

    def __call__(self, rows: pa.Table) -> pa.Table:
        with self._gauge:
            rows = self._prepare(rows)
        return c.with_reading(rows, c.PREPARE_GAUGE, self._name, self._gauge.read())

    def close(self) -> None:
        """Ends the decoder's process; an actor's ends with the actor."""
        self._preparer.close()

    def _prepare(self, rows: pa.Table) -> pa.Table:
        errors = rows[c.ERROR].to_pylist()
        units: dict[int, Unit] = {}
        for row, unit in enumerate(self._units(rows, errors)):
            if isinstance(unit, UnitError):
                errors[row] = c.error_value(unit)
            elif unit is not None:
                units[row] = unit
        prepared: list[Prepared | None] = [None] * len(rows)
        for row, outcome in zip(units, self._preparer.prepare(list(units.values())), strict=True):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            else:
                prepared[row] = outcome
        spent = [name for name in (c.MEDIA, c.PART) if name in rows.column_names]
        rows = c.set_errors(rows.drop_columns(spent), errors)
        return c.with_columns(rows, self._columns(prepared), c.PREPARED)

    def _units(self, rows: pa.Table, errors: Sequence[dict | None]) -> Iterator[Unit | UnitError | None]:
        """A unit a row, None for one that has failed before."""
        asked = asked_of(rows, self._task)
        samplings = rows[self._sampling_column].to_pylist() if self._sampling_column else [None] * len(rows)
        for error, row, media, part, sampling in zip(
            errors, asked, media_of(rows), self._parts(rows), samplings, strict=True
        ):
            try:
                yield None if error else Unit(self._task.converse(row), media, part, row_sampling(sampling))
            except UnitError as problem:
                yield problem

    def _parts(self, rows: pa.Table) -> list[Part]:
        if c.PART in rows.column_names:
            return [Part(**part) if part else WHOLE for part in rows[c.PART].to_pylist()]
        if self._clip_columns:
            times = zip(*(rows[name].to_pylist() for name in self._clip_columns), strict=True)
            return [Part(start=start, end=end) for start, end in times]
        return [WHOLE] * len(rows)

    def _columns(self, prepared: list[Prepared | None]) -> dict[str, list]:
        return {
            c.CONVERSATIONS: [p and [_as_value(one) for one in p.conversations] for p in prepared],
            c.TILES: [p and _buffer(p.tiles) for p in prepared],
            c.HASHES: [p and p.hashes for p in prepared],
            c.PICTURES: [p and p.pictures for p in prepared],
            c.PREVIEW: [p and self._preview(p) for p in prepared],
            "width": [p and p.width for p in prepared],
            "height": [p and p.height for p in prepared],
            "num_tiles": [p and p.num_tiles for p in prepared],
            "num_frames": [p and p.num_images for p in prepared],
            "notes": [p and p.notes for p in prepared],
            "source_version": [p and (p.version or None) for p in prepared],
        }

    def _preview(self, prepared: Prepared) -> bytes | None:
        if self._previews_left <= 0:
            return None
        self._previews_left -= 1
        return preview(prepared)


def _buffer(tiles: np.ndarray) -> memoryview | bytes:
    """The array itself, not a copy of its bytes: Arrow copies it once into the block that goes to the engine."""
    return np.ascontiguousarray(tiles).data.cast("B") if tiles.size else b""


def _as_value(conversation: RenderedConversation | ChatConversation) -> dict[str, object]:
    if isinstance(conversation, ChatConversation):
        told = {"chat": vars(conversation.chat), "follow_ups": conversation.follow_ups, "repair": conversation.repair}
        return {"chat": json.dumps(told), "sampling": json.dumps(vars(conversation.sampling))}
    return vars(conversation) | {
        "images": [vars(image) for image in conversation.images],
        "sampling": json.dumps(vars(conversation.sampling)),
    }
