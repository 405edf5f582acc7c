"""A stand-in for an engine, for tests of where engines run."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from testing.stand_in import StandInEngine


class StandInThatMeetsAnother(StandInEngine):
    """Answers once two of its kind have been asked; a process each, wherever they run."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        (self._folder / str(os.getpid())).touch()
        while len(list(self._folder.iterdir())) < 2:
            await asyncio.sleep(0.05)
        return await super().generate(request, sampling, watch)
