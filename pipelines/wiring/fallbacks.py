"""The second model of a job, which does again what the first could not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from internvl_ops.stores.redaction import safe_uri
from pipelines.options.job_options import JobOptions

if TYPE_CHECKING:
    from internvl_ops.models.checkpoints.config import Checkpoint
    from internvl_ops.tasks import Task


@dataclass(frozen=True)
class Fallback:
    """The second model of a job.

    Args:
        options: Those of the job, with this model.
        checkpoint: Of the model; None if only a server has it.
        task: Of the job, for this model.
    """

    options: JobOptions
    checkpoint: Checkpoint | None
    task: Task


def of_fallback(message: str, options: JobOptions) -> str:
    """What is wrong with the second model, in the names of the options that it has in the job
    ``options``."""
    names = {"--model": "--fallback", "--engine-args": "--fallback-args"}
    if options.fallback_base_url is not None:
        names["--base-url"] = "--fallback-base-url"
    spelled = re.sub(r"--[a-z-]+", lambda found: names.get(found[0], found[0]), message)
    about = f"--fallback {safe_uri(options.fallback or '')}"
    return spelled if spelled.startswith(about) else f"{about}: {spelled}"


def fallback_options(options: JobOptions) -> JobOptions:
    """The options of the second run, without its condition."""
    return options.model_copy(
        update={
            "model": options.fallback,
            "revision": None,
            "lora": None,
            "base_url": options.fallback_base_url or options.base_url,
            "engine_args": options.fallback_args,
            "overwrite": False,
            "refresh": "none",
            **{"fallback": None, "fallback_base_url": None, "fallback_args": {}},
        }
    )
