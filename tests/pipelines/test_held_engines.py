"""Engines that stay between jobs."""

from __future__ import annotations

from internvl_ops.engines.recovering import Recovering
from pipelines.held_engines import EngineHost
from testing.stand_in import StandInEngine


def test_each_job_claims_an_engine_once_and_brings_its_own_generator() -> None:
    made: list[Recovering] = []

    def make_generator(engine: Recovering) -> Recovering:
        made.append(engine)
        return engine

    host = EngineHost(
        {
            "make_engine": StandInEngine,
            "make_generator": make_generator,
            "tile_size": 28,
            "hang_s": 60,
            "ledger": None,
        }
    )
    assert [host.claim(job, make_generator, None) for job in ("one", "one", "two", "two")] == [
        True,
        False,
        True,
        False,
    ]
    assert len(made) == 3
    assert made[0] is made[1] is made[2]  # the same engine for all jobs


def test_the_gauge_of_a_job_begins_anew() -> None:
    gauges = []
    host = EngineHost({"make_engine": StandInEngine,
                       "make_generator": lambda engine: gauges.append(engine.asked),
                       "tile_size": 28, "hang_s": 60})  # fmt: skip
    with gauges[0]:
        pass
    host.claim("two", lambda engine: gauges.append(engine.asked), None)  # type: ignore[arg-type, return-value]

    assert gauges[0].read() is not None
    assert gauges[1].read() is None
