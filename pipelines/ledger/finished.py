"""Units of earlier runs, ten million in a few hundred megabytes: sorted keys, looked up by
bisection.

Files that were split into units are known from their units: a file is whole if as many of them are
there as it has.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

KEY_BYTES = 16
UNSEEN = -1  # position of a unit that has not been seen in this run's manifest so far


def unit_key(unit_id: str, occurrence: int = 1) -> bytes:
    """16 bytes that identify a unit: its id and, for the error row of a repeated id, the number of
    the repetition."""
    text = unit_id if occurrence == 1 else f"{unit_id}\0{occurrence}"
    return _digest(text.encode("utf-8", "surrogatepass"))


def as_keys(ids: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """The key of each first occurrence."""
    return [_digest(text) for text in ids.cast(pa.binary()).to_pylist()]


def unit_keys(ids: pa.Array | pa.ChunkedArray) -> bytes:
    """The keys of first occurrences, concatenated."""
    return b"".join(as_keys(ids))


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()


class PartsOfFiles(NamedTuple):
    """The files of which units are parts, one entry a unit.

    Args:
        parents: Keys of the files, 16 bytes each, concatenated.
        totals: int32 of shape (n,): into how many units the file was split; 0 if that is unknown.
    """

    parents: bytes
    totals: np.ndarray


def _no_files(count: int) -> PartsOfFiles:
    """For ``count`` units of which no file is known."""
    return PartsOfFiles(bytes(KEY_BYTES * count), np.zeros(count, np.int32))


class FinishedUnits:
    """Keys of units that earlier runs finished, each with its state and its position in this run's
    manifest.

    If a key is added twice, its first state counts. No key can be added after the first look-up.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._part_states: list[int] = []
        self._part_files: list[PartsOfFiles | None] = []
        self._ready = False

    def add(self, keys: bytes, state: int, files: PartsOfFiles | None = None) -> None:
        """Adds keys of 16 bytes each, concatenated.

        Args:
            keys: Keys of units.
            state: The state of all of them.
            files: The file that each unit is a part of.
        """
        assert not self._ready, "units of earlier runs are added before the first is asked for"
        self._parts.append(keys)
        self._part_states.append(state)
        self._part_files.append(files)

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """The place of each key, as int64 of shape (n,); -1 if it is not there."""
        self._sort()
        return _find(self._high, self._low, _halves(b"".join(keys)))

    def find_whole(self, keys: Sequence[bytes]) -> np.ndarray:
        """The place of each file among those that are whole, as int64 of shape (n,); -1 if it is
        not one of them.

        Args:
            keys: Keys of files, as `unit_key` makes them from their ids.
        """
        self._sort()
        if not len(self._whole_high):  # as of every job over images
            return np.full(len(keys), -1, np.int64)
        return _find(self._whole_high, self._whole_low, _halves(b"".join(keys)))

    def state(self, place: int) -> int:
        return int(self._states[place])

    def position(self, place: int) -> int:
        """Position of the unit in the manifest; ``UNSEEN`` until it was `met` there."""
        return int(self._positions[place])

    def meet(self, place: int, position: int) -> None:
        self._positions[place] = position

    def position_of_whole(self, place: int) -> int:
        """Position of the file in the manifest; ``UNSEEN`` until it was met there."""
        return int(self._whole_positions[place])

    def meet_whole(self, place: int, position: int) -> Counter[int]:
        """Meets all units of a whole file, which is at ``position``. Returns their number by
        state."""
        self._whole_positions[place] = position
        units = self._members[self._first_member[place] : self._first_member[place + 1]]
        units = units[self._positions[units] == UNSEEN]
        self._positions[units] = position
        return Counter(self._states[units].tolist())

    def met(self) -> dict[int, int]:
        """Number of units of each state that were seen in this run's manifest."""
        self._sort()
        states, counts = np.unique(self._states[self._positions != UNSEEN], return_counts=True)
        return dict(zip(states.tolist(), counts.tolist(), strict=True))

    def _sort(self) -> None:
        if self._ready:
            return
        sizes = [len(part) // KEY_BYTES for part in self._parts]
        keys = _halves(b"".join(self._parts))
        self._parts.clear()
        # stable: of equal keys, the one added first is found
        order = np.argsort(keys[:, 0], kind="stable")
        self._high, self._low = keys[order, 0], keys[order, 1]
        self._states = np.repeat(np.array(self._part_states, np.uint8), sizes)[order]
        self._positions = np.full(len(order), UNSEEN, np.int64)
        self._find_whole_files(sizes, order)
        self._ready = True

    def _find_whole_files(self, sizes: Sequence[int], order: np.ndarray) -> None:
        """Groups units by their file, and keeps the files of which no unit is missing."""
        files, self._part_files = self._part_files, []
        self._whole_high = self._whole_low = np.zeros(0, np.uint64)
        self._members, self._first_member = np.zeros(0, np.int64), np.zeros(1, np.int64)
        if any(one is not None for one in files):
            filled = [one or _no_files(size) for one, size in zip(files, sizes, strict=True)]
            parents = _halves(b"".join(one.parents for one in filled))[order]
            totals = np.concatenate([one.totals for one in filled])[order]
            self._group(parents, totals)
        self._whole_positions = np.full(len(self._whole_high), UNSEEN, np.int64)

    def _group(self, parents: np.ndarray, totals: np.ndarray) -> None:
        places = np.flatnonzero(totals > 0)
        # Of equal keys, only the one that `find` returns.
        own = np.stack([self._high[places], self._low[places]], axis=1)
        places = places[_find(self._high, self._low, own) == places]
        places = places[np.lexsort((parents[places, 1], parents[places, 0]))]
        high, low, total = parents[places, 0], parents[places, 1], totals[places]
        begins = np.ones(len(places), bool)
        begins[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        starts = np.flatnonzero(begins)
        counts = np.diff(np.append(starts, len(places)))
        whole = np.ones(len(starts), bool)
        if len(starts):
            whole = (np.minimum.reduceat(total, starts) == counts) & (
                np.maximum.reduceat(total, starts) == counts
            )
        self._members = places[np.repeat(whole, counts)]
        self._first_member = np.append(0, np.cumsum(counts[whole]))
        self._whole_high, self._whole_low = high[starts][whole], low[starts][whole]


def _find(high: np.ndarray, low: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place of each key, given as in `_halves`, among sorted ones: int64 of shape (n,); -1 if
    it is not there."""
    places = np.searchsorted(high, wanted[:, 0])
    found = np.full(len(wanted), -1, np.int64)
    open_ = np.arange(len(wanted))
    # Usually one iteration. More only if two keys share their first half: at ten million keys the
    # chance is 1:400,000.
    while len(open_):
        open_ = open_[places[open_] < len(high)]
        open_ = open_[high[places[open_]] == wanted[open_, 0]]
        same = low[places[open_]] == wanted[open_, 1]
        found[open_[same]] = places[open_[same]]
        open_ = open_[~same]
        places[open_] += 1
    return found


def _halves(keys: bytes) -> np.ndarray:
    """16-byte keys as two uint64 each, shape (n, 2)."""
    return np.frombuffer(keys, np.uint64).reshape(-1, 2)
