"""Uses of Ray's private interfaces. After an upgrade check this module first; `docs/upgrading.md` describes how."""

from __future__ import annotations

from typing import Any

from ray.data import Dataset, TaskPoolStrategy
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import StreamingRepartition

# Blocks that a reader reads ahead. With Ray Data's default of 2, Ray would take only 2 blocks at each of its five to
# ten looks per second.
READ_AHEAD: dict[str, Any] = {"_generator_backpressure_num_objects": 2 * 16}  # a block is two objects


def in_blocks_of(dataset: Dataset, rows: int, tasks: int) -> Dataset:
    """``dataset`` in blocks of ``rows`` rows, split as they are read, by up to ``tasks`` tasks at once.

    ``Dataset.repartition(target_num_rows_per_block=…)`` uses the same operator but reserves a whole CPU for it and has
    no argument to change that. A plan that gives every CPU to actors would wait for that CPU forever.
    """
    operator = StreamingRepartition(
        target_num_rows_per_block=rows,
        input_dependencies=[dataset._logical_plan.dag],
        ray_remote_args={"num_cpus": 0, **READ_AHEAD},
        compute=TaskPoolStrategy(size=tasks),
    )
    return Dataset._from_parent(dataset, LogicalPlan(operator, dataset.context))


def whole_blocks(rows: Dataset, stage: type, arguments: dict[str, Any], **resources: Any) -> Dataset:
    """Runs a stage with one block in and one block out, rows in order; `pipelines.cluster.rows_per_block` says why.

    ``map_batches`` does not allow whole blocks for a stage that has GPUs.

    Args:
        rows: Input of the stage.
        stage: Class whose instances are called with each block as a table.
        arguments: Arguments of its constructor.
        resources: As in ``map_batches``.
    """
    return rows.map_batches_internal(
        stage,
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **resources,
    )
