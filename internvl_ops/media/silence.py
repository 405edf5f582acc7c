"""Web servers that have not answered for so long that asking them again for every object would take hours."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from internvl_ops.events import note
from internvl_ops.redaction import safe_uri

logger = logging.getLogger(__name__)

_KEPT = 10_000  # servers that are remembered


@dataclass
class _Silent:
    since: float
    given_up: int = 0
    asked: float = float("-inf")
    noted: bool = False


class Silence:
    """Tells which servers to pass over. What is said of one is forgotten as soon as it answers.

    Args:
        after_s: Seconds without an answer after which a server is passed over.
        objects: Objects that were given up meanwhile, at least: a server may well stay silent about one.
        look_s: Seconds between two objects that a silent server is asked for all the same.
        clock: Of seconds.
    """

    def __init__(
        self, after_s: float, *, objects: int = 10, look_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._after_s, self._objects, self._look_s, self._clock = after_s, objects, look_s, clock
        self._silent: OrderedDict[str, _Silent] = OrderedDict()

    def answered(self, server: str) -> None:
        found = self._silent.pop(server, None)
        if found is not None and found.noted:
            note(logger, "fetch_server_back", f"{safe_uri(server)} answers again.", server=server)

    def gave_up(self, server: str, took_s: float) -> None:
        """Notes an object that a server was asked for in vain for ``took_s`` seconds."""
        found = self._silent.setdefault(server, _Silent(self._clock() - took_s))
        found.given_up += 1
        if len(self._silent) > _KEPT:
            self._silent.popitem(last=False)

    def passed_over(self, server: str) -> float | None:
        """For how many seconds a server has been silent, if it is not to be asked now."""
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
                f"{safe_uri(server)} has not answered for {now - found.since:.0f} s. Its files become errors unasked, "
                f"but for one every {self._look_s:g} s.",
                server=server,
            )
        return now - found.since
