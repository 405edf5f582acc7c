"""What a run says of its own speed: rates, what it made of its GPUs, which stage bound it, and what
to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace

import pyarrow as pa
import pytest

from internvl_ops.cost import Cost
from internvl_ops.gauge import Gauge, Reading
from internvl_ops.gpus import GPUS
from internvl_ops.models.family.registry import REGISTRY
from internvl_ops.tasks import caption, several
from pipelines import cluster
from pipelines import columns as c
from pipelines.blocks import Blocks
from pipelines.cluster import Workers
from pipelines.report.measures import Measures, RunSetup
from pipelines.stages.wire import with_reading
from tests.pipelines.finished_rows import row, table

EIGHT = Cost(next(entry.architecture for entry in REGISTRY if entry.name == "InternVL2_5-8B"), 256)
TWO_H100 = RunSetup(cost=EIGHT, gpu=GPUS["h100"], gpus=2, in_flight=320)
START = 1_000.0  # when the first request was made


def block(
    at: float, *, prepare: float, engine: float, busy: float = 1.0, units: int = 8, rate: float = 10
) -> pa.Table:
    """Rows that came to their engine at ``at``, where until then on average ``prepare`` blocks were
    under way in the one prepare actor, ``engine`` requests in the one engine, and ``busy`` is the
    share of time in which it had any."""
    rows = table([row(f"{at}-{number}") for number in range(units)])
    since = at - START
    prepared = Reading(0.0, at, since, since * prepare)
    asked = Reading(START, at, since * busy, since * engine)
    rows = with_reading(rows, c.PREPARE_GAUGE, "node-1", prepared)
    return with_reading(rows, c.ENGINE_GAUGE, "node-2", asked, device_s=since * busy / 2)


def measured(blocks: list[pa.Table], setting: RunSetup = TWO_H100, *, ended: float) -> Measures:
    clock: Iterator[float] = iter([0.0, *([START] * (len(blocks) - 1)), ended])
    made = Measures(setting, clock=lambda: next(clock))
    for rows in blocks:
        made.take(rows)
    return made


def run(seconds: float, setting: RunSetup = TWO_H100, **shares: float) -> Measures:
    """A run of so long, in which a hundred blocks of eight came evenly."""
    blocks = [block(START + seconds * number / 100, **shares) for number in range(101)]
    return measured(blocks, setting, ended=START + seconds)


def prepare_bound() -> Measures:
    return run(200, prepare=1.96, engine=6.0, busy=0.7)


class TestTheStageThatBinds:
    def test_prepare(self) -> None:
        made = prepare_bound()
        assert made.bound == "prepare"
        assert made.stages() == {"prepare": 0.98, "engine": 0.019, "write": 0.0}
        assert (
            made.advice()
            == "prepare bound: add CPU actors (--prepare-actors, or CPUs to the cluster), or lower"
            " --max-tiles"
        )

    def test_engine(self) -> None:
        made = run(200, prepare=0.4, engine=300)
        assert made.bound == "engine"
        assert made.advice().startswith("engine bound: ")
        assert "add GPUs" in made.advice()

    def test_an_engine_without_gpus_is_not_advised_to_add_some(self) -> None:
        made = run(200, RunSetup(in_flight=320), prepare=0.4, engine=300)
        assert made.bound == "engine"
        assert "add GPUs" not in made.advice()
        assert "CPUs" in made.advice()

    def test_the_store_that_is_written_to(self) -> None:
        made = run(200, prepare=0.2, engine=30)
        made.writing_s = 180
        assert made.bound == "write"

    def test_the_manifest(self) -> None:
        assert run(200, prepare=0.3, engine=30).bound == "read"

    def test_engines_that_never_started_come_first(self) -> None:
        shares = {"prepare": 0.4, "engine": 100.0}
        blocks = [block(START + 2 * number, **shares) for number in range(101)]
        made = measured(blocks, RunSetup(engines=3, gpus=3, in_flight=100), ended=START + 200)
        assert (
            made.advice() == "2 of 3 engines never had a unit: `ray status` says what they wait for"
        )
        assert (made.device()["engines"], made.device()["engines_at_work"]) == (3, 1)

    def test_of_a_run_of_seconds_none(self) -> None:
        made = run(5, prepare=2, engine=6)
        assert made.stages() is None
        assert made.bound is None
        assert made.advice() == "too short to say which stage bound the run"

    def test_nor_of_one_with_fewer_units_than_fill_the_engines(self) -> None:
        blocks = [block(START + number, prepare=2, engine=6) for number in range(60)]
        assert measured(blocks, ended=START + 60).bound is None

    def test_one_block_says_nothing(self) -> None:
        made = measured([block(START, prepare=0, engine=0)], ended=START + 100)
        assert made.bound is None
        assert made.device()["engine_idle_share"] is None

    def test_actors_are_taken_together(self) -> None:
        halves = []
        for name, held in (("a", 2.0), ("b", 0.0)):
            for at in (START, START + 100):
                rows = table([row(f"{name}{at}")])
                rows = with_reading(
                    rows, c.PREPARE_GAUGE, name, Reading(0, at, 0, held * (at - START))
                )
                rows = with_reading(
                    rows, c.ENGINE_GAUGE, "engine", Reading(START, at, 0, 0), device_s=None
                )
                halves.append(rows)
        stages = measured(halves, RunSetup(in_flight=2), ended=START + 100).stages()
        assert stages is not None
        assert stages["prepare"] == 0.5


class TestRates:
    def test_start_up_does_not_count(self) -> None:
        made = run(200, prepare=1, engine=1)  # 1,000 s after the job began
        assert made.rates() == {
            "units_per_second": round(808 / 200, 2),
            "prompt_tokens_per_second": 404.0,
            "completion_tokens_per_second": 28.28,
            "seconds": 200.0,
        }

    def test_units_that_come_all_at_once_took_the_time_since_they_were_asked(self) -> None:
        made = measured([block(START, prepare=0, engine=0, units=100)], ended=START + 4)
        assert made.rates()["units_per_second"] == 25.0

    def test_of_no_time_at_all_there_is_no_rate(self) -> None:
        made = measured([block(START, prepare=0, engine=0)], ended=START + 0.01)
        assert made.rates()["units_per_second"] is None

    def test_where_nothing_was_asked_the_whole_run_counts(self) -> None:
        made = Measures(clock=iter([0.0, 10.0]).__next__)
        made.take(table([row("a", kind="not_found")] * 5))
        assert made.rates()["units_per_second"] == 0.5


class TestDevice:
    def test_utilisation(self) -> None:
        made = run(200, prepare=1, engine=1)
        unit = EIGHT.unit(3, 100, 7)  # as `row` has them
        assert made.device()["model_flop_per_second"] == pytest.approx(808 * unit / 200, rel=1e-3)
        assert made.device()["model_flop_utilisation"] == pytest.approx(
            808 * unit / 200 / (2 * 989.5e12), abs=1e-4
        )

    def test_idle_shares(self) -> None:
        device = run(200, prepare=1, engine=1, busy=0.75).device()
        assert device["engine_idle_share"] == 0.25
        assert device["gpu_idle_share"] == 0.625

    @pytest.mark.parametrize(
        ("setting", "why"),
        [
            (RunSetup(cost=EIGHT), "no GPU"),
            (RunSetup(cost=None, gpu=GPUS["h100"]), "not counted of a server's model"),
        ],
    )
    def test_what_is_not_known_is_said(self, setting: RunSetup, why: str) -> None:
        made = measured([block(START, prepare=0, engine=0)], setting, ended=START + 100)
        assert made.device()["model_flop_utilisation"] is None
        assert why in made.device()["unknown"]

    @pytest.mark.parametrize(
        ("gpus", "name", "why"),
        [
            ({"accelerator_type:H200": 1.0}, "h200", ""),
            ({"accelerator_type:V100": 1.0}, None, "what a V100 can do is not known"),
            (
                {"accelerator_type:H100": 1.0, "accelerator_type:A100": 1.0},
                None,
                "2 kinds: H100, A100",
            ),
        ],
    )
    def test_ray_knows_the_gpus(self, gpus: dict[str, float], name: str | None, why: str) -> None:
        workers = Workers(
            engines=2, gpus_per_engine=4, prepare_actors=8, in_flight=320, blocks=Blocks(8, 40)
        )
        setting = cluster.run_setup(workers, None, caption(), {"CPU": 64, "GPU": 8, **gpus})
        assert setting.gpus == 8
        assert (setting.gpu.name if setting.gpu else None) == name
        assert why in setting.no_gpu

    def test_several_tasks_share_a_cache(self) -> None:
        workers = Workers(
            engines=1, gpus_per_engine=0, prepare_actors=1, in_flight=32, blocks=Blocks(8, 40)
        )
        both = several([caption()])
        assert cluster.run_setup(workers, SimpleNamespace(), both, {"CPU": 2}).cost is None  # type: ignore[arg-type]


class TestGauge:
    def test_counts_what_is_inside_over_time(self) -> None:
        now = SimpleNamespace(s=10.0)
        gauge = Gauge(clock=lambda: now.s)
        assert gauge.read() is None
        with gauge:
            now.s = 12
            with gauge:
                now.s = 15
        now.s = 20
        assert gauge.read() == Reading(since=10, at=20, busy_s=5, held_s=8)
        assert gauge.at_start() == Reading(since=10, at=10, busy_s=0, held_s=0)

    def test_an_error_leaves_it(self) -> None:
        gauge = Gauge()
        with pytest.raises(ZeroDivisionError), gauge:
            math.floor(1 / 0)
        first = gauge.read()
        assert first is not None
        assert gauge.read().busy_s == first.busy_s  # type: ignore[union-attr]
