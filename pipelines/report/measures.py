"""How fast a run was, what it made of its devices, and which stage it waited for."""

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
from pipelines import columns as c
from pipelines.stages.wire import Mark, decode_reading

SHORTEST_S = 1.0  # a rate over less says nothing
SHORTEST_BOUND_S = 10.0  # nor does a share of less: stages take turns at filling and draining
FILLED = 2  # times what the engines hold at once: fewer units cannot keep them full
BUSY = 0.5  # of a stage's places in use, from which on others can be waiting for it
PREPARE_PLACES = 2  # blocks a prepare actor has at once

ADVICE = {
    "prepare": "prepare bound: add CPU actors (--prepare-actors, or CPUs to the cluster), or lower --max-tiles",
    "engine": "engine bound: the GPUs are what is used up; add GPUs, or lower --max-tiles or --max-new-tokens",
    "write": "write bound: the output's storage is slower than the engines; raise --rows-per-file, or write nearer",
    "read": "read bound: rows come slower than they are prepared; split the manifest into more files, or use Parquet",
}
NO_GPUS = (
    "engine bound: what runs the model, the CPUs here or a server, is used up; run it on GPUs, give the server more, "
    "or lower --max-tiles or --max-new-tokens"
)


@dataclass
class Worker:
    """The first and the last reading of one actor."""

    first: Mark
    last: Mark

    def spent(self, name: str) -> float:
        return getattr(self.last, name) - getattr(self.first, name)


@dataclass(frozen=True)
class Setting:
    """What a run runs on.

    Args:
        cost: Of the checkpoint; None where only a server has it, or where several prompts share what is cached.
        gpu: The kind of all engines; None without GPUs, or where they are of several kinds or an unknown one.
        no_gpu: Then why.
        engines: How many were asked for.
        gpus: Of all engines together.
        in_flight: Units an engine holds at once.
    """

    cost: Cost | None = None
    gpu: Gpu | None = None
    no_gpu: str = "no GPU"
    engines: int = 1
    gpus: int = 0
    in_flight: int = 32


