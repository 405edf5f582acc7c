"""Processes of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def may_run(pid: int, started: float, started_ticks: int | None = None) -> bool:
    """Whether a process of this machine may still run. False only if it is certain that it does
    not.

    Args:
        pid: Id of the process.
        started: When it started, by the clock at that time.
        started_ticks: When it started, in ticks since the machine started; unlike ``started``, it
            does not depend on the clock.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # the process belongs to another user
        pass
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        now = ticks(pid)
        return (
            process.create_time() == started
            if started_ticks is None or now is None
            else now == started_ticks
        )
    # /proc may hide processes of other users, so a missing process proves nothing
    except psutil.Error:
        return True


def ticks(pid: int) -> int | None:
    """When a process started, in ticks since the machine started; None if that is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
