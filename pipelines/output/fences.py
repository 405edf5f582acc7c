"""Late files: what a run wrote after another one had taken over its output. They do not count, and are swept.

A run that takes over notes how many files its predecessor had by then. The numbers in the names of a run's files go
up, so a file with a higher number came later: from a machine that was suspended, or a request that was on its way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pipelines.output.ownership import named_run

FENCED = ("results", "errors", "documents")
KEPT = 500  # fences; the oldest are forgotten
# For each run that was taken over, how many files of each folder count; None: not counted yet.
Fences = Mapping[str, Mapping[str, int] | None]


def is_late(fences: Fences, name: str) -> bool:
    """Whether a file, named relative to the output, came after its run had been taken over."""
    named = named_run(name)
    fence = fences.get(named[0]) if named else None
    return bool(named and fence is not None and named[1] >= fence.get(name.rpartition("/")[0], named[1] + 1))


def count_files(run_id: str, names: Iterable[str]) -> int:
    """How many of a run's files count, of those in one folder."""
    numbers = (named[1] + 1 for name in names if (named := named_run(name)) and named[0] == run_id)
    return max(numbers, default=0)


def parse_fences(lease: bytes) -> dict[str, Mapping[str, int] | None]:
    """The fences that a lease states."""
    try:
        value = json.loads(lease)
    except ValueError:
        return {}
    fences = value.get("fences") if isinstance(value, dict) else None
    return fences if isinstance(fences, dict) else {}
