"""An engine that dies: who is to blame is told, everybody else is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.engines.base import Completion, EngineDead, Request, Sampling, Watch
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import UnitError

SAMPLING = Sampling()
POISON, REFUSED = 13, 99


class FragileEngine:
    """An engine that a prompt with token 13 kills, and with it everything that is under way.

    Each answer takes a few turns of the event loop, so that requests overlap. Its host counts what
    happens.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._gone: asyncio.Future[None] | None = None
        self._shut = False

    @property
    def dead(self) -> bool:
        return not self._shut and self._gone is not None and self._gone.done()

    async def start(self) -> None:
        self._host.starts += 1
        await self._host.may_start.wait()
        if self._host.breaks_at == self._host.starts:
            raise EngineDead("no room on the device")
        self._gone = asyncio.get_running_loop().create_future()

    def shutdown(self) -> None:
        self._shut = True

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        if self._gone is None or self._shut:
            raise EngineDead("not running")
        self._host.asked.append(int(request.token_ids[0]))
        self._host.under_way += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)  # one turn of the loop
                if POISON in request.token_ids and not self._gone.done():
                    self._gone.set_result(None)
                if self._gone.done():
                    raise EngineDead("the process is gone")
            if self._host.under_way > self._host.room:
                self._gone.set_result(None)
                raise EngineDead("out of memory")
            while self._host.token_every_s and not self._host.may_answer.is_set():
                await asyncio.sleep(self._host.token_every_s)
                self._host.tokens += 1
                assert watch is not None
                watch([self._host.tokens])
            await self._host.may_answer.wait()
            if self._gone.done():
                raise EngineDead("the process is gone")
        finally:
            self._host.under_way -= 1
        if REFUSED in request.token_ids:
            raise UnitError("generate", "engine_failed", "refused")
        return Completion(request.token_ids.tolist(), len(request.token_ids), "stop")


class Host:
    """The machine engines run on: what was started, and what may go on."""

    def __init__(self) -> None:
        self.starts = self.under_way = 0
        self.asked: list[int] = []  # the first token of every request that an engine was given
        self.breaks_at: int | None = None
        self.room = 1000  # requests at once
        self.token_every_s = 0.0
        self.tokens = 0
        self.may_start, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_start.set()
        self.may_answer.set()


def request(name: int, poisonous: bool = False) -> Request:
    return Request(str(name), np.array([1000 + name, POISON if poisonous else 1], np.int32))


def play(scene: Callable[[Host, Recovering], Coroutine[Any, Any, None]]) -> Host:
    """Runs ``scene`` with an engine that was started; ends it where it hangs."""

    async def whole() -> Host:
        host = Host()
        engine = Recovering(lambda: FragileEngine(host))
        await engine.start()
        await asyncio.wait_for(scene(host, engine), timeout=20)
        return host

    return asyncio.run(whole())


