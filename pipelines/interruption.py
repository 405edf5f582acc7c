"""Handles SIGTERM and Ctrl-C during the whole job: one line on standard error, exit status 1, no
traceback."""

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

# a terminal or a scheduler often sends several signals within this time; they count as one
TOGETHER_S = 1.0

Phase = Literal["starting", "holding", "running", "closing"]


class Interrupted(BaseException):
    """The job was asked to stop. It is a BaseException, so that no library handles it as an
    ordinary error."""


class _State:
    installed = False  # a program that uses this package as a library keeps its own handlers
    phase: Phase = "starting"
    first: float | None = None


def install() -> None:
    """Handles both signals from now on; call it before anything slow is imported."""
    _State.installed = True
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _handle)


@contextlib.contextmanager
def phase(name: Phase) -> Iterator[None]:
    """Sets what a signal does inside the block, in a program that called `install`.

    Args:
        name: "starting": the process ends at once, since it holds nothing. "holding": it first
            releases what it holds. "running": it first writes what is finished. "closing": the end
            is near, so the signal changes nothing.

    Raises:
        Interrupted: On a signal in "holding" and "running".
    """
    before = _State.phase
    restored = {}
    if _State.installed and threading.current_thread() is threading.main_thread():
        restored = {
            number: signal.signal(number, _handle) for number in (signal.SIGTERM, signal.SIGINT)
        }
    _State.phase = name
    if name == "running":
        _State.first = None
    try:
        yield
    finally:
        _State.phase = "closing" if name == "running" else before
        for number, handler in restored.items():
            signal.signal(number, handler)


def take_back() -> None:
    """Handles the signals again after a library has replaced the handlers.

    Does nothing outside of `phase`, or in a program that did not call `install`.
    """
    if (
        _State.installed
        and _State.phase != "starting"
        and threading.current_thread() is threading.main_thread()
    ):
        install()


def asked() -> None:
    """Does what a signal does that a library has handled in place of this module; nothing without
    `install`."""
    if _State.installed:
        _handle(signal.SIGTERM, None)


def raise_if_interrupted() -> None:
    """Raises `Interrupted` again if a library has swallowed it."""
    if _State.first is not None:
        raise Interrupted


def end() -> NoReturn:
    """Ends an interrupted process at once. Libraries that are interrupted while they start do not
    shut down cleanly."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(Exception):
        _end_children()
    os._exit(1)


def _end_children() -> None:
    """Ends the processes that this one has started, and theirs. Ray's would look for a while for
    what is gone."""
    import psutil

    found: set[psutil.Process] = set()
    while new := set(psutil.Process().children(recursive=True)) - found:
        found |= new
        for process in new:  # stopped first, so that they start no others meanwhile
            with contextlib.suppress(psutil.Error):
                process.suspend()
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()


def plain_line(text: str) -> str:
    """Returns a line unchanged, for a person."""
    return text


standard_error = 2  # file descriptor
# of a display that is drawn again and again, with the cursor at the end of its last line
drawn_lines = 0
# formats a line; `pipelines.report.logs` sets a JSON format for machines
form: Callable[[str], str] = plain_line


def say(text: str) -> None:
    """Writes a line to standard error. Works within a signal handler too, where print may not be
    called again."""
    with contextlib.suppress(OSError):
        # The display is drawn next below the line, not over it.
        before, after = ("\n", "\n" * drawn_lines) if drawn_lines else ("", "\n")
        os.write(standard_error, f"{before}{form(text)}{after}".encode())


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
