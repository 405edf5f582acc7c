"""An engine that is started anew when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from internvl_ops.engines.base import Completion, Engine, EngineDead, Request, Sampling, Watch
from internvl_ops.errors import UnitError


class Recovering:
    """Runs an engine, and another when that one dies.

    A request may be what killed it. So a request that was in flight at a death is tried once more with nothing else in
    flight; if the engine dies again, that request alone is the cause and fails with kind ``engine_failed``. A request
    that comes while the engine is down was not in flight: it waits, and goes on among the others.

    Args:
        make_engine: Makes an engine that is not yet started.
    """

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._up = False
        self._running = 0
        self._changed = asyncio.Condition()
        self._suspect = asyncio.Lock()  # held by the one request that is tried alone

    async def start(self) -> None:
        """Starts the engine, minutes for a large model; else the first request does."""
        async with self._alone():
            await self._revive()

    async def generate(self, request: Request, sampling: Sampling, watch: Watch | None = None) -> Completion:
        """One completion.

        Raises:
            UnitError: The request cannot be served, or it is what kills the engine.
            EngineDead: The engine died and does not start again.
        """
        async with self._among_others():
            try:
                return await self._ask(request, sampling, watch)
            except EngineDead:
                pass  # tried once more below, alone
        async with self._alone():
            await self._revive()
            return await self._once_more(request, sampling, watch)

    async def _ask(self, request: Request, sampling: Sampling, watch: Watch | None) -> Completion:
        assert self._engine is not None
        try:
            return await self._engine.generate(request, sampling, watch)
        except EngineDead:
            self._up = False
            raise

    async def _once_more(self, request: Request, sampling: Sampling, watch: Watch | None) -> Completion:
        try:
            return await self._ask(request, sampling, watch)
        except EngineDead as death:
            message = f"the engine died twice with this unit in flight, the second time with it alone: {death}"
            raise UnitError("generate", "engine_failed", message, attempts=2) from death

    async def _revive(self) -> None:
        if self._up:
            return
        if self._engine is not None:
            self._engine.shutdown()
        self._engine = self._make_engine()
        await self._engine.start()
        self._up = True

    @asynccontextmanager
    async def _among_others(self) -> AsyncIterator[None]:
        while not await self._joined():
            async with self._alone():
                await self._revive()
        try:
            yield
        finally:
            async with self._changed:
                self._running -= 1
                self._changed.notify_all()

    async def _joined(self) -> bool:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._suspect.locked())
            self._running += self._up
            return self._up

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        try:
            async with self._suspect:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._running == 0)
                yield
        finally:  # whoever waits for the lock to be free goes on, however this request ended
            async with self._changed:
                self._changed.notify_all()
