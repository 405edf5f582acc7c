"""Several tasks over each image in one pass: fetched, tiled and encoded once, one result row with every task's columns.

python jobs/annotate_dataset.py --input s3://bucket/manifest.parquet \\
    --output s3://bucket/annotated \\
    --model OpenGVLab/InternVL2_5-8B --tasks caption,ocr,ground --detect
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.job_options import JobOptions, tiles
from pipelines.options.tasks import AnnotateOptions, make_several


class Options(AnnotateOptions, JobOptions):
    """One number of tiles for all tasks, for they share them."""

    max_tiles: int = tiles(12)


if __name__ == "__main__":
    run_job(make_several, Options, __doc__)
