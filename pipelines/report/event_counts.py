"""Counts the events of a run by sort."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.flags import in_flags

MAX_SORTS = 48  # sorts of events; all others are counted together
OTHERS = "others"
LONGEST_EXAMPLE = 300


@dataclass
class _Sort:
    count: int
    first: float
    last: float
    example: str


class EventCounts(logging.Handler):
    """Counts the warnings and errors among its log records that have an event name (``event``)."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._sorts: dict[str, _Sort] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is not None:
            self.add(event, in_flags(record.getMessage()), at=record.created)

    def add(self, event: str, example: str, *, count: int = 1, at: float | None = None) -> None:
        """Counts an event, including one that is too frequent to log each time.

        Args:
            event: Sort of the event.
            example: A sentence for a person; the first one is kept.
            count: How often it happened.
            at: Seconds of Unix time; now by default.
        """
        at = time.time() if at is None else at
        self.acquire()
        try:
            if event not in self._sorts and len(self._sorts) >= MAX_SORTS:
                event = OTHERS
            sort = self._sorts.setdefault(event, _Sort(0, at, at, example[:LONGEST_EXAMPLE]))
            sort.count += count
            sort.first, sort.last = min(sort.first, at), max(sort.last, at)
        finally:
            self.release()

    def as_list(self) -> list[dict[str, object]]:
        """The counts as in ``run.json``, in the order in which the events first happened."""
        self.acquire()
        try:
            sorts = sorted(self._sorts.items(), key=lambda item: item[1].first)
        finally:
            self.release()
        return [
            {
                "event": event,
                "count": sort.count,
                "first": _iso(sort.first),
                "last": _iso(sort.last),
                "example": sort.example,
            }
            for event, sort in sorts
        ]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
