"""How many things are under way, and for how long they have been."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """A gauge at one moment. The difference of two says what was under way between them.

    Attributes:
        since: When the first thing began, in seconds of Unix time.
        at: Of the reading, likewise.
        busy_s: Seconds with anything under way.
        held_s: Seconds of all things together: divided by a span, how many there were in it on average.
    """

    since: float
    at: float
    busy_s: float
    held_s: float


class Gauge:
    """Counts what is inside its ``with`` block, from any thread. Runs from the first one on.

    Args:
        clock: Seconds of Unix time, so that readings of several machines can be compared.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._inside = 0
        self._last: Reading | None = None

    def __enter__(self) -> Gauge:
        self._change(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._change(-1)

    def read(self) -> Reading | None:
        """None before anything began."""
        with self._lock:
            return self._now()

    def at_start(self) -> Reading | None:
        """What would have been read when the first thing began; None before that."""
        last = self._last
        return None if last is None else Reading(last.since, last.since, 0.0, 0.0)

    def _change(self, by: int) -> None:
        with self._lock:
            now = self._clock()
            self._last = self._now() or Reading(now, now, 0.0, 0.0)
            self._inside += by

    def _now(self) -> Reading | None:
        last = self._last
        if last is None:
            return None
        now = self._clock()
        spent = now - last.at
        return Reading(last.since, now, last.busy_s + spent * (self._inside > 0), last.held_s + spent * self._inside)
