"""Finds what phrases describe, or every object, in images and PDF pages: boxes in pixels of the upright original.

python jobs/ground_dataset.py --input s3://bucket/phrases.parquet \\
    --output s3://bucket/boxes \\
    --model OpenGVLab/InternVL2_5-8B
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.job_options import JobOptions, tiles
from pipelines.options.tasks import DEFAULT_TILES, GroundOptions, make_ground


class Options(GroundOptions, JobOptions):
    """Defaults of InternVL's own RefCOCO evaluation: 6 tiles, 100 new tokens, greedy."""

    max_tiles: int = tiles(DEFAULT_TILES["ground"])


if __name__ == "__main__":
    run_job(make_ground, Options, __doc__)
