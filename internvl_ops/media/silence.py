"""Detects silent web servers: so many objects failed there that trying each further one would take
hours."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri

logger = logging.getLogger(__name__)

_KEPT = 10_000  # maximum number of remembered servers


@dataclass
class _Silent:
    since: float
    given_up: int = 0
    asked: float = float("-inf")
    noted: bool = False


class Silence:
    """Decides which servers to skip. A server's record is deleted as soon as it answers.

    Args:
        after_s: Seconds without an answer after which a server is skipped.
        objects: Minimum number of objects that failed in that time, since a server may be silent
            about a single one.
        look_s: Seconds between two objects that are still requested from a silent server.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        after_s: float,
        *,
        objects: int = 10,
        look_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._after_s, self._objects, self._look_s, self._clock = after_s, objects, look_s, clock
        self._silent: OrderedDict[str, _Silent] = OrderedDict()

    def answered(self, server: str) -> None:
        found = self._silent.pop(server, None)
        if found is not None and found.noted:
            note(logger, "fetch_server_back", f"{safe_uri(server)} answers again.", server=server)

    def gave_up(self, server: str, took_s: float) -> None:
        """Records an object for which a server gave no answer for ``took_s`` seconds."""
        found = self._silent.setdefault(server, _Silent(self._clock() - took_s))
        found.given_up += 1
        if len(self._silent) > _KEPT:
            self._silent.popitem(last=False)

    def passed_over(self, server: str) -> float | None:
        """How many seconds a server has been silent, if it must be skipped now; else None."""
        found = self._silent.get(server)
        now = self._clock()
        if found is None or found.given_up < self._objects or now - found.since < self._after_s:
            return None
        if now - found.asked >= self._look_s:
            found.asked = now
            return None
        if not found.noted:
            found.noted = True
            note(
                logger,
                "fetch_server_given_up",
                f"{safe_uri(server)} has not answered for {now - found.since:.0f} s. Its files"
                f" become errors unasked, but for one every {self._look_s:g} s.",
                server=server,
            )
        return now - found.since
