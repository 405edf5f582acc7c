"""Uses of Ray's private interfaces. After an upgrade check this module first; `docs/upgrading.md`
describes how."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data import Dataset, TaskPoolStrategy
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import StreamingRepartition

from pipelines import interruption
from pipelines.run_folder import worker_folder

# Blocks that a reader reads ahead. With Ray Data's default of 2, Ray would take only 2 blocks at
# each of its five to ten looks per second.
# a block is two objects
READ_AHEAD: dict[str, Any] = {"_generator_backpressure_num_objects": 2 * 16}


GREETING = b"Set ray log level from environment variable"


@contextlib.contextmanager
def without_greeting() -> Iterator[None]:
    """Leaves out one line that Ray's C++ core writes to standard error when it starts, and passes
    all others on.

    It says that ``RAY_BACKEND_LOG_LEVEL`` is set, which a run sets for itself. The core reads that
    variable when it starts, and writes the line before it heeds the level.
    """
    ours = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)

    def pass_on() -> None:
        with open(read, "rb", closefd=True) as lines:
            for line in lines:
                if GREETING not in line:
                    os.write(ours, line)
        os.close(ours)

    thread = threading.Thread(target=pass_on, daemon=True, name="greeting")
    thread.start()
    # a process that is told to stop may end before the thread has its line
    interruption.standard_error = ours
    try:
        yield
    finally:
        interruption.standard_error = 2
        os.dup2(ours, 2)
        thread.join(timeout=1)  # a process of Ray's that inherited the pipe keeps the thread


def in_blocks_of(dataset: Dataset, rows: int, tasks: int) -> Dataset:
    """``dataset`` in blocks of ``rows`` rows, split as they are read, by up to ``tasks`` tasks at
    once.

    ``Dataset.repartition(target_num_rows_per_block=…)`` uses the same operator but reserves a whole
    CPU for it and has no argument to change that. A plan that gives every CPU to actors would wait
    for that CPU forever.
    """
    operator = StreamingRepartition(
        target_num_rows_per_block=rows,
        input_dependencies=[dataset._logical_plan.dag],
        ray_remote_args={"num_cpus": 0, **READ_AHEAD},
        compute=TaskPoolStrategy(size=tasks),
    )
    return Dataset._from_parent(dataset, LogicalPlan(operator, dataset.context))


def task_in_own_folder(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, after `worker_folder`; Ray shows it by the same name."""

    @functools.wraps(function)
    def in_own_folder(*arguments: Any, **named: Any) -> Any:
        worker_folder()
        return function(*arguments, **named)

    return in_own_folder


def actor_in_own_folder(actor: type) -> type:
    """``actor``, whose constructor first calls `worker_folder`; Ray shows it by the same name."""

    class InOwnFolder(actor):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            worker_folder()
            super().__init__(*arguments, **named)

    InOwnFolder.__name__ = InOwnFolder.__qualname__ = actor.__name__
    return InOwnFolder


def blocks_of(dataset: Dataset) -> Generator[pa.Table, None, None]:
    """Runs ``dataset`` and yields its blocks as they are finished.

    ``iter_batches`` would start four threads, and send its own statistics to an actor after each
    block. Close the iterator before its end to end the stages: actors that wait for their rows
    would keep their CPUs in a session that goes on.
    """
    bundles, _, executor = dataset._execute_to_iterator()
    try:
        for bundle in bundles:
            for entry in bundle.blocks:
                yield ray.get(entry.ref)
    finally:
        if executor is not None:
            executor.shutdown(force=True)


def whole_blocks(
    rows: Dataset, stage: type, arguments: dict[str, Any], **resources: Any
) -> Dataset:
    """Runs a stage with one block in and one block out, rows in order;
    `pipelines.blocks.rows_that_fit` says why. Each actor has a temporary folder of its own.

    ``map_batches`` does not allow whole blocks for a stage that has GPUs.

    Args:
        rows: Input of the stage.
        stage: Class whose instances are called with each block as a table.
        arguments: Arguments of its constructor.
        resources: As in ``map_batches``.
    """
    return rows.map_batches_internal(
        actor_in_own_folder(stage),
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **resources,
    )