@dataclass
class Measures:
    """Takes what finished rows bring with them. Everything counts from the engines' first request on: what was before
    that is start-up.

    Args:
        setting: What the run runs on.
        clock: Seconds of Unix time.
    """

    setting: Setting = field(default_factory=Setting)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.began = self.ended = self.clock()
        self.since: float | None = None
        self.units = self.prompt_tokens = self.completion_tokens = 0
        self.flop = 0.0
        self.writing_s = 0.0
        self._prepare: dict[str, Worker] = {}
        self._engines: dict[str, Worker] = {}
        self._devices: dict[str, Worker] = {}

    def take(self, rows: pa.Table) -> None:
        """Args: finished rows of one block."""
        self.ended = self.clock()
        self.units += len(rows)
        if c.ENGINE_GAUGE in rows.column_names:
            engine, prepare = decode_reading(rows, c.ENGINE_GAUGE), decode_reading(rows, c.PREPARE_GAUGE)
            if engine is not None:
                self.since = min(self.since or engine.since, engine.since)
                _note(self._engines, engine)
                if engine.device_s is not None:
                    _note(self._devices, engine)
            if prepare is not None and self.since is not None and prepare.at >= self.since:
                _note(self._prepare, prepare)
        tiles, prompts, answers = (
            pc.fill_null(rows[name], 0).to_numpy().astype(np.float64)
            for name in ("num_tiles", "prompt_tokens", "completion_tokens")
        )
        self.prompt_tokens += int(prompts.sum())
        self.completion_tokens += int(answers.sum())
        if self.setting.cost is not None:
            answered = answers > 0  # a unit may fail after its tiles were made
            self.flop += float(self.setting.cost.unit(tiles[answered], prompts[answered], answers[answered]).sum())

    @property
    def seconds(self) -> float:
        """From the engines' first request to the last finished unit; from the start where nothing was asked."""
        return self.ended - (self.began if self.since is None else self.since)

    def rates(self) -> dict[str, float | None]:
        """Units and tokens a second; None where the run was too short to say."""
        counts = {
            "units_per_second": self.units,
            "prompt_tokens_per_second": self.prompt_tokens,
            "completion_tokens_per_second": self.completion_tokens,
        }
        short = self.seconds < SHORTEST_S
        return {name: None if short else round(count / self.seconds, 2) for name, count in counts.items()} | {
            "seconds": round(self.seconds, 1)
        }

    def device(self) -> dict[str, Any]:
        """What the run made of its devices; what cannot be said is None, and ``unknown`` says why."""
        setting = self.setting
        achieved = self.flop / self.seconds if setting.cost is not None and self.seconds >= SHORTEST_S else None
        utilisation = None
        if achieved is not None and setting.gpu is not None:
            utilisation = round(achieved / (setting.gpus * setting.gpu.flops), 4)
        why = "the run was too short" if self.seconds < SHORTEST_S else setting.no_gpu if setting.gpu is None else ""
        if setting.cost is None:
            why = "operations are not counted of a server's model, nor of several tasks that share a cache"
        return {
            "gpu": None if setting.gpu is None else setting.gpu.name,
            "gpus": setting.gpus,
            "engines": setting.engines,
            "engines_at_work": len(self._engines),
            "model_flop_per_second": None if achieved is None else float(f"{achieved:.4g}"),
            "model_flop_utilisation": utilisation,
            **({"unknown": why} if utilisation is None else {}),
            "engine_idle_share": self._idle(self._engines, "busy_s"),
            "gpu_idle_share": self._idle(self._devices, "device_s"),
        }

    def stages(self) -> dict[str, float] | None:
        """Share of each stage's places that was in use while rows remained; None where that was too short to say."""
        window = sum(worker.spent("at") for worker in self._engines.values())
        if window < SHORTEST_BOUND_S or self.units < FILLED * self.setting.in_flight * len(self._engines):
            return None
        held = sum(worker.spent("held_s") for worker in self._engines.values())
        prepared = sum(worker.spent("held_s") for worker in self._prepare.values())
        places = PREPARE_PLACES * sum(worker.spent("at") for worker in self._prepare.values())
        shares = {
            "prepare": prepared / places if places else 0.0,
            "engine": held / (window * self.setting.in_flight),
            "write": self.writing_s / self.seconds,
        }
        return {name: round(min(1.0, share), 3) for name, share in shares.items()}

    @property
    def bound(self) -> str | None:
        """The stage that the others waited for: the one whose places were most in use, or reading, where none was."""
        stages = self.stages()
        if stages is None:
            return None
        fullest = max(stages, key=stages.__getitem__)
        return fullest if stages[fullest] >= BUSY else "read"

    def advice(self) -> str:
        """One line."""
        if self.bound is None:
            return "too short to say which stage bound the run"
        engines, at_work = self.setting.engines, len(self._engines)
        if at_work < engines and self.units >= FILLED * self.setting.in_flight * engines:
            return f"{engines - at_work} of {engines} engines never had a unit: `ray status` says what they wait for"
        if self.bound == "engine" and not self.setting.gpus:
            return NO_GPUS
        return ADVICE[self.bound]

    @staticmethod
    def _idle(workers: dict[str, Worker], busy: str) -> float | None:
        window = sum(worker.spent("at") for worker in workers.values())
        if window < SHORTEST_S:
            return None
        return round(max(0.0, 1 - sum(worker.spent(busy) for worker in workers.values()) / window), 3)


def _note(workers: dict[str, Worker], reading: Mark) -> None:
    worker = workers.setdefault(reading.worker, Worker(reading, reading))
    if reading.at < worker.first.at:
        worker.first = reading
    if reading.at > worker.last.at:
        worker.last = reading
