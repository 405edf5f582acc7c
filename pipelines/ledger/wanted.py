"""The units that a run goes over again, where it does not do all of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pipelines.ledger.finished import KEY_BYTES, FinishedUnits


@dataclass(frozen=True)
class Wanted:
    """Keys of the units, 16 bytes each, concatenated.

    Args:
        units: Of the units themselves.
        files: Of the documents and videos that some of them are parts of.
    """

    units: bytes
    files: bytes = b""

    def __len__(self) -> int:
        return len(self.units) // KEY_BYTES

    def has(self, keys: Sequence[bytes]) -> list[bool]:
        """Which keys are those of units."""
        return (self._units.find(keys) >= 0).tolist()

    def leads_to(self, keys: Sequence[bytes]) -> list[bool]:
        """Which keys are those of units, or of files that have some."""
        return [
            one or file
            for one, file in zip(self.has(keys), self._files.find(keys) >= 0, strict=True)
        ]

    @cached_property
    def _units(self) -> FinishedUnits:
        return _keys(self.units)

    @cached_property
    def _files(self) -> FinishedUnits:
        return _keys(self.files)


def _keys(keys: bytes) -> FinishedUnits:
    found = FinishedUnits()
    found.add(keys, 0)
    return found
