"""Builds the arguments of the prepare stage from a job's options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.prepare import Preparer, UnitPreparer
from internvl_ops.prepare_chat import ChatPreparer
from internvl_ops.tasks import Task
from pipelines.options.job_options import JobOptions
from pipelines.sources import SourcePlan
from pipelines.wiring.engines import context_of, sampling_of, tile_size, tokens_of
from pipelines.wiring.media import explodes, reading


def prepare_arguments(
    options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint | None, task: Task
) -> dict[str, Any]:
    """Arguments of `pipelines.stages.Prepare`."""
    return {
        "make_preparer": _preparer_maker(options, plan, checkpoint, task),
        "task": task,
        "clip_columns": _clip_columns(options, plan),
        "sampling_column": "sampling_params" if "sampling_params" in plan.schema.names else None,
    }


def _preparer_maker(
    options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint | None, task: Task
) -> Callable[[], UnitPreparer]:
    media = reading(options, plan)
    said: dict[str, Any] = {
        "sampling": sampling_of(options, task.max_new_tokens),
        "system_message": options.system_message,
    }
    whose = tokens_of(options, checkpoint)
    if whose is None:
        return functools.partial(ChatPreparer, media, tile_size=tile_size(checkpoint), **said)
    return functools.partial(
        Preparer,
        whose,
        media,
        combine_images=options.combine_images,
        special_tokens=options.special_tokens,
        context_length=context_of(options, whose),
        trust_remote_code=options.trust_remote_code,
        **said,
    )


def _clip_columns(options: JobOptions, plan: SourcePlan) -> dict[str, str] | None:
    """The columns in which a row gives the start and end, in seconds, of the part of its video to use."""
    if plan.media_kind != "video" or explodes(options, plan.media_kind):
        return None
    return {name: name for name in ("start", "end") if name in plan.schema.names} or None
