"""Draws a uniform sample of units from a run whose number of units is not known in advance."""

from __future__ import annotations

import bisect


class UnitSample:
    """The units with the smallest keys. A key is a hash of the unit's id, so the sample is uniform.

    Several workers may each keep their own sample: the sample of all units is among those that they
    took. A unit that comes twice counts once.

    Args:
        size: Number of units in the sample.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.keys: list[bytes] = []

    def takes(self, key: bytes) -> bool:
        """Whether the unit is in the sample of all units so far. A later unit may replace it."""
        place = bisect.bisect_left(self.keys, key)
        if place >= self._size or key in self.keys[place : place + 1]:
            return False
        self.keys.insert(place, key)
        del self.keys[self._size :]
        return True
