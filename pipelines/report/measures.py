"""Measures how fast a run was, how well it used its devices, and which stage was the bottleneck."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.cost import Cost
from internvl_ops.gpus import Gpu
from internvl_ops.tasks import TEXT
from pipelines import columns as c
from pipelines.stages.wire import GaugeReading, decode_reading

SHORTEST_S = 1.0  # seconds; a rate over a shorter time means nothing
# seconds; a share over a shorter time means nothing, because stages fill and drain in turns
SHORTEST_BOUND_S = 10.0
FILLED = 2  # fewer units than this many times the engines' capacity cannot keep them full
BUSY_SHARE = 0.5  # a stage is a possible bottleneck once this share of its places is in use
PREPARE_PLACES = 2  # blocks that a prepare actor has at once

ADVICE = {
    "prepare": (
        "prepare bound: add CPU actors (--prepare-actors, or CPUs to the cluster), or lower"
        " --max-tiles"
    ),
    "engine": (
        "engine bound: the GPUs are what is used up; add GPUs, or lower --max-tiles or"
        " --max-new-tokens"
    ),
    "write": (
        "write bound: the output's storage is slower than the engines; raise --commit-seconds, or"
        " write nearer"
    ),
    "read": (
        "read bound: rows come slower than they are prepared; split the manifest into more files,"
        " or use Parquet"
    ),
}
NO_GPUS = (
    "engine bound: what runs the model, the CPUs here or a server, is used up; run it on GPUs, give"
    " the server more, or lower --max-tiles or --max-new-tokens"
)


@dataclass
class ActorReadings:
    """The first and the last reading of one actor."""

    first: GaugeReading
    last: GaugeReading

    def spent(self, name: str) -> float:
        return getattr(self.last, name) - getattr(self.first, name)


@dataclass(frozen=True)
class RunSetup:
    """The configuration that a run is measured on.

    Args:
        cost: Cost of the checkpoint; None if only a server has it, or if several prompts share a
            cache.
        gpu: The kind of GPU of all engines; None without GPUs, with several kinds or with an
            unknown kind.
        no_gpu: Reason why ``gpu`` is None.
        engines: Number of engines requested.
        gpus: Number of GPUs of all engines together.
        in_flight: Units that an engine holds at once.
        tokens: Columns in which the answers count tokens.
    """

    cost: Cost | None = None
    gpu: Gpu | None = None
    no_gpu: str = "no GPU"
    engines: int = 1
    gpus: int = 0
    in_flight: int = 32
    tokens: tuple[str, ...] = TEXT.tokens


@dataclass
class Measures:
    """Collects measurements from finished rows, starting with the engines' first request.
    Everything before that is start-up.

    Args:
        setting: The configuration that the run is measured on.
        clock: Returns seconds of Unix time.
    """

    setting: RunSetup = field(default_factory=RunSetup)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.began = self.ended = self.clock()
        self.since: float | None = None
        self.units = self.prompt_tokens = self.completion_tokens = 0
        self.flop = 0.0
        self.writing_s = 0.0
        self._prepare: dict[str, ActorReadings] = {}
        self._engines: dict[str, ActorReadings] = {}
        self._devices: dict[str, ActorReadings] = {}

    def take(self, rows: pa.Table) -> None:
        """Adds the finished rows of one block."""
        self.ended = self.clock()
        self.units += len(rows)
        if c.ENGINE_GAUGE in rows.column_names:
            engine, prepare = (
                decode_reading(rows, c.ENGINE_GAUGE),
                decode_reading(rows, c.PREPARE_GAUGE),
            )
            if engine is not None:
                self.since = min(self.since or engine.since, engine.since)
                _note(self._engines, engine)
                if engine.device_s is not None:
                    _note(self._devices, engine)
            if prepare is not None and self.since is not None and prepare.at >= self.since:
                _note(self._prepare, prepare)
        tiles, prompts, answers = (
            self._counted(rows, name)
            for name in ("num_tiles", "prompt_tokens", "completion_tokens")
        )
        self.prompt_tokens += int(prompts.sum())
        self.completion_tokens += int(answers.sum())
        if self.setting.cost is not None:
            # A unit may fail after its tiles were made.
            answered = answers > 0 if "completion_tokens" in self.setting.tokens else prompts > 0
            self.flop += float(
                self.setting.cost.unit(tiles[answered], prompts[answered], answers[answered]).sum()
            )

    def _counted(self, rows: pa.Table, name: str) -> np.ndarray:
        """The numbers in a column; zeros if the answers do not count this."""
        if name.endswith("_tokens") and name not in self.setting.tokens:
            return np.zeros(len(rows))
        return pc.fill_null(rows[name], 0).to_numpy().astype(np.float64)

    @property
    def seconds(self) -> float:
        """Seconds from the engines' first request to the last finished unit; from the start if
        there was no request."""
        return self.ended - (self.began if self.since is None else self.since)

    def rates(self) -> dict[str, float | None]:
        """Units per second, and those tokens that the answers count; None if the run was too short
        to tell."""
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        counts = {"units_per_second": self.units}
        counts |= {
            f"{name}_per_second": count
            for name, count in tokens.items()
            if name in self.setting.tokens
        }
        short = self.seconds < SHORTEST_S
        return {
            name: None if short else round(count / self.seconds, 2)
            for name, count in counts.items()
        } | {"seconds": round(self.seconds, 1)}

    @property
    def engines_at_work(self) -> int:
        """Number of engines that have answered a request."""
        return len(self._engines)

    def engine_seconds(self) -> tuple[float, float]:
        """Seconds that all engines were watched for together, and those of all requests in them."""
        engines = list(self._engines.values())
        return sum(one.spent("at") for one in engines), sum(one.spent("held_s") for one in engines)

    def device(self) -> dict[str, Any]:
        """How well the run used its devices. Unknown values are None, and ``unknown`` says why."""
        setting = self.setting
        achieved = (
            self.flop / self.seconds
            if setting.cost is not None and self.seconds >= SHORTEST_S
            else None
        )
        utilisation = None
        if achieved is not None and setting.gpu is not None:
            utilisation = round(achieved / (setting.gpus * setting.gpu.flops), 4)
        why = ""
        if setting.gpu is None:
            why = setting.no_gpu
        if self.seconds < SHORTEST_S:
            why = "the run was too short"
        if setting.cost is None:
            why = (
                "operations are not counted of a server's model, nor of several tasks that share a"
                " cache"
            )
        return {
            "gpu": None if setting.gpu is None else setting.gpu.name,
            "gpus": setting.gpus,
            "engines": setting.engines,
            "engines_at_work": self.engines_at_work,
            "model_flop_per_second": None if achieved is None else float(f"{achieved:.4g}"),
            "model_flop_utilisation": utilisation,
            **({"unknown": why} if utilisation is None else {}),
            "engine_idle_share": self._idle(self._engines, "busy_s"),
            "gpu_idle_share": self._idle(self._devices, "device_s"),
        }

    def stages(self) -> dict[str, float] | None:
        """Share of each stage's places that was in use while rows remained; None if that time was
        too short to tell."""
        window, held = self.engine_seconds()
        if window < SHORTEST_BOUND_S or self.units < FILLED * self.setting.in_flight * len(
            self._engines
        ):
            return None
        preparing = list(self._prepare.values())  # another thread asks while `take` adds workers
        prepared = sum(worker.spent("held_s") for worker in preparing)
        places = PREPARE_PLACES * sum(worker.spent("at") for worker in preparing)
        shares = {
            "prepare": prepared / places if places else 0.0,
            "engine": held / (window * self.setting.in_flight),
            "write": self.writing_s / self.seconds,
        }
        return {name: round(min(1.0, share), 3) for name, share in shares.items()}

    @property
    def bound(self) -> str | None:
        """The stage that the others waited for: the one with the most places in use, or "read" if
        no stage was busy."""
        stages = self.stages()
        if stages is None:
            return None
        fullest = max(stages, key=stages.__getitem__)
        return fullest if stages[fullest] >= BUSY_SHARE else "read"

    def advice(self) -> str:
        """Advice for the user, in one line."""
        if self.bound is None:
            return "too short to say which stage bound the run"
        engines, at_work = self.setting.engines, self.engines_at_work
        if at_work < engines and self.units >= FILLED * self.setting.in_flight * engines:
            return (
                f"{engines - at_work} of {engines} engines never had a unit: `ray status` says what"
                " they wait for"
            )
        if self.bound == "engine" and not self.setting.gpus:
            return NO_GPUS
        return ADVICE[self.bound]

    @staticmethod
    def _idle(workers: dict[str, ActorReadings], busy: str) -> float | None:
        watched = list(workers.values())
        window = sum(worker.spent("at") for worker in watched)
        if window < SHORTEST_S:
            return None
        return round(max(0.0, 1 - sum(worker.spent(busy) for worker in watched) / window), 3)


def _note(workers: dict[str, ActorReadings], reading: GaugeReading) -> None:
    worker = workers.setdefault(reading.worker, ActorReadings(reading, reading))
    if reading.at < worker.first.at:
        worker.first = reading
    if reading.at > worker.last.at:
        worker.last = reading
