"""Turns answers into the task's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.generation import FINISH_REASONS, Reply
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.quality import thought_notes
from internvl_ops.tasks import Answered, Conversation, Dialogue, Task
from pipelines import columns as c
from pipelines.failures import errors_with, fill, one_by_one, outcomes
from pipelines.stages import wire


class Parse:
    """Actor that turns token ids into the task's columns."""

    def __init__(self, checkpoint: Checkpoint | None, task: Task, columns: pa.Schema, trust_remote_code: bool) -> None:
        # Without a checkpoint, answers are texts.
        self._tokenizer = None if checkpoint is None else Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        notes = pa.schema([c.PREPARED.field("notes")])
        self._task, self._columns = task, pa.unify_schemas([columns, task.columns, notes])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return one_by_one(self._parse, rows, "parse")

    def _parse(self, rows: pa.Table) -> pa.Table:
        answers = outcomes(rows, "parse", self._columns_of)
        rows = c.set_errors(rows.drop_columns([c.REPLIES]), errors_with(rows, answers))
        values = [None if isinstance(answer, UnitError) else answer for answer in answers]
        return fill(rows, "parse", values, self._columns)

    def _columns_of(self, row: pa.Table) -> dict[str, Any]:
        """The answer's columns for the single row in ``row``."""
        size = row["width"][0].as_py(), row["height"][0].as_py()
        replies = [
            [[replace(reply, text=self._text(reply)) for reply in turns] for turns in samples]
            for samples in wire.decode_replies(row, 0) or ()
        ]
        values = self._parsed(self._task.converse(wire.asked_of(row, self._task)), replies, size)
        return values | {"notes": [*(row["notes"][0].as_py() or ()), *_notes(replies)]}

    def _parsed(
        self, conversations: list[Conversation], replies: list[list[list[Reply]]], size: tuple[int, int]
    ) -> dict[str, Any]:
        """The columns of the first sample, and all samples."""
        first, *others = (list(dialogues) for dialogues in zip(*replies, strict=True))
        samples = [self._sample(conversations, first, size)]
        for dialogues in others:
            try:
                samples.append(self._sample(conversations, dialogues, size))
            except Exception:  # the unit keeps its answer; this sample keeps only its text
                samples.append(self._measured(dialogues, self._had(conversations, dialogues, size)))
        prompts = (dialogues[0][-1].prompt_tokens for dialogues in replies)
        return samples[0] | {
            "prompt_tokens": sum(prompts),
            "completion_tokens": sum(sample["completion_tokens"] for sample in samples),
            "samples": samples,
        }

    def _sample(
        self, conversations: list[Conversation], replies: list[list[Reply]], size: tuple[int, int]
    ) -> dict[str, Any]:
        answered = self._had(conversations, replies, size)
        return self._measured(replies, answered) | dict(self._task.parse(answered))

    def _had(self, conversations: list[Conversation], replies: list[list[Reply]], size: tuple[int, int]) -> Answered:
        dialogues = [
            Dialogue(conversation, [reply.text or "" for reply in dialogue])
            for conversation, dialogue in zip(conversations, replies, strict=True)
        ]
        return Answered(dialogues, *size)

    def _measured(self, replies: list[list[Reply]], answered: Answered) -> dict[str, Any]:
        turns = [reply for dialogue in replies for reply in dialogue]
        return {
            "response": answered.response,
            "completion_tokens": sum(reply.completion_tokens for reply in turns),
            "finish_reason": max((reply.finish_reason for reply in turns), key=FINISH_REASONS.index),
            "attempts": max(reply.attempts for reply in turns),
            "mean_logprob": _mean_logprob(turns),
        }

    def _text(self, reply: Reply) -> str:
        if reply.text is not None:
            return reply.text
        assert self._tokenizer is not None, "answers without texts are of a checkpoint"
        return self._tokenizer.decode(reply.token_ids, keep_special=True)


def _notes(conversations: list[list[list[Reply]]]) -> list[str]:
    replies = [reply for samples in conversations for turns in samples for reply in turns]
    return thought_notes((reply.text or "" for reply in replies), left_out=any(reply.left_out for reply in replies))


def _mean_logprob(turns: Sequence[Reply]) -> float | None:
    """Mean log-probability over all tokens of all turns."""
    tokens = sum(reply.completion_tokens for reply in turns)
    weighed = [reply.mean_logprob * reply.completion_tokens for reply in turns if reply.mean_logprob is not None]
    return sum(weighed) / tokens if tokens and len(weighed) == len(turns) else None
