"""A few units out of a whole run, each as likely as any other, while nobody knows how many will come."""

from __future__ import annotations

import bisect


class Sample:
    """The units with the smallest keys. A key is a hash of the unit's id, so this is a fair draw.

    Several workers may each keep a sample of their own: the sample of the whole is among what they took. A unit that
    comes again is the same unit.

    Args:
        size: Units in the sample.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.keys: list[bytes] = []

    def takes(self, key: bytes) -> bool:
        """Whether the unit is in the sample of all units so far; a later one may take its place."""
        place = bisect.bisect_left(self.keys, key)
        if place >= self._size or key in self.keys[place : place + 1]:
            return False
        self.keys.insert(place, key)
        del self.keys[self._size :]
        return True
