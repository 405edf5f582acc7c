"""What is used of Ray without its promise to keep it: an upgrade looks here first, and `docs/upgrading.md` says how."""

from __future__ import annotations

from typing import Any

from ray.data import Dataset, TaskPoolStrategy
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import StreamingRepartition

# Blocks that a reader is ahead. Ray Data's own 2 would be all that it takes at each of its five to ten looks a second.
READ_AHEAD: dict[str, Any] = {"_generator_backpressure_num_objects": 2 * 16}  # a block is two objects


def in_blocks_of(dataset: Dataset, rows: int, tasks: int) -> Dataset:
    """``dataset`` in blocks of ``rows`` rows, split off as they are read, by so many ``tasks`` at once.

    ``Dataset.repartition(target_num_rows_per_block=…)`` is this operator with a whole CPU to itself, for which a plan
    that gives every CPU to actors would wait for ever; it takes no resources as an argument.
    """
    operator = StreamingRepartition(
        target_num_rows_per_block=rows,
        input_dependencies=[dataset._logical_plan.dag],
        ray_remote_args={"num_cpus": 0, **READ_AHEAD},
        compute=TaskPoolStrategy(size=tasks),
    )
    return Dataset._from_parent(dataset, LogicalPlan(operator, dataset.context))


def whole_blocks(rows: Dataset, stage: type, arguments: dict[str, Any], **resources: Any) -> Dataset:
    """One block in, one block out, rows in order: see `pipelines.cluster.rows_per_block` for why that must be so.

    ``map_batches`` refuses whole blocks to a stage that has GPUs.

    Args:
        rows: What goes in.
        stage: Class whose instances are called with a table of each block.
        arguments: Of its constructor.
        resources: As of ``map_batches``.
    """
    return rows.map_batches_internal(
        stage,
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **resources,
    )
