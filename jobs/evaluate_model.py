"""Runs a published benchmark through the pipeline, scores it, and prints the figures beside the family's own.

python jobs/evaluate_model.py --benchmark docvqa --input DocVQA/ \\
    --split validation --output s3://bucket/docvqa \\
    --model OpenGVLab/InternVL2_5-8B
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from typing import Literal

from pydantic import Field

from pipelines.commands.evaluation import make_evaluate, plan_benchmark, score_benchmark
from pipelines.commands.job import run_job
from pipelines.options.benchmark import EvaluateOptions
from pipelines.options.job_options import JobOptions, tiles


class Options(EvaluateOptions, JobOptions):
    """Defaults of InternVL's own evaluation: the benchmark's tiles and limits, exact pixels, one greedy answer."""

    max_tiles: int = tiles(None)
    num_frames: int = Field(None, ge=1, description="Frames of a video. Default: the benchmark's.")  # type: ignore[assignment]
    resize: Literal["fast", "exact"] = Field("exact", description=JobOptions.model_fields["resize"].description)
    alpha: Literal["white", "drop"] = Field("drop", description=JobOptions.model_fields["alpha"].description)
    retries: int = Field(0, ge=0, le=4, description=JobOptions.model_fields["retries"].description)


if __name__ == "__main__":
    run_job(make_evaluate, Options, __doc__, make_plan=plan_benchmark, closing=score_benchmark)
