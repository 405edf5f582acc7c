"""Answers a question, or several in turn, about each row's images, page or video, or about nothing but text.

python jobs/ask_dataset.py --input s3://bucket/questions.jsonl \\
    --output s3://bucket/answers \\
    --model OpenGVLab/InternVL2_5-8B --choices yes --choices no
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.job import run_job
from pipelines.options.tasks import TASKS

Options = TASKS["ask"].job_options()

if __name__ == "__main__":
    run_job(TASKS["ask"].task, Options, __doc__)
