"""Events: what the system decides by itself is logged under a name, once, and without
credentials."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from internvl_ops.engines.base import Completion, EngineDead, Request, Sampling
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import UnitError
from internvl_ops.events import Forwarder, forward, log_event, note
from internvl_ops.media.silence import Silence

logger = logging.getLogger("internvl_ops.somewhere")


def events(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    return Counter(record.event for record in caplog.records if hasattr(record, "event"))


@pytest.fixture(autouse=True)
def fresh_loggers() -> Iterator[None]:
    """Loggers as in a process that has configured none; other tests may have."""
    loggers = [logging.getLogger(name) for name in ("internvl_ops", "pipelines")]
    before = [(one.level, one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.setLevel(logging.WARNING)
        one.handlers, one.propagate = [], True
    yield
    for one, (level, handlers, propagate) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers, one.propagate = handlers, propagate


class Engine:
    """Dies of each request that is called so."""

    async def start(self) -> None:
        pass

    def shutdown(self) -> None:
        pass

    async def generate(self, request: Request, sampling: Sampling, watch: Any = None) -> Completion:
        for _ in range(3):
            await asyncio.sleep(0)
        if request.request_id == "poison":
            raise EngineDead("https://me:s3cret@host/ is gone")
        return Completion([1], 1, "stop")


def test_each_decision_about_an_engine_is_one_event(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        engine = Recovering(Engine)
        await engine.start()
        requests = [Request(name, np.array([1], np.int32)) for name in ("poison", "fine", "poison")]
        done = await asyncio.gather(
            *(engine.generate(one, Sampling()) for one in requests), return_exceptions=True
        )
        assert [isinstance(one, UnitError) for one in done] == [True, False, True]
        assert await engine.generate(requests[1], Sampling())

    asyncio.run(scene())
    found = events(caplog)
    # Three deaths: of all together, and of each poisonous request alone. The first death alone
    # lowers the limit.
    assert found == {
        "engine_died": 3,
        "engine_limit_lowered": 1,
        "unit_kills_engine": 2,
        "engine_restarted": 3,
    }
    assert "s3cret" not in caplog.text


def test_an_engine_that_does_not_start_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Engine):
        async def start(self) -> None:
            raise EngineDead("no room on the device")

    with pytest.raises(EngineDead):
        asyncio.run(Recovering(Broken).start())
    (record,) = caplog.records
    assert (record.levelname, record.event) == ("ERROR", "engine_not_started")  # type: ignore[attr-defined]


def test_a_server_that_is_given_up_is_one_event_however_often_it_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 1000.0
    silence = Silence(180, objects=1, look_s=30, clock=lambda: now)
    silence.gave_up("http://a", 200)
    assert silence.passed_over("http://a") is None  # the look
    for _ in range(5):
        assert silence.passed_over("http://a")
    silence.answered("http://a")
    silence.answered("http://a")
    assert events(caplog) == {"fetch_server_given_up": 1, "fetch_server_back": 1}


def test_neither_message_nor_field_shows_a_credential(caplog: pytest.LogCaptureFixture) -> None:
    note(
        logger,
        "store_away",
        "s3://KEY:s3cret@bucket/x: Authorization: Bearer s3cret12345",
        store="http://u:s3cret@h/",
    )
    (record,) = caplog.records
    assert "s3cret" not in record.getMessage() + str(vars(record))
    assert "bucket" in record.getMessage()


class TestFromAnotherProcess:
    @pytest.fixture
    def sent(self) -> Iterator[list[dict[str, Any]]]:
        values: list[dict[str, Any]] = []
        forward(values.append)
        forward(values.append)  # as two tasks of one worker do
        yield values
        for name in ("internvl_ops", "pipelines"):
            root = logging.getLogger(name)
            root.handlers = [one for one in root.handlers if not isinstance(one, Forwarder)]

    def test_an_event_arrives_once_and_as_it_was(
        self, sent: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
    ) -> None:
        note(logger, "engine_died", "The engine died: 100 %s", requests=3)
        logger.warning("no event, so it stays where it is")
        (value,), before = sent, caplog.records[0]
        logging.getLogger("internvl_ops").handlers.clear()
        caplog.clear()
        log_event(value)
        (after,) = caplog.records
        assert (after.name, after.levelname, after.created) == (
            before.name,
            before.levelname,
            before.created,
        )
        assert after.getMessage() == "The engine died: 100 %s"
        assert after.event == "engine_died"  # type: ignore[attr-defined]
        assert after.fields["requests"] == 3  # type: ignore[attr-defined]
        assert after.fields["worker"]  # type: ignore[attr-defined]

    def test_that_it_cannot_be_sent_costs_the_event_alone(self) -> None:
        def fail(value: dict[str, Any]) -> None:
            raise ConnectionError

        Forwarder(fail).handle(logging.makeLogRecord({"event": "x", "msg": "x"}))
