"""An engine on an event loop of its own, for callers that are plain functions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from internvl_ops.engines.base import Completion, Engine, Request, Sampling, Watch

T = TypeVar("T")
E = TypeVar("E", bound=Engine)


class RunningEngine(Generic[E]):
    """An engine on an event loop of its own, for tests that are plain functions."""

    def __init__(self, engine: E) -> None:
        self.engine = engine
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.run(engine.start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=500)

    def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        return self.run(self.engine.generate(request, sampling, watch))

    def close(self) -> None:
        self.engine.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
