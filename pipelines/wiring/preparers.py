"""Builds what prepares units from options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from internvl_ops.chat_preparer import ChatPreparer
from internvl_ops.preparer import Preparer, UnitPreparer
from internvl_ops.tasks import Task
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.options.job_options import InferenceOptions
from pipelines.sources import SourcePlan
from pipelines.wiring.engines import (
    Model,
    context_of,
    job_sampling,
    system_message_of,
    tile_size,
    tokenizer_checkpoint,
)
from pipelines.wiring.media import ReaderArguments, explodes
from pipelines.wiring.vectors import vector_preparer_maker


def prepare_arguments(
    options: InferenceOptions,
    media: ReaderArguments,
    plan: SourcePlan,
    checkpoint: Model | None,
    task: Task,
) -> dict[str, Any]:
    """Arguments of `pipelines.stages.Prepare`, for the rows of a manifest."""
    return {
        "make_preparer": preparer_maker(options, media, checkpoint, task),
        "task": task,
        "clip_columns": _clip_columns(options, plan),
        "sampling_column": "sampling_params" if "sampling_params" in plan.schema.names else None,
        "stats": options.media_stats,
        "layer": options.text_layer != "ignore",
    }


def preparer_maker(
    options: InferenceOptions, media: ReaderArguments, checkpoint: Model | None, task: Task
) -> Callable[[], UnitPreparer]:
    """Returns a picklable function that makes a preparer.

    Args:
        options: Model and prompt.
        media: How media are read; see `pipelines.wiring.media.reader_arguments`.
        checkpoint: Checkpoint of the model; None if only a server has it.
        task: What is asked.
    """
    if isinstance(options, EmbedJobOptions):
        return vector_preparer_maker(options, media)
    said: dict[str, Any] = {
        "sampling": job_sampling(options, task.max_new_tokens),
        "system_message": system_message_of(options),
    }
    whose = tokenizer_checkpoint(options, checkpoint)
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


def _clip_columns(options: InferenceOptions, plan: SourcePlan) -> dict[str, str] | None:
    """The columns in which a row gives the start and end, in seconds, of the part of its video to
    use."""
    if plan.media_kind != "video" or explodes(options, plan.media_kind):
        return None
    return {name: name for name in ("start", "end") if name in plan.schema.names} or None
