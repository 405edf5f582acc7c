"""Splits documents into pages and videos into clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import UnitError
from internvl_ops.media.parts import Part
from internvl_ops.preparer import MediaReader, Unit, joined_versions
from pipelines import columns as c
from pipelines.failures import errors_with, fill, outcomes
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import RUN, SKIP, Claims
from pipelines.stages import wire
from pipelines.stages.row_values import repeated

TABLE_BYTES = 8 << 20  # bytes of media in one table


class Explode:
    """CPU actor: splits documents into pages and videos into clips, and claims each in the ledger.

    Args:
        make_reader: Makes the reader of the files; called once, in the actor.
        ledger: Ledger of the run.
        all_parts: Whether every page of a file becomes a unit. Only then is a file known to be
            whole by its units.
    """

    def __init__(
        self, make_reader: Callable[[], MediaReader], ledger: Claims, all_parts: bool = True
    ) -> None:
        ledger.take_events()
        self._reader, self._ledger, self._all_parts = make_reader(), ledger, all_parts

    def __call__(self, rows: pa.Table) -> pa.Table | Iterator[pa.Table]:
        if not len(rows):
            return _with_parts(rows, [])
        tables = (table for row in range(len(rows)) for table in self._explode(rows.slice(row, 1)))
        # If media came inline, every page carries the bytes of its whole file, so the pages are not
        # put into one table.
        return tables if _carry_bytes(rows) else pa.concat_tables(tables)

    def _explode(self, row: pa.Table) -> Iterator[pa.Table]:
        (parts,) = found = outcomes(row, "explode", self._parts)
        if isinstance(parts, UnitError) or not parts:
            yield _with_parts(
                c.set_errors(row, errors_with(row, found)), [None], version=self._version(row)
            )
            return
        ids = [part_id(row[c.ID][0].as_py(), number, part) for number, part in enumerate(parts, 1)]
        answers = self._ledger.explode(row[c.KEY][0].as_py(), ids, row[c.POSITION][0].as_py())
        wanted = [number for number, answer in enumerate(answers) if answer != SKIP]
        size = max(1, TABLE_BYTES // max(1, row[c.MEDIA].nbytes))
        for start in range(0, max(1, len(wanted)), size):
            yield self._units(row, parts, ids, answers, wanted[start : start + size])

    def _units(
        self,
        row: pa.Table,
        parts: list[Part],
        ids: list[str],
        answers: Sequence[int],
        wanted: list[int],
    ) -> pa.Table:
        """The units of the parts whose numbers are in ``wanted``."""
        units = row.take(pa.array([0] * len(wanted), pa.int64()))
        own = {
            c.ID: [ids[number] for number in wanted],
            c.KEY: [unit_key(ids[number], answers[number]) for number in wanted],
        }
        units = c.with_columns(units, own, pa.schema([(c.ID, pa.string()), (c.KEY, pa.binary(16))]))
        source = row[c.SOURCE][0].as_py()
        errors = [
            repeated("explode", ids[number], source) if answers[number] > RUN else None
            for number in wanted
        ]
        units = c.set_errors(units, errors)
        return _with_parts(
            units,
            [parts[number] for number in wanted],
            parent=row[c.ID][0].as_py(),
            num_parts=len(parts) if self._all_parts else None,
        )

    def _version(self, row: pa.Table) -> str | None:
        """Version of a file that could not be split, as it was read."""
        try:
            (media,) = wire.media_of(row)
            return joined_versions(map(self._reader.version, media)) or None
        except Exception:  # an unforeseen exception is the row's error already
            return None

    def _parts(self, row: pa.Table) -> list[Part] | UnitError:
        (media,) = wire.media_of(row)
        return self._reader.list_parts(Unit((), media))


def _carry_bytes(rows: pa.Table) -> bool:
    contents = pc.struct_field(pc.list_flatten(rows[c.MEDIA]), "bytes")
    return contents.null_count < len(contents)


def part_id(parent: str, number: int, part: Part) -> str:
    """``parent#page=3`` or ``parent#clip=2``, both counted from 1."""
    return f"{parent}#page={part.page}" if part.page is not None else f"{parent}#clip={number}"


def _with_parts(
    rows: pa.Table,
    parts: Sequence[Part | None],
    parent: str | None = None,
    version: str | None = None,
    num_parts: int | None = None,
) -> pa.Table:
    values = [
        wire.exploded(part, parent=parent, version=version, num_parts=num_parts) for part in parts
    ]
    return fill(rows, "explode", values, c.EXPLODED)
