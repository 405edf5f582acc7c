"""The processes of a running pipeline, seen from the driver: which is the engine's front-end, CPU
time, memory."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")
_ENGINE_CORE = "VLLM::EngineCore"  # the title vLLM gives that process


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, of all threads of one process; 0 once it is gone."""
    try:
        # The name, in brackets, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> dict[str, int]:
    """``pss``, ``own`` and ``rss`` of a process in bytes. ``own`` are its anonymous pages: what
    only it has mapped of the object store, which is shared memory, counts as private as well and is
    not in it."""
    kib = {
        name: int(value)
        for name, value in re.findall(
            r"^(\w+):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M
        )
    }
    return {"pss": kib["Pss"] << 10, "own": kib["Anonymous"] << 10, "rss": kib["Rss"] << 10}


def _is_engine(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[:1] == [_ENGINE_CORE]
    except psutil.Error:
        return False


@dataclass
class Point:
    """How far a run is: seconds of a monotonic clock, rows finished, CPU seconds used so far by
    part."""

    at: float
    rows: int
    cpu: dict[str, float]


class Follower:
    """Calls `look` every ``every_s`` seconds, in a thread, for as long as it is entered."""

    def __init__(self, every_s: float) -> None:
        self._every_s, self._stop = every_s, threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        raise NotImplementedError

    def _follow(self) -> None:
        while not self._stop.wait(self._every_s):
            self.look()


class Timeline(Follower):
    """Follows a run of an engine that is a descendant of this process: rows finished, and CPU time
    by part.

    Parts are ``front_end``, the process that hosts AsyncLLM; ``engine``, vLLM's engine process; and
    ``all``, which is everything from this process down. The last reading of a process that has
    ended goes on counting.
    """

    def __init__(self, every_s: float = 0.25) -> None:
        self.points: list[Point] = []
        self.front_end: int | None = None
        self._used: dict[int, float] = {}
        self._engine: int | None = None
        self._reading = threading.Lock()
        super().__init__(every_s)

    def note(self, rows: int) -> None:
        """Call with 0 when the engine is ready, and when ``rows`` rows in all are finished."""
        self.look()
        cpu = {"all": sum(self._used.values())}
        if self.front_end is not None and self._engine is not None:
            cpu |= {"front_end": self._used[self.front_end], "engine": self._used[self._engine]}
        self.points.append(Point(time.monotonic(), rows, cpu))

    def rates(self) -> dict[str, float]:
        """Images a second, and CPU seconds an image by part, from the first note to the last."""
        start, end = self.points[0], self.points[-1]
        rows = end.rows - start.rows
        spent = {
            part: (end.cpu[part] - start.cpu[part]) / rows
            for part in ("front_end", "engine", "all")
        }
        return {
            "images_per_second": rows / (end.at - start.at),
            **{f"{part}_cpu": seconds for part, seconds in spent.items()},
        }

    def look(self) -> None:
        with self._reading:
            me = psutil.Process()
            for process in (me, *me.children(recursive=True)):
                self._used[process.pid] = max(
                    cpu_seconds(process.pid), self._used.get(process.pid, 0.0)
                )
                if self._engine is None and _is_engine(process):
                    self._engine, self.front_end = process.pid, process.ppid()


class MemorySampler(Follower):
    """Samples the memory of this process and of the engine's front-end while a pipeline runs.

    Attributes:
        samples: (rows finished, role, bytes by kind), roles being "driver" and "front_end".
        rows: How many rows are finished; set by whoever follows the run.
    """

    def __init__(self, every_s: float = 0.5) -> None:
        self.samples: list[tuple[int, str, dict[str, int]]] = []
        self.rows = 0
        self._timeline = Timeline()
        super().__init__(every_s)

    def look(self) -> None:
        rows = self.rows
        if rows and self._timeline.front_end is None:
            self._timeline.note(rows)
        if not rows or self._timeline.front_end is None:
            return
        # the engine is being taken down
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            self.samples.append((rows, "front_end", memory(self._timeline.front_end)))
            self.samples.append((rows, "driver", memory(os.getpid())))
