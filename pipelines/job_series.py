"""Jobs one after the other, in one Ray session and with engines that stay between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import ray

from internvl_ops.tasks import Task
from pipelines import cluster
from pipelines.annotate import annotate
from pipelines.held_engines import HeldEngines
from pipelines.interruption import phase
from pipelines.options.job_options import JobOptions
from pipelines.report.record import RunRecord
from pipelines.run_folder import run_folder
from pipelines.sources import SourcePlan
from pipelines.wiring.engines import Model

RunJob = Callable[[JobOptions, SourcePlan, Model | None, Task], RunRecord]


@contextlib.contextmanager
def job_series(session: JobOptions, jobs: Sequence[JobOptions]) -> Iterator[RunJob]:
    """Gives the function that runs a job, as `annotate` does. The first job starts the engines,
    which end with the block.

    Args:
        session: Options by which Ray is found or started.
        jobs: Options of all jobs. The engines have room for the largest pictures of any.
    """
    held = HeldEngines(max(jobs, key=lambda options: options.max_tiles))

    def run(
        options: JobOptions, plan: SourcePlan, checkpoint: Model | None, task: Task
    ) -> RunRecord:
        with phase("holding"):
            return annotate(options, plan, checkpoint, task, held=held)

    # A process with a Ray session of its own keeps its temporary folder, too.
    folder = contextlib.nullcontext() if ray.is_initialized() else run_folder()
    with phase("holding"), folder, cluster.session(session), contextlib.closing(held):
        yield run
