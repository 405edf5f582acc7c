"""Waiting out a store that fails for a while."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pyarrow as pa

from internvl_ops.events import note

T = TypeVar("T")
logger = logging.getLogger(__name__)

ATTEMPTS = 11  # with the waits below about four minutes: an object store that is down for two comes back in time
# What a store says for good, and what is wrong with the data and not with the store.
_PERMANENT = (
    PermissionError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    RecursionError,
)


def patiently(work: Callable[[], T], what: str) -> T:
    """What ``work()`` returns, tried again while the store fails.

    Args:
        work: May be called again after it failed.
        what: For the message: "s3://bucket/out/results could not be listed".

    Raises:
        OSError: The store did not recover in about four minutes, or refuses.
    """
    waited = 0.0
    for attempt in range(1, ATTEMPTS + 1):
        try:
            done = work()
        except _PERMANENT:
            raise
        except Exception as error:
            if attempt == ATTEMPTS:
                raise OSError(f"{what}: {reason(error)}") from error
            waited += _wait(attempt, what, error)
        else:
            _note_back(what, waited)
            return done
    raise AssertionError("unreachable")


def read_patiently(tables: Callable[[], Iterator[pa.Table]], what: str) -> Iterator[pa.Table]:
    """The rows of ``tables()``, each once and in order; where it fails it is begun anew and wound forward.

    Args:
        tables: Yields the same rows each time it is called, in tables of whatever lengths.
        what: For the message.

    Raises:
        OSError: The store did not recover in about four minutes, or refuses.
    """
    given = failures = 0
    waited = 0.0
    while True:
        place = 0
        try:
            for table in tables():
                fresh = table.slice(min(len(table), max(0, given - place)))
                place += len(table)
                if len(fresh):
                    _note_back(what, waited)
                    given, failures, waited = place, 0, 0.0
                    yield fresh
            return
        except _PERMANENT:
            raise
        except Exception as error:
            failures += 1
            if failures == ATTEMPTS:
                raise OSError(f"{what}: {reason(error)}") from error
            waited += _wait(failures, what, error)


def reason(error: BaseException) -> str:
    """What an error says, and what caused it."""
    text = str(error) or type(error).__name__
    cause = error.__cause__
    return f"{text} ({cause})" if cause and str(cause) and str(cause) not in text else text


def _wait(attempt: int, what: str, error: Exception) -> float:
    """Waits before the next attempt; returns for how many seconds."""
    if attempt == 1:
        note(logger, "store_away", f"{what}: {reason(error)}. Trying again for about four minutes.")
    seconds = min(60, 2**attempt / 2) * random.uniform(0.5, 1)
    time.sleep(seconds)
    return seconds


def _note_back(what: str, waited: float) -> None:
    if waited:
        message = f"The store answers again after {waited:.1f} s. Before: {what}."
        note(logger, "store_back", message, seconds=round(waited, 1))
