"""Finds what phrases describe, or every object, in images and PDF pages: boxes in pixels of the upright original.

python jobs/ground_dataset.py --input s3://bucket/phrases.parquet \\
    --output s3://bucket/boxes \\
    --model OpenGVLab/InternVL2_5-8B
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.tasks import TASKS

Options = TASKS["ground"].job_options()

if __name__ == "__main__":
    run_job(TASKS["ground"].task, Options, __doc__)
