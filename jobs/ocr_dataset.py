"""Reads the text of images and PDF pages with an InternVL checkpoint: plain, as Markdown, with boxes, or as JSON.

python jobs/ocr_dataset.py --input s3://bucket/papers.parquet \\
    --output s3://bucket/text \\
    --model OpenGVLab/InternVL2_5-8B --ocr-format markdown
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.tasks import TASKS

Options = TASKS["ocr"].job_options()

if __name__ == "__main__":
    run_job(TASKS["ocr"].task, Options, __doc__)
