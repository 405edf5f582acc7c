"""Engines that stay between the jobs of a suite, each in an actor of its own; a stage passes the
rows on to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import ray

from internvl_ops.engines.base import EngineDead
from internvl_ops.engines.recovering import Recovering
from internvl_ops.generation import Answerer
from pipelines.ledger.ledger import Claims
from pipelines.options.job_options import JobOptions
from pipelines.ray_internals import actor_in_own_folder
from pipelines.stages.generate import Generate

MakeGenerator = Callable[[Recovering[Any]], Answerer]
_LEAST_CALLS = 16  # blocks that an actor takes at once


class EngineHost:
    """Ray actor: one engine, for one job after the other.

    Args:
        arguments: Of `Generate`, for the first job. Its engine stays.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._generate = Generate(**arguments)
        self._job, self._lock = "", threading.Lock()

    def claim(self, job: str, make_generator: MakeGenerator, ledger: Claims | None) -> bool:
        """Begins a job; False if the job has claimed this engine already.

        Args:
            job: Names the job.
            make_generator: As in `Generate`.
            ledger: As in `Generate`.
        """
        with self._lock:
            if self._job == job:
                return False
            self._job = job
            self._generate.begin(make_generator, ledger)
            return True

    def answer(self, rows: pa.Table) -> pa.Table:
        """The stage `Generate`."""
        return self._generate(rows)


class AskHeld:
    """The stage in place of `Generate` where engines are held: each of its actors passes rows on to
    one of them.

    Args:
        hosts: The actors with the engines.
        job: Names the job.
        make_generator: As in `Generate`.
        ledger: As in `Generate`.
    """

    def __init__(
        self,
        hosts: Sequence[Any],
        job: str,
        make_generator: MakeGenerator,
        ledger: Claims | None = None,
    ) -> None:
        claims = (host for host in hosts if ray.get(host.claim.remote(job, make_generator, ledger)))
        # An actor that Ray has started again finds all engines claimed.
        self._host = next(claims, hosts[0])

    def __call__(self, rows: pa.Table) -> pa.Table:
        try:
            answered: pa.Table = ray.get(self._host.answer.remote(rows))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            raise EngineDead(f"the process of the engine ended: {error}") from None
        return answered


class HeldEngines:
    """The engines of a suite. The first job starts them; `close` ends them.

    Args:
        options: Options by which the engines are made: they must suit every job.
    """

    def __init__(self, options: JobOptions) -> None:
        self.options = options
        self._hosts: list[Any] = []

    def hosts(
        self, count: int, calls: int, arguments: dict[str, Any], **resources: Any
    ) -> list[Any]:
        """The actors with the engines.

        Args:
            count: Number of engines, for the first job.
            calls: Blocks that an engine gets at once.
            arguments: Of `Generate`.
            resources: Of an actor.
        """
        if not self._hosts:
            host: Any = ray.remote(actor_in_own_folder(EngineHost)).options(
                max_concurrency=max(_LEAST_CALLS, 2 * calls), **resources
            )
            self._hosts = [host.remote(arguments) for _ in range(count)]
        return self._hosts

    def close(self) -> None:
        """Ends the engines and gives their devices back."""
        for host in self._hosts:
            ray.kill(host)
        self._hosts = []
