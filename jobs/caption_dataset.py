"""Captions every image of a dataset with an InternVL checkpoint and writes Parquet.

python jobs/caption_dataset.py --input s3://bucket/manifest.parquet \\
    --output s3://bucket/captions \\
    --model OpenGVLab/InternVL2_5-8B
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.tasks import TASKS

Options = TASKS["caption"].job_options()

if __name__ == "__main__":
    run_job(TASKS["caption"].task, Options, __doc__)