async def turns(count: int = 20) -> None:
    """Lets everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


def ask(engine: Recovering, *requests: Request) -> list[asyncio.Task[Completion]]:
    return [asyncio.create_task(engine.generate(each, SAMPLING)) for each in requests]


async def outcomes(tasks: list[asyncio.Task[Completion]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


class TestWhoIsToBlame:
    def test_a_poisonous_request_costs_itself_only(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            done = await outcomes(ask(engine, *(request(name, name == 4) for name in range(10))))
            assert isinstance(done[4], UnitError)
            assert (done[4].stage, done[4].kind, done[4].attempts) == (
                "generate",
                "engine_failed",
                2,
            )
            assert "died twice" in done[4].message
            assert "the process is gone" in done[4].message
            assert [each.token_ids[0] for each in done[:4] + done[5:]] == [
                1000,
                1001,
                1002,
                1003,
                *range(1005, 1010),
            ]

        assert play(scene).starts == 3

    def test_a_poisonous_request_alone(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            (failed,) = await outcomes(ask(engine, request(0, poisonous=True)))
            assert isinstance(failed, UnitError)
            done = await engine.generate(request(1), SAMPLING)
            assert done.token_ids[0] == 1001

        assert play(scene).starts == 3

    def test_a_death_by_chance_costs_nobody(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_answer.clear()
            tasks = ask(engine, *(request(name) for name in range(5)))
            await turns()
            engine._engine._gone.set_result(None)  # type: ignore[attr-defined]
            host.may_answer.set()
            assert all(isinstance(each, Completion) for each in await outcomes(tasks))

        assert play(scene).starts == 2

    def test_no_death_leaves_a_watchdog_behind(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            before = len(asyncio.all_tasks())
            for number in range(6):
                await outcomes(ask(engine, request(number, poisonous=True)))
                await engine.generate(request(50 + number), SAMPLING)
            await turns()
            assert len(asyncio.all_tasks()) == before

        assert play(scene).starts == 13

    def test_a_refused_request_is_not_tried_again(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            refused = Request("no", np.array([7, REFUSED], np.int32))
            (error,) = await outcomes(ask(engine, refused))
            assert isinstance(error, UnitError)
            assert error.message == "refused"
            assert host.asked == [7]

        assert play(scene).starts == 1

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=25))
    def test_any_requests_at_any_time(self, wanted: list[tuple[bool, int]]) -> None:
        """Each is poisonous or not, and comes some turns after the one before."""

        async def scene(host: Host, engine: Recovering) -> None:
            tasks = []
            for name, (poisonous, wait) in enumerate(wanted):
                await turns(wait)
                tasks += ask(engine, request(name, poisonous))
            done = await outcomes(tasks)
            assert [isinstance(each, UnitError) for each in done] == [
                poisonous for poisonous, _ in wanted
            ]
            assert all(isinstance(each, UnitError | Completion) for each in done)

        # Each poisonous request kills once among others and once alone.
        assert play(scene).starts <= 1 + 2 * sum(poisonous for poisonous, _ in wanted)


class TestWhileItIsDown:
    def test_requests_that_come_then_wait_and_are_not_suspected(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            first = ask(engine, request(0, poisonous=True))
            host.may_start.clear()
            await turns()
            late = ask(engine, *(request(name) for name in range(1, 6)))
            await turns()
            assert host.starts == 2
            assert host.asked == [1000]  # none of the late ones met the dead engine
            host.may_answer.clear()
            host.may_start.set()
            await turns(100)
            assert host.under_way == 5  # they go on together, not one after the other
            host.may_answer.set()
            done = await outcomes(first + late)
            assert [isinstance(each, UnitError) for each in done] == [True] + [False] * 5
            assert [host.asked.count(1000 + name) for name in range(6)] == [2, 1, 1, 1, 1, 1]

        assert play(scene).starts == 3

    def test_nobody_is_forgotten_when_the_last_suspect_fails(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_start.clear()
            tasks = ask(engine, request(0, poisonous=True))
            await turns()
            tasks += ask(engine, request(1))
            await turns()
            host.may_start.set()
            done = await outcomes(tasks)
            assert isinstance(done[1], Completion)

        play(scene)

    def test_an_engine_that_does_not_start_again_is_told(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.breaks_at = 2
            (error,) = await outcomes(ask(engine, request(0, poisonous=True)))
            assert isinstance(error, EngineDead)  # no unit's own failure
            assert "no room" in str(error)
            # The device may have been freed since: who comes next tries again, and is not called
            # poisonous.
            assert isinstance(await engine.generate(request(1), SAMPLING), Completion)

        assert play(scene).starts == 3


class TestCancelling:
    def test_a_request_under_way(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_answer.clear()
            tasks = ask(engine, request(0), request(1))
            await turns()
            tasks[0].cancel()
            await turns()
            assert host.under_way == 1
            host.may_answer.set()
            done = await outcomes(tasks)
            assert isinstance(done[0], asyncio.CancelledError)
            assert isinstance(done[1], Completion)

        play(scene)

    @pytest.mark.parametrize("cancelled", [0, 1, 2])
    def test_one_of_those_that_a_death_left(self, cancelled: int) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_start.clear()
            tasks = ask(engine, request(0, poisonous=True), request(1))
            await turns()
            tasks += ask(engine, request(2))
            await turns()
            tasks[cancelled].cancel()  # the first one is alone in restarting, the others wait
            await turns()
            host.may_start.set()
            done = await outcomes(tasks)
            assert isinstance(done[cancelled], asyncio.CancelledError)
            for other in {1, 2} - {cancelled}:
                assert isinstance(done[other], Completion)

        play(scene)


class TestHanging:
    def hang(self, scene: Callable[[Host, Recovering], Coroutine[Any, Any, None]]) -> Host:
        async def whole() -> Host:
            host = Host()
            engine = Recovering(lambda: FragileEngine(host), hang_s=0.2)
            await engine.start()
            await asyncio.wait_for(scene(host, engine), timeout=20)
            return host

        return asyncio.run(whole())

    def test_an_engine_that_makes_no_token_is_replaced_and_nobody_is_lost(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_answer.clear()
            tasks = ask(engine, *(request(name) for name in range(5)))
            while host.starts == 1:
                await asyncio.sleep(0.01)
            host.may_answer.set()
            assert all(isinstance(each, Completion) for each in await outcomes(tasks))

        assert self.hang(scene).starts == 2

    def test_a_request_that_hangs_every_engine_is_an_error(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_answer.clear()
            (error,) = await outcomes(ask(engine, request(0)))
            assert isinstance(error, UnitError)
            assert "no token in 0.2 s" in error.message
            host.may_answer.set()
            assert isinstance(await engine.generate(request(1), SAMPLING), Completion)

        assert self.hang(scene).starts == 3

    def test_a_slow_answer_that_grows_is_waited_for(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.token_every_s = 0.05
            host.may_answer.clear()
            tasks = ask(engine, request(0), request(1))
            while host.tokens < 40:
                await asyncio.sleep(0.01)
            host.may_answer.set()
            assert all(isinstance(each, Completion) for each in await outcomes(tasks))

        assert self.hang(scene).starts == 1

    def test_who_cancels_a_request_does_not_end_the_engine(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            host.may_answer.clear()
            tasks = ask(engine, request(0))
            await turns()
            tasks[0].cancel()
            assert isinstance((await outcomes(tasks))[0], asyncio.CancelledError)
            assert host.under_way == 0
            host.may_answer.set()
            assert isinstance(await engine.generate(request(1), SAMPLING), Completion)

        assert self.hang(scene).starts == 1


class TestTooManyAtOnce:
    def test_where_many_exhaust_the_device_there_are_fewer_after(self) -> None:
        """As an accelerator that runs out of memory: alone every request is fine."""

        async def scene(host: Host, engine: Recovering) -> None:
            host.room = 10
            done = await outcomes(ask(engine, *(request(name) for name in range(16))))
            assert all(isinstance(each, Completion) for each in done)
            deaths = host.starts
            for _ in range(3):
                again = await outcomes(ask(engine, *(request(name) for name in range(10))))
                assert all(isinstance(each, Completion) for each in again)
            assert host.starts == deaths

        assert play(scene).starts <= 4

    def test_where_one_is_to_blame_there_are_as_many_after(self) -> None:
        async def scene(host: Host, engine: Recovering) -> None:
            await outcomes(ask(engine, *(request(name, name == 4) for name in range(8))))
            host.may_answer.clear()
            tasks = ask(engine, *(request(name) for name in range(50)))
            await turns(60)
            assert host.under_way == 50
            host.may_answer.set()
            await outcomes(tasks)

        play(scene)
