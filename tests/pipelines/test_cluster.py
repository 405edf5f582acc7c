"""What runs where is settled before anything starts, and said where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint
from pipelines.blocks import Rows
from pipelines.cluster import Workers, connect, plan_workers
from pipelines.options.job_options import JobOptions

IMAGES = Rows("image", several=False)


def options(**given: object) -> JobOptions:
    return JobOptions.model_validate({"input": "in.jsonl", "output": "out", "model": "m", **given})


class TestSettle:
    def settle(self, checkpoint: Checkpoint, cluster: dict[str, float], **given: object) -> Workers:
        return plan_workers(options(**given), checkpoint, IMAGES, [cluster])

    @pytest.mark.parametrize(
        ("cluster", "given", "expected"),
        [
            ({"CPU": 2.0}, {}, (1, 0, 1)),
            ({"CPU": 16.0}, {}, (1, 0, 15)),
            ({"CPU": 16.0, "GPU": 1.0}, {}, (1, 1, 15)),
            ({"CPU": 64.0, "GPU": 8.0}, {}, (8, 1, 56)),
            ({"CPU": 64.0, "GPU": 8.0}, {"gpus_per_engine": 4}, (2, 4, 62)),
            ({"CPU": 64.0, "GPU": 8.0}, {"gpus_per_engine": 3}, (2, 3, 62)),
            ({"CPU": 64.0, "GPU": 8.0}, {"engines": 2}, (2, 1, 62)),
            ({"CPU": 64.0, "GPU": 8.0}, {"gpus_per_engine": 0}, (1, 0, 63)),
            ({"CPU": 64.0, "GPU": 8.0}, {"prepare_actors": 20}, (8, 1, 20)),
            ({"CPU": 8.0}, {"engines": 2}, (2, 0, 6)),
        ],
    )
    def test_the_whole_cluster_is_used(
        self,
        checkpoint: Checkpoint,
        cluster: dict[str, float],
        given: dict,
        expected: tuple[int, int, int],
    ) -> None:
        workers = self.settle(checkpoint, cluster, **given)
        assert (workers.engines, workers.gpus_per_engine, workers.prepare_actors) == expected

    @pytest.mark.parametrize(
        ("cluster", "given", "said"),
        [
            ({}, {}, ["need 2 CPUs", "has 0", "ray start --num-cpus"]),
            ({"CPU": 1.0}, {}, ["need 2 CPUs", "has 1", "--prepare-actors"]),
            ({"CPU": 4.0}, {"prepare_actors": 4}, ["need 5 CPUs", "has 4"]),
            (
                {"CPU": 8.0, "GPU": 8.0},
                {},
                ["8 engines and 1 prepare actors need 9 CPUs", "has 8", "--engines"],
            ),
            ({"CPU": 8.0}, {"gpus_per_engine": 1}, ["need 1 GPUs", "has 0", "--gpus-per-engine"]),
            (
                {"CPU": 8.0, "GPU": 2.0},
                {"gpus_per_engine": 4},
                ["--gpus-per-engine 4 need 4 GPUs", "has 2"],
            ),
            ({"CPU": 8.0, "GPU": 2.0}, {"engines": 3}, ["3 engines", "need 3 GPUs", "has 2"]),
        ],
    )
    def test_a_cluster_that_is_too_small_is_told_what_is_missing(
        self, checkpoint: Checkpoint, cluster: dict[str, float], given: dict, said: list[str]
    ) -> None:
        with pytest.raises(ConfigurationError) as refused:
            self.settle(checkpoint, cluster, **given)
        assert all(part in str(refused.value) for part in said), str(refused.value)

    def test_a_cluster_that_grows_is_asked_for_what_is_not_there_yet(
        self, checkpoint: Checkpoint
    ) -> None:
        given = {"autoscaling": True, "engines": 8, "gpus_per_engine": 2, "prepare_actors": 24}
        workers = self.settle(checkpoint, {"CPU": 1.0}, **given)
        assert (workers.engines, workers.gpus_per_engine, workers.prepare_actors) == (8, 2, 24)

    def test_an_engine_has_all_its_gpus_on_one_node(self, checkpoint: Checkpoint) -> None:
        nodes = [{"CPU": 16.0}, {"CPU": 8.0, "GPU": 3.0}, {"CPU": 8.0, "GPU": 3.0}]
        pairs = options(gpus_per_engine=2)
        assert plan_workers(pairs, checkpoint, IMAGES, nodes).engines == 2
        with pytest.raises(
            ConfigurationError,
            match="need 6 GPUs, the cluster has 6, on nodes of 3, 3, where 2 find",
        ):
            plan_workers(options(gpus_per_engine=2, engines=3), checkpoint, IMAGES, nodes)

    @given(
        cpus=st.integers(0, 200),
        gpus=st.integers(0, 64),
        engines=st.none() | st.integers(1, 70),
        per_engine=st.none() | st.integers(0, 8),
        prepare=st.none() | st.integers(1, 200),
    )
    def test_a_plan_that_is_accepted_fits(
        self,
        checkpoint: Checkpoint,
        cpus: int,
        gpus: int,
        engines: int | None,
        per_engine: int,
        prepare: int | None,
    ) -> None:
        given = {"engines": engines, "gpus_per_engine": per_engine, "prepare_actors": prepare}
        try:
            workers = self.settle(checkpoint, {"CPU": float(cpus), "GPU": float(gpus)}, **given)
        except ConfigurationError:
            return
        assert workers.engines * workers.gpus_per_engine <= gpus
        assert workers.engines + workers.prepare_actors <= cpus
        assert workers.engines == (engines or workers.engines)
        assert min(workers.engines, workers.prepare_actors, workers.in_flight) >= 1
        assert min(workers.blocks.rows, workers.blocks.held) >= 1

    def test_engines_on_gpus_hold_more_units_at_once(self, checkpoint: Checkpoint) -> None:
        on_gpu = self.settle(checkpoint, {"CPU": 8.0, "GPU": 1.0})
        assert (on_gpu.in_flight, on_gpu.blocks.held) == (512, 512 // on_gpu.blocks.rows)
        assert self.settle(checkpoint, {"CPU": 8.0}).in_flight == 32
        assert self.settle(checkpoint, {"CPU": 8.0}, in_flight=3).blocks.held == 1


@pytest.mark.parametrize("verbose", [False, True])
def test_verbose_shows_what_workers_say(monkeypatch: pytest.MonkeyPatch, verbose: bool) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setenv("RAY_ADDRESS", "")
    monkeypatch.setattr(ray, "init", lambda **arguments: asked.update(arguments))
    connect(options(verbose=verbose))
    assert asked["log_to_driver"] is verbose


class TestRayOnThisMachine:
    SLOW = (
        "The current node timed out during startup. This could happen because some of the raylet"
        " failed to startup."
    )

    def start(self, monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None) -> int:
        """Connects where Ray's starts end like that; gives the number of starts."""
        left = list(outcomes)

        def init(**_: object) -> None:
            outcome = left.pop(0)
            if outcome is not None:
                raise outcome

        monkeypatch.setenv("RAY_ADDRESS", "")
        monkeypatch.setattr(ray, "init", init)
        connect(options())
        return len(outcomes) - len(left)

    def test_is_started_again_where_it_was_too_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.start(monkeypatch, Exception(self.SLOW), None) == 2

    @pytest.mark.parametrize(
        "reason", [OSError("No space left on device"), RuntimeError("a port is taken")]
    )
    def test_that_it_cannot_start_is_one_line_with_the_reason(
        self, monkeypatch: pytest.MonkeyPatch, reason: Exception
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"did not start on this machine .{reason}"):
            self.start(monkeypatch, reason)

    def test_a_token_that_is_missing_here_is_said_as_for_any_cluster(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ConfigurationError, match="set RAY_AUTH_MODE=token"):
            self.start(
                monkeypatch, ray.exceptions.AuthenticationError("Token authentication is enabled")
            )

    def test_twice_too_slow_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigurationError, match="timed out during startup"):
            self.start(monkeypatch, Exception(self.SLOW), Exception(self.SLOW))
