"""Units of earlier runs, ten million of them in a few hundred megabytes: sorted keys, looked up by bisection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

KEY_BYTES = 16
UNSEEN = -1  # position of a unit that this run's manifest has not, as far as it is read


def unit_key(unit_id: str, occurrence: int = 1) -> bytes:
    """16 bytes that stand for a unit: its id, and for the error row of a repeated id which repetition it is."""
    text = unit_id if occurrence == 1 else f"{unit_id}\0{occurrence}"
    return _digest(text.encode("utf-8", "surrogatepass"))


def unit_keys(ids: pa.Array | pa.ChunkedArray) -> bytes:
    """The keys of first occurrences, one behind the other."""
    return b"".join(map(_digest, ids.cast(pa.binary()).to_pylist()))


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()


class FinishedUnits:
    """Keys of units that earlier runs finished, with what became of each and where this run's manifest has it.

    Of a key that was added twice the first state counts. Adding ends with the first look-up.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._part_states: list[int] = []
        self._ready = False

    def add(self, keys: bytes, state: int) -> None:
        """Takes keys of 16 bytes each, one behind the other."""
        assert not self._ready, "units of earlier runs are added before the first is asked for"
        self._parts.append(keys)
        self._part_states.append(state)

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Where each key stands, as int64 of shape (n,); -1 where it does not."""
        self._sort()
        wanted = _halves(b"".join(keys))
        places = np.searchsorted(self._high, wanted[:, 0])
        found = np.full(len(keys), -1, np.int64)
        open_ = np.arange(len(keys))
        # One turn, but for keys whose first half is that of another one: two in ten million have a chance of 1:400,000.
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
        """Where the manifest has the unit; ``UNSEEN`` until it was `met` there."""
        return int(self._positions[place])

    def meet(self, place: int, position: int) -> None:
        self._positions[place] = position

    def met(self) -> dict[int, int]:
        """How many units of each state this run's manifest has."""
        self._sort()
        states, counts = np.unique(self._states[self._positions != UNSEEN], return_counts=True)
        return dict(zip(states.tolist(), counts.tolist(), strict=True))

    def _sort(self) -> None:
        if self._ready:
            return
        sizes = [len(part) // KEY_BYTES for part in self._parts]
        keys = _halves(b"".join(self._parts))
        self._parts.clear()
        order = np.argsort(keys[:, 0], kind="stable")  # stable: of equal keys the one that was added first is found
        self._high, self._low = keys[order, 0], keys[order, 1]
        self._states = np.repeat(np.array(self._part_states, np.uint8), sizes)[order]
        self._positions = np.full(len(order), UNSEEN, np.int64)
        self._ready = True


def _halves(keys: bytes) -> np.ndarray:
    """16-byte keys as two uint64 each, shape (n, 2)."""
    return np.frombuffer(keys, np.uint64).reshape(-1, 2)
