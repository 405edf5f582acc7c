"""vLLM's engine, watched while it runs: how many requests run and wait, and what reached it. For
benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from typing import Any

import psutil

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from internvl_ops.engines.vllm import VllmEngine

SAMPLED_EVERY_S = 0.02


class WatchedEngine(VllmEngine):
    """Notes in a file, a JSON list a line: seconds of the system's monotonic clock, requests that
    run, that wait for their first token, and that are answered; bytes of tiles and token ids so
    far; whether all tiles were views.

    Args:
        notes: The file.
        core: Where vLLM's engine process runs, alone: it stands for the device. None leaves it as
            it is.
        arguments: Of `VllmEngine`.
    """

    def __init__(self, *arguments: Any, notes: str, core: int | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._path, self._core = notes, core
        self._asked = self._started_answers = self._answered = self._bytes = 0
        self._views = True

    async def start(self) -> None:
        await super().start()
        if self._core is not None:
            for process in psutil.Process().children(recursive=True):
                for thread in process.threads():
                    with contextlib.suppress(ProcessLookupError):  # it has ended
                        os.sched_setaffinity(thread.id, {self._core})
        self._notes = open(self._path, "w", buffering=1)  # noqa: SIM115 - open as long as the engine
        self._sampler = asyncio.create_task(self._sample())

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        begun = False

        def watched(answer: Any) -> bool:
            nonlocal begun
            if not begun:
                begun = True
                self._started_answers += 1
            return watch is not None and watch(answer)

        self._asked += 1
        if request.tiles is not None:
            self._bytes += request.tiles.nbytes + request.token_ids.nbytes
            self._views &= not request.tiles.flags.owndata
        try:
            return await super().generate(request, sampling, watched)
        finally:
            self._answered += 1
            if not begun:
                self._started_answers += 1
            self._note()

    async def _sample(self) -> None:
        while True:
            self._note()
            await asyncio.sleep(SAMPLED_EVERY_S)

    def _note(self) -> None:
        running, waiting = (
            self._started_answers - self._answered,
            self._asked - self._started_answers,
        )
        seen = [time.monotonic(), running, waiting, self._answered, self._bytes, self._views]
        self._notes.write(json.dumps(seen) + "\n")
