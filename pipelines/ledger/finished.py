"""Units of earlier runs, ten million in a few hundred megabytes: sorted keys, looked up by bisection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

KEY_BYTES = 16
UNSEEN = -1  # position of a unit that has not been seen in this run's manifest so far


def unit_key(unit_id: str, occurrence: int = 1) -> bytes:
    """16 bytes that identify a unit: its id and, for the error row of a repeated id, the number of the repetition."""
    text = unit_id if occurrence == 1 else f"{unit_id}\0{occurrence}"
    return _digest(text.encode("utf-8", "surrogatepass"))


def unit_keys(ids: pa.Array | pa.ChunkedArray) -> bytes:
    """The keys of first occurrences, concatenated."""
    return b"".join(map(_digest, ids.cast(pa.binary()).to_pylist()))


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()


class FinishedUnits:
    """Keys of units that earlier runs finished, each with its state and its position in this run's manifest.

    If a key is added twice, its first state counts. No key can be added after the first look-up.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._part_states: list[int] = []
        self._ready = False

    def add(self, keys: bytes, state: int) -> None:
        """Adds keys of 16 bytes each, concatenated."""
        assert not self._ready, "units of earlier runs are added before the first is asked for"
        self._parts.append(keys)
        self._part_states.append(state)

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """The place of each key, as int64 of shape (n,); -1 if it is not there."""
        self._sort()
        wanted = _halves(b"".join(keys))
        places = np.searchsorted(self._high, wanted[:, 0])
        found = np.full(len(keys), -1, np.int64)
        open_ = np.arange(len(keys))
        # Usually one iteration. More only if two keys share their first half: at ten million keys the chance is
        # 1:400,000.
        while len(open_):
            open_ = open_[places[open_] < len(self._high)]
            open_ = open_[self._high[places[open_]] == wanted[open_, 0]]
            same = self._low[places[open_]] == wanted[open_, 1]
            found[open_[same]] = places[open_[same]]
            open_ = open_[~same]
            places[open_] += 1
        return found

    def state(self, place: int) -> int:
        return int(self._states[place])

    def position(self, place: int) -> int:
        """Position of the unit in the manifest; ``UNSEEN`` until it was `met` there."""
        return int(self._positions[place])

    def meet(self, place: int, position: int) -> None:
        self._positions[place] = position

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
        order = np.argsort(keys[:, 0], kind="stable")  # stable: of equal keys, the one added first is found
        self._high, self._low = keys[order, 0], keys[order, 1]
        self._states = np.repeat(np.array(self._part_states, np.uint8), sizes)[order]
        self._positions = np.full(len(order), UNSEEN, np.int64)
        self._ready = True


def _halves(keys: bytes) -> np.ndarray:
    """16-byte keys as two uint64 each, shape (n, 2)."""
    return np.frombuffer(keys, np.uint64).reshape(-1, 2)
