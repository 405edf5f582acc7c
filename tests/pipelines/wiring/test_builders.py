"""A job and the preview build the same from the same options: engine, preparer, generator."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from internvl_ops.media.access import ReadPolicy
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.tasks import caption
from pipelines.commands.preview import PreviewOptions
from pipelines.options.job_options import InferenceOptions, JobOptions
from pipelines.wiring.engines import engine_maker
from pipelines.wiring.generators import generator_maker
from pipelines.wiring.media import reader_arguments
from pipelines.wiring.preparers import preparer_maker
from testing.cluster import ROOT
from tests.pipelines.options.parts_of_a_run import plain

NANO = str(ROOT / "examples" / "nano" / "checkpoint")


def parts(options: InferenceOptions) -> Any:
    checkpoint, task = load_checkpoint(options.model), caption()
    media = reader_arguments(options, ReadPolicy("/there", ()), "image")
    makers = (
        engine_maker(options, checkpoint, task, options.gpus_per_engine or 1),
        preparer_maker(options, media, checkpoint, task),
        generator_maker(options, checkpoint, task),
    )
    return plain(makers)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"temperature": 0.7, "n": 3, "seed": 5},
        {"retries": 0, "stop": ("END",)},
        {"max_tiles": 4, "min_tiles": 2, "resize": "exact", "max_bytes": 10},
        {"system_message": "Be brief.", "special_tokens": "recognised"},
        {"engine": "transformers", "engine_args": {"max_model_len": 1000}},
        {"engine_args": {"enforce_eager": True}, "gpus_per_engine": 2},
    ],
    ids=lambda chosen: ",".join(chosen) or "defaults",
)
def test_a_preview_is_made_of_what_a_job_is_made_of(chosen: dict[str, Any]) -> None:
    values = {"model": NANO, "max_tiles": 6, **chosen}
    job: BaseModel = JobOptions.model_validate(values | {"input": "in.jsonl", "output": "out"})
    preview: BaseModel = PreviewOptions.model_validate(values | {"inputs": ["a.jpg"]})
    assert isinstance(job, InferenceOptions)
    assert isinstance(preview, InferenceOptions)
    assert parts(job) == parts(preview)
    if chosen:
        assert parts(job) != parts(
            JobOptions.model_validate({"model": NANO, "max_tiles": 6, "input": "i", "output": "o"})
        )
