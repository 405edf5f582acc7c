"""Measures how many things are in progress, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """A gauge at one moment. The difference of two readings describes the time between them.

    Attributes:
        since: Start of the first thing, in seconds of Unix time.
        at: Time of the reading, in seconds of Unix time.
        busy_s: Seconds in which anything was in progress.
        held_s: Total seconds of all things; divided by a time span, it is their average number.
    """

    since: float
    at: float
    busy_s: float
    held_s: float


class Gauge:
    """Counts the things inside its ``with`` block, from any thread. It runs from the first entry
    on.

    Args:
        clock: Returns seconds of Unix time, so that readings of several machines can be compared.
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
        """The current reading; None before anything started."""
        with self._lock:
            return self._now()

    def at_start(self) -> Reading | None:
        """The reading at the start of the first thing; None before that."""
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
        return Reading(
            last.since,
            now,
            last.busy_s + spent * (self._inside > 0),
            last.held_s + spent * self._inside,
        )
