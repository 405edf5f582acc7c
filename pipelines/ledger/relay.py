"""Passes events of the workers through the ledger to the driver."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from internvl_ops.events import log_event, note

MAX_WAITING = 1000  # events that wait for the driver
LOOKS_EVERY_S = 2.0
logger = logging.getLogger(__name__)


class Mailbox:
    """Keeps the newest events until they are read. Each event has a number, so a read can be
    repeated."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MAX_WAITING)

    def put(self, event: dict[str, Any]) -> None:
        self._events.append((next(self._numbers), event))

    def read(self, start: int) -> list[tuple[int, dict[str, Any]]]:
        """Events from number ``start`` on, each with its number."""
        return [(number, event) for number, event in list(self._events) if number >= start]


class _HasEvents(Protocol):
    def events(self, start: int) -> list[tuple[int, dict[str, Any]]]: ...


class Relay:
    """Context manager that logs in the driver the events that workers send to the ledger.

    Args:
        ledger: Ledger of the run.
        looks: Functions that are called at the same intervals; each logs what it finds out about
            the cluster.
    """

    def __init__(self, ledger: _HasEvents, looks: Sequence[Callable[[], None]] = ()) -> None:
        self._ledger, self._looks = ledger, looks
        self._next = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="events")

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def look(self) -> None:
        """Logs the events that have arrived since the last call."""
        for number, event in self._ledger.events(self._next):
            if number > self._next:
                note(
                    logger,
                    "events_left_out",
                    f"{number - self._next:,} events came too fast and are not counted.",
                )
            self._next = number + 1
            log_event(event)

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(LOOKS_EVERY_S)
            try:
                self.look()
                for look in self._looks:
                    look()
            except Exception:  # the ledger is gone, and so is the run, whose own error says why
                return
