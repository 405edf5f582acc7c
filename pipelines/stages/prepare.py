"""Turns media into tiles and token ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.gauge import Gauge
from internvl_ops.media.parts import WHOLE, Part
from internvl_ops.media.sandbox_confinement import available
from internvl_ops.media.times import seconds_of
from internvl_ops.preparer import Prepared, Unit, UnitPreparer
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines import columns as c
from pipelines.failures import errors_with, fill, one_by_one, outcomes
from pipelines.ledger.ledger import Claims
from pipelines.options.row_sampling import row_sampling
from pipelines.stages import wire
from pipelines.stages.previews import UnitSample
from pipelines.stages.row_values import worker_name

PREVIEWS = 24  # units in the report's sample


class Prepare:
    """CPU actor: fetches, decodes, tiles and renders.

    Args:
        make_preparer: Factory of the preparer; called once, in the actor.
        task: Task of the job; makes the prompts.
        clip_columns: For ``start`` and ``end``, the column in which a row gives that time of its
            video.
        sampling_column: Column in which a row gives its sampling parameters.
        stats: Whether the preparer measures pictures; rows then have the columns of
            `columns.STATS`.
        layer: Whether it reads text layers; rows then have the columns of `columns.TEXT_LAYER`.
        ledger: Receives the events of the process, and how its decoder is confined.
        previews: Number of units, drawn from all, of which a small picture is made.
    """

    def __init__(
        self,
        make_preparer: Callable[[], UnitPreparer],
        task: Task,
        clip_columns: Mapping[str, str] | None = None,
        sampling_column: str | None = None,
        stats: bool = False,
        layer: bool = False,
        ledger: Claims | None = None,
        previews: int = PREVIEWS,
    ) -> None:
        self._name, self._gauge = worker_name(), Gauge()
        if ledger is not None:
            ledger.take_events()
            ledger.put_decoder(self._name, json.dumps(available().as_dict()))
        self._preparer = make_preparer()
        self._task, self._clip_columns, self._sampling_column = task, clip_columns, sampling_column
        self._added = pa.unify_schemas([c.PREPARED, *[c.STATS] * stats, *[c.TEXT_LAYER] * layer])
        self._sample = UnitSample(previews)

    def __call__(self, rows: pa.Table) -> pa.Table:
        with self._gauge:
            rows = one_by_one(self._prepare, rows, "decode")
        return wire.with_reading(rows, c.PREPARE_GAUGE, self._name, self._gauge.read())

    def close(self) -> None:
        """Ends the decoder's process. In an actor it ends with the actor."""
        self._preparer.close()

    def _prepare(self, rows: pa.Table) -> pa.Table:
        asked = outcomes(rows, "render", self._unit)
        units = {row: unit for row, unit in enumerate(asked) if isinstance(unit, Unit)}
        found: list[Prepared | UnitError | None] = [
            unit if isinstance(unit, UnitError) else None for unit in asked
        ]
        for row, outcome in zip(units, self._preparer.prepare(list(units.values())), strict=True):
            found[row] = outcome
        rows = c.set_errors(rows, errors_with(rows, found))
        places, known = _places(rows), _known_versions(rows)
        read_with = (
            rows[c.NOTES].to_pylist() if c.NOTES in rows.column_names else [None] * len(rows)
        )
        rows = rows.drop_columns(
            [name for name in (c.MEDIA, c.PART, c.NOTES) if name in rows.column_names]
        )
        # Rows without a ledger, such as those of an estimate, have no key and make no preview.
        keys = rows[c.KEY].to_pylist() if c.KEY in rows.column_names else [None] * len(rows)
        values: list[dict[str, object]] = [
            wire.prepared(
                one, notes=notes or [], places=places[row], preview=self._preview(one, keys[row])
            )
            | wire.measured(one)
            | wire.layered(one)
            if isinstance(one, Prepared)
            else {
                "source_version": self._version(units[row]) if row in units else known[row],
                c.PLACES: places[row],
            }
            for row, (one, notes) in enumerate(zip(found, read_with, strict=True))
        ]
        return fill(rows, "render", values, self._added)

    def _unit(self, row: pa.Table) -> Unit:
        """The unit of the single row in ``row``."""
        sampling = row[self._sampling_column][0].as_py() if self._sampling_column else None
        (media,) = wire.media_of(row)
        return Unit(
            self._task.converse(wire.asked_of(row, self._task)),
            media,
            self._part(row),
            row_sampling(sampling),
        )

    def _part(self, row: pa.Table) -> Part:
        if c.PART in row.column_names:
            return wire.decode_part(row) or WHOLE
        if self._clip_columns:
            said = {
                end: seconds_of(row[name][0].as_py(), name)
                for end, name in self._clip_columns.items()
            }
            return Part(start=said.get("start"), end=said.get("end"))
        return WHOLE

    def _preview(self, prepared: Prepared, key: bytes | None) -> bytes | None:
        return self._preparer.preview(prepared) if key and self._sample.takes(key) else None

    def _version(self, unit: Unit) -> str | None:
        """Version of the media of a failed unit, as far as they were read."""
        return self._preparer.version(unit) or None


def _places(rows: pa.Table) -> list[list[str] | None]:
    """Locations of each row's media, safe to display; None for rows without media."""
    if c.MEDIA not in rows.column_names:
        return [None] * len(rows)
    column = rows[c.MEDIA]
    found: list[list[str] | None] = []
    for row in range(len(rows)):
        items = column[row].values if column[row].is_valid else None
        # does not copy the bytes beside them
        uris = [] if items is None else items.field("uri").to_pylist()
        found.append([safe_uri(uri) for uri in uris if uri] or None)
    return found


def _known_versions(rows: pa.Table) -> list[str | None]:
    return (
        rows["source_version"].to_pylist()
        if "source_version" in rows.column_names
        else [None] * len(rows)
    )
