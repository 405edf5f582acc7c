"""Answers a question, or several in turn, about each row's images, page or video, or about nothing but text.

python jobs/ask_dataset.py --input s3://bucket/questions.jsonl \\
    --output s3://bucket/answers \\
    --model OpenGVLab/InternVL2_5-8B --choices yes --choices no
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from typing import ClassVar

from pipelines.commands.job import run_job
from pipelines.options.job_options import JobOptions, tiles
from pipelines.options.tasks import DEFAULT_TILES, AskOptions, make_ask


class Options(AskOptions, JobOptions):
    """Defaults of InternVL's own ChartQA evaluation: 12 tiles, 100 new tokens, greedy."""

    max_tiles: int = tiles(DEFAULT_TILES["ask"])
    media_optional: ClassVar[bool] = True


if __name__ == "__main__":
    run_job(make_ask, Options, __doc__)
