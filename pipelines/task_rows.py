"""The tasks of this package, a row each.

This module imports no library, since `internvl-batch --help` reads it.
"""

from __future__ import annotations

from typing import NamedTuple

MODEL = "--model OpenGVLab/InternVL2_5-8B"  # in examples


class TaskRow(NamedTuple):
    """A task and its command. `pipelines.options.tasks` has a module of the same name.

    Args:
        name: Its name as a command, in ``--tasks`` and in ``--task``.
        summary: Its line in ``internvl-batch --help`` and in the README.
        description: First paragraph of its own ``--help``. The README links the page of docs/ that
            it names.
        example: Lines of an example, without the name of the program.
    """

    name: str
    summary: str
    description: str
    example: tuple[str, ...]


TASK_ROWS = (
    TaskRow(
        "caption",
        "Caption images, pages and videos.",
        "Captions every image, page or video of a dataset with an InternVL checkpoint and writes"
        " Parquet.",
        ("--input s3://bucket/manifest.parquet", "--output s3://bucket/captions", MODEL),
    ),
    TaskRow(
        "ocr",
        "Read the text of images and pages.",
        "Reads the text of images and PDF pages with an InternVL checkpoint: plain, as"
        " Markdown, with boxes, or as JSON.",
        (
            "--input s3://bucket/papers.parquet",
            "--output s3://bucket/text",
            f"{MODEL} --ocr-format markdown",
        ),
    ),
    TaskRow(
        "ground",
        "Find boxes of phrases, or of every object.",
        "Finds what phrases describe, or every object, in images and PDF pages: boxes in pixels"
        " of the upright original.",
        ("--input s3://bucket/phrases.parquet", "--output s3://bucket/boxes", MODEL),
    ),
    TaskRow(
        "ask",
        "Answer questions about images, pages, videos, or text alone.",
        "Answers a question, or several in turn, about each row's images, page or video, or"
        " about nothing but text.",
        (
            "--input s3://bucket/questions.jsonl",
            "--output s3://bucket/answers",
            f"{MODEL} --choices yes --choices no",
        ),
    ),
    TaskRow(
        "score",
        "Judge texts from 0 to 10, with or without their pictures.",
        "Judges the text of every row from 0 to 10 with a model: its quality, whether it"
        " repeats itself, or its agreement with the pictures. docs/quality.md shows what is"
        " asked.",
        (
            "--input s3://bucket/captions",
            "--output s3://bucket/scores",
            f"{MODEL} --judge agreement",
        ),
    ),
    TaskRow(
        "classify",
        "Label images, pages, videos and texts, with probabilities.",
        "Gives every unit of a dataset one label of several, or each that applies, with a"
        " probability for every label. docs/quality.md shows how they are measured and"
        " calibrated.",
        (
            "--input s3://bucket/manifest.parquet",
            "--output s3://bucket/labels",
            f"{MODEL} --labels photograph --labels drawing",
        ),
    ),
)
