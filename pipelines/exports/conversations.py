"""A row as a conversation: what was asked, and what was answered, as a person would write it for
training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from internvl_ops.tasks.boxes import Box, format_boxes
from pipelines.exports.answers import OutputView
from pipelines.exports.counts import LeftOut

# In a text these would be read as the tokens, so that a prompt would have other turns or other
# images than it says.
_TOKENS = re.compile(r"</?img>|<IMG_CONTEXT>|<\|(?:im_start|im_end|end|start|message|endoftext)\|>")
IMAGE, VIDEO = "<image>", "<video>"
BETWEEN_PROMPTS = " | "  # see `internvl_ops.tasks.several`

Turn = tuple[str, str]  # question and answer


class Conversations:
    """Makes the turns of rows.

    Args:
        answers: The output.
    """

    def __init__(self, answers: OutputView) -> None:
        self._answers, self._own = answers, answers.own
        names = [answers.task]
        prompts = [answers.prompt]
        if answers.task == "annotate":
            names = [name.strip() for name in str(answers.setting("tasks") or "").split(",")]
            prompts = answers.prompt.split(BETWEEN_PROMPTS)
        self._tasks = list(zip(names, prompts, strict=True)) if len(names) == len(prompts) else []

    @property
    def needs(self) -> list[str]:
        """Columns that it looks at."""
        return ["question", "response", "width", "height", "num_tiles", *sorted(self._own)]

    def turns(self, row: dict[str, Any], images: int = 0, *, video: bool = False) -> list[Turn]:
        """The turns of a row. The first question has an ``<image>`` for each image, or one
        ``<video>``.

        Raises:
            LeftOut: There is no answer, or the texts would not be read as they are written.
        """
        turns = [
            turn
            for task, prompt in self._tasks
            for turn in self._turns(task, prompt, row)
            if turn[1].strip()
        ]
        if not turns:
            raise LeftOut("no_answer")
        for question, answer in turns:
            if (
                _TOKENS.search(question)
                or _TOKENS.search(answer)
                or IMAGE in answer
                or VIDEO in answer
            ):
                raise LeftOut("special_tokens")
        first, *others = turns
        return [
            (_with_media(first[0], [question for question, _ in others], images, video), first[1]),
            *others,
        ]

    def _turns(self, task: str, prompt: str, row: dict[str, Any]) -> Iterator[Turn]:
        several = len(self._tasks) > 1
        question = row.get("question")
        asked = (
            question if isinstance(question, str) and question.strip() and not several else prompt
        )
        if task == "caption" and "caption" in self._own:
            yield asked, row["caption"] or ""
        elif (
            task == "ocr"
            and "boxes" in self._own
            and self._answers.setting("ocr_format") == "boxes"
        ):
            yield asked, _labelled(row, row["boxes"] or [])
        elif task == "ocr" and {"text", "json"} & self._own:
            yield asked, row["text" if "text" in self._own else "json"] or ""
        elif task == "ground" and "found" in self._own:
            yield from _phrases(prompt, row)
        elif task == "ground" and "boxes" in self._own:
            yield asked, _labelled(row, row["boxes"] or [])
        elif "turns" in self._own:
            yield from (
                (turn["question"] or "", turn["answer"] or "") for turn in row["turns"] or []
            )
        else:
            yield asked, row.get("response") or ""


def _phrases(prompt: str, row: dict[str, Any]) -> Iterator[Turn]:
    """A turn for each phrase: its boxes, in thousandths."""
    boxes = iter(row["boxes"] or [])
    for one in row["found"] or []:
        its = [next(boxes) for _ in range(one["num_boxes"] or 0)]
        yield prompt.replace("{}", one["phrase"]), _labelled(row, its)


def _labelled(row: dict[str, Any], boxes: list[dict[str, Any]]) -> str:
    """Boxes in the family's own form, one line a label."""
    if not boxes:
        return ""
    width, height = row.get("width"), row.get("height")
    if not width or not height:
        raise LeftOut("no_size")
    lines = []
    for label, group in groupby(boxes, key=lambda box: box["label"] or ""):
        lines.append(
            format_boxes(label, [Box(**box | {"label": label}) for box in group], width, height)
        )
    return "\n".join(lines)


def _with_media(first: str, others: list[str], images: int, video: bool) -> str:
    """The first question with a tag for each image, unless the questions place them already."""
    placed = sum(question.count(IMAGE) for question in (first, *others))
    if (
        any(VIDEO in question for question in others)
        or (video and placed)
        or first.count(VIDEO) > video
    ):
        raise LeftOut("image_tags")
    if video:
        return first if VIDEO in first else f"{VIDEO}\n{first}"
    if placed == images:
        return first
    if placed:
        raise LeftOut("image_tags")
    if images == 1:
        return f"{IMAGE}\n{first}"
    return "".join(f"Image-{number}: {IMAGE}\n" for number in range(1, images + 1)) + first
