"""An engine that is restarted when it dies."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from internvl_ops.engines.base import Engine, EngineDead, Request, Sampling, Watch
from internvl_ops.errors import UnitError
from internvl_ops.events import note, say_step
from internvl_ops.gauge import Gauge

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Recovering(Generic[Answer]):
    """Runs an engine, and starts a new one when it dies.

    A request may be the cause of a death. So each request that was running when the engine died is
    tried once more, alone. If the engine dies again, that request is the cause and fails with kind
    ``engine_failed``. A request that arrives while the engine is down was not running: it waits,
    and then runs among the others.

    An engine that generates no token for `hang_s` while it has requests also counts as dead; of an
    engine of numbers, each answer counts as a token. The cause may be too many
    requests at once, for example on a device that runs out of memory. So after a death for which no
    single request is to blame, the limit on simultaneous requests drops to three quarters of their
    number. It rises by one each time that many requests were answered.

    Args:
        make_engine: Makes an engine that is not yet started.
        hang_s: Seconds without a token after which the engine counts as hung. Must be longer than
            the engine needs to read the longest prompt.

    Attributes:
        asked: The requests that a running engine is processing.
    """

    def __init__(self, make_engine: Callable[[], Engine[Answer]], *, hang_s: float = 600.0) -> None:
        self._make_engine, self._hang_s = make_engine, hang_s
        self.asked = Gauge()
        self._limit = math.inf  # maximum number of simultaneous requests
        self._before_death = math.inf
        self._last_token = 0.0
        self._asking: set[asyncio.Task[Answer]] = set()
        self._hung: set[asyncio.Task[Answer]] = set()
        self._watchdog: asyncio.Task[None] | None = None
        self._engine: Engine[Answer] | None = None
        self._up = False
        self._running = 0
        self._changed = asyncio.Condition()
        self._suspect = asyncio.Lock()  # held by the one request that is tried again alone

    async def start(self) -> None:
        """Starts the engine, which takes minutes for a large model. Without this call, the first
        request starts it."""
        async with self._alone():
            await self._revive()

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Answer:
        """The answer to one request.

        Raises:
            UnitError: The request cannot be served, or it kills the engine.
            EngineDead: The engine died and cannot be restarted.
        """
        async with self._among_others():
            try:
                return await self._ask(request, sampling, watch)
            except EngineDead:
                pass  # tried again below, alone
        async with self._alone():
            await self._revive()
            return await self._once_more(request, sampling, watch)

    async def shutdown(self) -> None:
        """Ends the engine. A later request starts one again."""
        async with self._alone():
            self._up = False
            if self._watchdog is not None:
                self._watchdog.cancel()
            if self._engine is not None:
                self._engine.shutdown()
                self._engine = None

    async def _ask(self, request: Request, sampling: Sampling, watch: Watch | None) -> Answer:
        assert self._engine is not None
        asked = asyncio.ensure_future(self._engine.generate(request, sampling, self._noting(watch)))
        if not self._asking:
            self._last_token = time.monotonic()
        self._asking.add(asked)
        try:
            with self.asked:
                answer = await asked
        except EngineDead as death:
            self._mourn("engine_died", str(death))
            raise
        except asyncio.CancelledError:
            if asked not in self._hung:
                raise
            raise EngineDead(f"no token in {self._hang_s:g} s") from None
        finally:
            self._asking.discard(asked)
            self._hung.discard(asked)
        self._last_token = time.monotonic()
        self._limit += 1 / self._limit
        return answer

    def _noting(self, watch: Watch | None) -> Watch:
        def noted(answer: Sequence[int] | str) -> bool:
            self._last_token = time.monotonic()
            return watch is not None and watch(answer)

        return noted

    def _mourn(self, event: str, why: str) -> None:
        if not self._up:  # every request that was running reports the same death
            return
        self._up = False
        # a suspect runs alone, so the number of requests is not the cause
        if self._suspect.locked():
            note(
                logger,
                event,
                f"The engine died with one request alone under way: {why}",
                requests=1,
            )
            return
        requests = self._running
        note(
            logger,
            event,
            f"The engine died with {requests} requests under way: {why}",
            requests=requests,
        )
        self._before_death, self._limit = self._limit, max(1.0, 0.75 * requests)
        limit = math.ceil(self._limit)
        note(
            logger,
            "engine_limit_lowered",
            f"The engine gets at most {limit} requests at once for now.",
            limit=limit,
        )

    async def _watch_over(self) -> None:
        """Ends the requests of a hung engine; each request then reports that the engine is dead."""
        while self._up:
            await asyncio.sleep(self._hang_s / 10)
            if self._asking and time.monotonic() - self._last_token > self._hang_s:
                self._mourn("engine_hung", f"it has made no token for {self._hang_s:g} s")
                self._hung |= self._asking
                for asked in self._hung:
                    asked.cancel()

    async def _once_more(self, request: Request, sampling: Sampling, watch: Watch | None) -> Answer:
        try:
            return await self._ask(request, sampling, watch)
        except EngineDead as death:
            self._limit = self._before_death
            note(
                logger,
                "unit_kills_engine",
                "One unit killed the engine twice, the second time alone; it fails.",
            )
            message = (
                "the engine died twice with this unit in flight, the second time with it alone:"
                f" {death}"
            )
            raise UnitError("generate", "engine_failed", message, attempts=2) from death

    async def _revive(self) -> None:
        if self._up:
            return
        again, began = self._engine is not None, time.monotonic()
        if self._engine is not None:
            self._engine.shutdown()
        self._engine = self._make_engine()
        say_step(logger, "starting")
        try:
            await self._engine.start()
        except Exception as error:
            note(
                logger,
                "engine_not_started",
                f"The engine does not start: {error}",
                level=logging.ERROR,
            )
            raise
        self._up = True
        seconds = round(time.monotonic() - began, 1)
        note(
            logger,
            "engine_ready",
            f"An engine is ready after {seconds:g} s.",
            level=logging.INFO,
            seconds=seconds,
        )
        if again:
            note(
                logger,
                "engine_restarted",
                f"The engine runs again; it started in {seconds:g} s.",
                seconds=seconds,
            )
        # the old one may still sleep, and would run beside the new one
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = asyncio.create_task(self._watch_over())

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
            await self._changed.wait_for(
                lambda: not self._suspect.locked() and self._running < self._limit
            )
            self._running += self._up
            return self._up

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        try:
            async with self._suspect:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._running == 0)
                yield
        finally:  # requests that wait for the lock continue, however this request ended
            async with self._changed:
                self._changed.notify_all()
