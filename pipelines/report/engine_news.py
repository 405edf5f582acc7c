"""What the engines of a run are doing before they answer: which step each is at, and for how
long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

STEP, READY = "engine_step", "engine_ready"  # events of `internvl_ops.engines.recovering`


@dataclass(frozen=True)
class _Step:
    what: str
    since: float


class EngineNews(logging.Handler):
    """Follows the engines by their events.

    Args:
        engines: Number of engines that the run asks for.
        clock: Seconds of Unix time, as in the records of events.
    """

    def __init__(self, engines: int = 1, clock: Callable[[], float] = time.time) -> None:
        super().__init__(logging.INFO)
        self._engines, self._clock = engines, clock
        self._steps: dict[str, _Step] = {}  # by worker; of those that are starting
        self._ready: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        event, fields = getattr(record, "event", None), getattr(record, "fields", {})
        worker = str(fields.get("worker", "here"))
        if event == STEP:
            before = self._steps.get(worker)
            since = record.created if before is None else before.since
            self._steps[worker] = _Step(str(fields.get("step", record.getMessage())), since)
            self._ready.discard(worker)
        elif event == READY:
            self._steps.pop(worker, None)
            self._ready.add(worker)

    def line(self) -> str:
        """One line about the engines that are starting; empty while none is."""
        starting = list(self._steps.values())
        if not starting:
            return ""
        slowest = min(starting, key=lambda step: step.since)
        seconds = max(0, round(self._clock() - slowest.since))
        counted = (
            f"{len(self._ready)} of {self._engines} engines ready; " if self._engines > 1 else ""
        )
        return f"{counted}engine: {slowest.what}, {seconds} s so far"
