"""A benchmark as a task of the pipeline."""

from __future__ import annotations

import json

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.evaluation.benchmark import Benchmark
from internvl_ops.media.sampling import frame_labels
from internvl_ops.tasks import Answered, Conversation, Task
from internvl_ops.tasks.base import Row, bad_row, text_of, without_marks
from internvl_ops.tasks.conversation import SUBTITLES, Subtitle

PLACE = "{}"  # the place of the question in a prompt
FRAMES = "{frames}"  # the place of the number of frames


def evaluate(
    benchmark: Benchmark,
    *,
    prompt: str | None = None,
    max_new_tokens: int | None = None,
    num_frames: int | None = None,
) -> Task:
    """Asks a benchmark's questions. The column ``answer`` is the input of the reference evaluation,
    without special tokens.

    Args:
        benchmark: Its rows have a ``question``, unless its prompt has no place for one.
        prompt: Replaces the benchmark's own.
        max_new_tokens: Replaces the benchmark's own.
        num_frames: Number of frames of each video, if known in advance. The benchmark's own labels
            need it; without it, frames are labelled as for any video.

    Raises:
        ConfigurationError: ``prompt`` has no place for the question.
    """
    asked = prompt or benchmark.prompt
    tokens = max_new_tokens or benchmark.max_new_tokens
    if PLACE in benchmark.prompt and PLACE not in asked:
        raise ConfigurationError(
            f"{keyword('prompt', repr(asked))}: has no {{}}, where each question of"
            f" {benchmark.title} goes."
        )

    own = benchmark.media == "video" and benchmark.frame_labels != "cards" and num_frames
    labels = frame_labels(num_frames, benchmark.frame_labels) if own and num_frames else ""
    asked = (
        asked.replace(FRAMES, str(num_frames)) if num_frames else asked.replace(f"{FRAMES} ", "")
    )

    def converse(row: Row) -> list[Conversation]:
        question = text_of(row, "question")
        if question is None and PLACE in asked:
            raise bad_row("column 'question' is null or empty: nothing to ask")
        whole = labels + asked.replace(PLACE, question or "")
        shown = _subtitles(row) if SUBTITLES in asked else None
        return [
            Conversation((whole,), tokens, min_new_tokens=benchmark.min_new_tokens, subtitles=shown)
        ]

    return Task(
        name="evaluate",
        prompt=asked,
        columns=pa.schema([pa.field("answer", pa.string())]),
        converse=converse,
        parse=_parse,
        max_new_tokens=tokens,
        reads=("question", "subtitles"),
    )


def _subtitles(row: Row) -> tuple[Subtitle, ...]:
    """The subtitles in a row's column ``subtitles``, in the format of `subtitles.as_text`."""
    return tuple(Subtitle(*one) for one in json.loads(text_of(row, "subtitles") or "[]"))


def _parse(answered: Answered) -> dict[str, object]:
    return {"answer": without_marks(answered.response).strip()}
