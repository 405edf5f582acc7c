"""Late files: files that a run wrote after another run had taken over its output. They do not count
and are removed.

A run that takes over notes how many files its predecessor had at that moment. The numbers in the
names of a run's files go up, so a file with a higher number came later, from a machine that was
suspended or from a delayed request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pipelines.output.ownership import named_run

# see `pipelines.output.redo`
STAGED_RESULTS, STAGED_ERRORS = "_runs/.redo/results", "_runs/.redo/errors"
FENCED = ("results", "errors", "documents", STAGED_RESULTS, STAGED_ERRORS)
MAX_FENCES = 500  # number of fences; the oldest ones are dropped
# For each run that was taken over, the number of files that count in each folder; None: not counted
# yet.
Fences = Mapping[str, Mapping[str, int] | None]


def is_late(fences: Fences, name: str) -> bool:
    """Whether a file (path relative to the output) was written after its run had been taken
    over."""
    named = named_run(name)
    fence = fences.get(named[0]) if named else None
    return bool(
        named and fence is not None and named[1] >= fence.get(name.rpartition("/")[0], named[1] + 1)
    )


def count_files(run_id: str, names: Iterable[str]) -> int:
    """How many of the run's files count, given the names of the files in one folder."""
    numbers = (named[1] + 1 for name in names if (named := named_run(name)) and named[0] == run_id)
    return max(numbers, default=0)


def parse_fences(lease: bytes) -> dict[str, Mapping[str, int] | None]:
    """The fences in the text of a lease."""
    try:
        value = json.loads(lease)
    except ValueError:
        return {}
    fences = value.get("fences") if isinstance(value, dict) else None
    return fences if isinstance(fences, dict) else {}
