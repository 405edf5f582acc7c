"""How fast an earlier run over the same output was: what a new one can be expected to take before
it has answers."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from pipelines.output.folder import RUNS, OutputFolder

logger = logging.getLogger(__name__)
LOOKED_AT = 3  # newest runs; one that found nothing to do has no rate


@dataclass(frozen=True)
class Pace:
    """The pace of a run.

    Args:
        start_s: Seconds until its engines had their first request.
        rate: Units per second from then on.
    """

    start_s: float
    rate: float

    def left(self, units: int, elapsed: float) -> float:
        """Seconds that a run of this pace still takes, ``elapsed`` seconds after its start and
        before its first answer."""
        return max(0.0, self.start_s - elapsed) + units / self.rate


def earlier_pace(output: OutputFolder) -> Pace | None:
    """The pace of the newest run over an output that has one; None if there is none, or the store
    does not say."""
    try:
        for run in sorted(output.list_names(RUNS), reverse=True)[:LOOKED_AT]:
            if (pace := _pace(output, run)) is not None:
                return pace
    except Exception as error:  # it is a convenience
        logger.debug("no earlier pace: %s", error)
    return None


def _pace(output: OutputFolder, run: str) -> Pace | None:
    try:
        record = json.loads(output.read_bytes(f"{RUNS}/{run}/run.json"))
        rate, seconds = record["rates"]["units_per_second"], record["rates"]["seconds"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None  # a run that has not ended, or of an older version
    return Pace(max(0.0, record["seconds"] - seconds), rate) if rate else None
