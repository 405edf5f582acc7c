"""Captions every image of a dataset with an InternVL checkpoint and writes Parquet.

python jobs/caption_dataset.py --input s3://bucket/manifest.parquet --output s3://bucket/captions \
    --model OpenGVLab/InternVL2_5-8B
"""

from pydantic import Field

from internvl_ops.tasks import CAPTION
from pipelines.job import run_job
from pipelines.options import JobOptions


class CaptionOptions(JobOptions):
    """Defaults of InternVL's own caption evaluation: 6 tiles, 30 new tokens, greedy."""

    max_tiles: int = Field(6, ge=1, le=40, description=JobOptions.model_fields["max_tiles"].description)
    max_new_tokens: int = Field(30, ge=1, description=JobOptions.model_fields["max_new_tokens"].description)


if __name__ == "__main__":
    run_job(CAPTION, CaptionOptions, __doc__)
