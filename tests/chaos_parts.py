"""The chaos test of a job in parts: drivers of parts die, alone and together, a part is taken over
while it sleeps.

What is compared is the output of one undisturbed run over the whole and that of the parts. The
engine is not what is tested here: a server without a model answers, with a digest of what it is
asked.

    python -m tests.chaos --shards 4 --rows 240 --faults 6 --minutes 25
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from testing.cluster import ROOT
from testing.model_server import ModelServer, completion
from tests.chaos import Chaos

# seconds, or three times as many, that an image takes at most: less than the job waits for one
LATE_S = 3.0


@contextmanager
def server() -> Iterator[list[str]]:
    """Options for an engine whose answer depends on the request alone."""
    with ModelServer() as model:
        model.otherwise = _digest
        yield ["--engine", "openai", "--base-url", model.url, "--model", "tiny"]


async def _digest(request: web.Request) -> web.Response:
    asked = json.dumps((await request.json())["messages"], sort_keys=True)
    return web.json_response(
        completion(hashlib.blake2b(asked.encode(), digest_size=16).hexdigest())
    )


def in_parts(command: list[str], shards: int) -> list[str]:
    """The command as one that runs ``shards`` parts, with one engine and one prepare actor each."""
    return [
        *command,
        "--shards",
        str(shards),
        "--engines",
        str(shards),
        "--prepare-actors",
        str(shards),
    ]


class PartsChaos(Chaos):
    """Fires the faults that a job in parts can meet.

    Args:
        command: The job without its parts; a part that is taken over runs it with ``--shard``.
        shards: Number of parts.
        log: Gets what the process says that takes a part over.
        others: As for `Chaos`.
    """

    def __init__(
        self, *others: Any, command: list[str], shards: int, log: Path, **more: Any
    ) -> None:
        super().__init__(*others, **more)
        self._command, self._log = command, log
        # each part fetches as many images at once
        self._late_s = min(self._late_s * shards, LATE_S)
        self.kinds = {
            "two parts' drivers: SIGKILL": lambda: self._kill(2),
            "a part's driver: SIGKILL": lambda: self._kill(1),
            "a part's driver: sleeps, taken over": self._take_over,
            "worker node: lost": lambda: self._done() > 0 and self._lose_node(),
            "the command: SIGKILL": lambda: self._end(signal.SIGKILL),
            "the command: SIGTERM": lambda: self._end(signal.SIGTERM),
        }

    def _parts(self) -> list[psutil.Process]:
        """The drivers that are at work."""
        assert self._job.process is not None
        try:
            children = psutil.Process(self._job.process.pid).children()
            return [one for one in children if "--shard" in one.cmdline()]
        except psutil.NoSuchProcess:
            return []

    def _kill(self, number: int) -> bool:
        parts = self._parts()
        if self._done() == 0 or len(parts) < number:
            return False
        for part in self._rng.sample(parts, number):
            part.kill()
        return True

    def _take_over(self) -> bool:
        parts = self._parts()
        if self._done() == 0 or not parts:
            return False
        asleep = self._rng.choice(parts)
        line = asleep.cmdline()
        part = line[line.index("--shard") + 1]
        asleep.suspend()
        try:
            with self._log.open("ab") as log:
                own = [*self._command, "--shard", part, "--engines", "1", "--prepare-actors", "1"]
                ended = subprocess.run(own, cwd=ROOT, stdout=log, stderr=log).returncode
        finally:
            asleep.resume()
        print(f"         part {part} was taken over and ended with status {ended}", flush=True)
        if ended not in (0, 3):
            raise RuntimeError(
                f"the process that took part {part} over ended with {ended}; see {self._log}"
            )
        return True
