"""Captions every image of a dataset with an InternVL checkpoint and writes Parquet.

python jobs/caption_dataset.py --input s3://bucket/manifest.parquet \\
    --output s3://bucket/captions \\
    --model OpenGVLab/InternVL2_5-8B
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.job_options import JobOptions, tiles
from pipelines.options.tasks import DEFAULT_TILES, CaptionOptions, make_caption


class Options(CaptionOptions, JobOptions):
    """Defaults of InternVL's own caption evaluation: 6 tiles, 30 new tokens, greedy."""

    max_tiles: int = tiles(DEFAULT_TILES["caption"])


if __name__ == "__main__":
    run_job(make_caption, Options, __doc__)
