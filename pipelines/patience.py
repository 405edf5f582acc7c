"""Waits and tries again while a store fails temporarily."""

from __future__ import annotations

import errno
import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TypeVar

import pyarrow as pa

from internvl_ops.events import note

T = TypeVar("T")
logger = logging.getLogger(__name__)

# about four minutes with the waits below; an object store that is down for two minutes recovers in
# time
ATTEMPTS = 11
# Final answers of a store, and errors of the data, not of the store.
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


# Paths that no attempt can reach.
_NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.EINVAL)


def is_permanent(error: BaseException) -> bool:
    """Whether another attempt would fail in the same way."""
    return isinstance(error, _PERMANENT) or (isinstance(error, OSError) and error.errno in _NO_PATH)


def patiently(work: Callable[[], T], what: str) -> T:
    """Returns the result of ``work()``; calls it again while the store fails.

    Args:
        work: Can be called again after it failed.
        what: Text for the message: "s3://bucket/out/results could not be listed".

    Raises:
        OSError: The store did not recover in about four minutes, or refuses.
    """
    absence = _Absence(what)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            done = work()
        except Exception as error:
            if is_permanent(error):
                raise
            if attempt == ATTEMPTS:
                raise OSError(f"{what}: {reason(error)}") from error
            absence.begins(error)
            _wait(attempt)
        else:
            absence.ends()
            return done
    raise AssertionError("unreachable")


def read_patiently(tables: Callable[[], Iterator[pa.Table]], what: str) -> Iterator[pa.Table]:
    """The rows of ``tables()``, each once and in order. If reading fails, starts again and skips
    what it has yielded.

    Args:
        tables: Yields the same rows each time it is called; the lengths of the tables may differ.
        what: Text for the message.

    Raises:
        OSError: The store did not recover in about four minutes, or refuses.
    """
    given = failures = 0
    absence = _Absence(what)
    while True:
        place = 0
        try:
            for table in tables():
                fresh = table.slice(min(len(table), max(0, given - place)))
                place += len(table)
                if len(fresh):
                    absence.ends()
                    given, failures = place, 0
                    yield fresh
            return
        except Exception as error:
            if is_permanent(error):
                raise
            failures += 1
            if failures == ATTEMPTS:
                raise OSError(f"{what}: {reason(error)}") from error
            absence.begins(error)
            _wait(failures)


def reason(error: BaseException) -> str:
    """The message of an error, and that of its cause."""
    text = str(error) or type(error).__name__
    cause = error.__cause__
    return f"{text} ({cause})" if cause and str(cause) and str(cause) not in text else text


def _wait(attempt: int) -> None:
    time.sleep(min(60, 2**attempt / 2) * random.uniform(0.5, 1))


class _Absence:
    """Logs once that the store fails, and once that it answers again."""

    def __init__(self, what: str) -> None:
        self._what, self._since = what, math.inf

    def begins(self, error: Exception) -> None:
        if self._since == math.inf:
            self._since = monotonic()
            note(
                logger,
                "store_away",
                f"{self._what}: {reason(error)}. Trying again for about four minutes.",
            )

    def ends(self) -> None:
        if self._since < math.inf:
            seconds, self._since = round(monotonic() - self._since, 1), math.inf
            note(
                logger,
                "store_back",
                f"The store answers again after {seconds} s. Before: {self._what}.",
                seconds=seconds,
            )
