"""SIGTERM and Ctrl-C, from a job's first line to its last: one line on standard error, exit status 1, no traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Literal, NoReturn

TOGETHER_S = 1.0  # a terminal and a scheduler often send several at once; they count as one

Phase = Literal["starting", "holding", "running", "closing"]


class Interrupted(BaseException):
    """The job is asked to stop; no library may take it for an error of its own."""


class _State:
    phase: Phase = "starting"
    first: float | None = None


def install() -> None:
    """Handles both signals from now on; call it before anything slow is imported."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _handle)


@contextlib.contextmanager
def phase(name: Phase) -> Iterator[None]:
    """What a signal means meanwhile.

    Args:
        name: "starting": the process ends at once, since it holds nothing. "holding": what is held is released first.
            "running": what is finished is written first. "closing": the end is near anyway, and comes as it would.

    Raises:
        Interrupted: On a signal in "holding" and "running".
    """
    before = _State.phase
    restored = {}
    if threading.current_thread() is threading.main_thread():
        restored = {number: signal.signal(number, _handle) for number in (signal.SIGTERM, signal.SIGINT)}
    _State.phase = name
    if name == "running":
        _State.first = None
    try:
        yield
    finally:
        _State.phase = "closing" if name == "running" else before
        for number, handler in restored.items():
            signal.signal(number, handler)


def check() -> None:
    """Raises `Interrupted` again where a library has swallowed it."""
    if _State.first is not None:
        raise Interrupted


def end() -> NoReturn:
    """Ends an interrupted process now: libraries that were interrupted while they started do not end well."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)


def plain(text: str) -> str:
    """A line as a person reads it."""
    return text


form: Callable[[str], str] = plain  # of a line; `pipelines.report.logs` has another for machines


def say(text: str) -> None:
    """A line on standard error, also from within a handler, where print may not be called again."""
    with contextlib.suppress(OSError):
        os.write(2, f"{form(text)}\n".encode())


def _handle(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _State.first is not None:
        if now - _State.first < TOGETHER_S:
            return
        say("Stopped at once. What is written is valid; the same command goes on from here.")
        end()
    _State.first = now
    if _State.phase == "starting":
        say("Interrupted before anything was done. The same command starts again.")
        end()
    if _State.phase == "closing":
        say("Closing; a second signal ends it at once.")
        return
    if _State.phase == "running":
        say("Stopping: what is finished is written first. A second signal ends it at once.")
    raise Interrupted
