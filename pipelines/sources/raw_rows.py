"""Rows as a reader finds them, before they have ids and media."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


class TooLargeMedia(str):
    """The problem of a row whose media are above a limit."""

    __slots__ = ()


@dataclass
class RawRows:
    """Some rows as a reader found them.

    Args:
        columns: The manifest's columns, by name, of the types in ``plan.columns``.
        numbers: int64 (n,): line or row number of each in its file, from 1.
        problems: Problems by index in these arrays. A row with a problem may still have values.
        ids: Ids that the format itself gives, as strings.
        media: Media, for a format that has no column for them.
        notes: Notes for the user on rows that have no error.
    """

    columns: dict[str, pa.Array]
    numbers: np.ndarray
    problems: dict[int, str] = field(default_factory=dict)
    ids: pa.Array | None = None
    media: pa.Array | None = None
    notes: dict[int, list[str]] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> RawRows:
        """Some of the rows, by their indices in ascending order."""
        indices = pa.array(rows, pa.int64())
        now = {int(old): new for new, old in enumerate(rows)}
        return RawRows(
            {name: column.take(indices) for name, column in self.columns.items()},
            self.numbers[rows],
            {now[row]: text for row, text in self.problems.items() if row in now},
            None if self.ids is None else self.ids.take(indices),
            None if self.media is None else self.media.take(indices),
            {now[row]: texts for row, texts in self.notes.items() if row in now},
        )

    def row(self, row: int) -> RawRows:
        """A single one of the rows."""
        return RawRows(
            {name: column.slice(row, 1) for name, column in self.columns.items()},
            self.numbers[row : row + 1],
            {0: self.problems[row]} if row in self.problems else {},
            None if self.ids is None else self.ids.slice(row, 1),
            None if self.media is None else self.media.slice(row, 1),
        )
