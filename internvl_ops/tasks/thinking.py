"""Answers with thoughts before them: a task whose answers are read without, and that has the
thoughts in a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from internvl_ops.quality.thoughts import UNFINISHED, split_thoughts
from internvl_ops.replies import Reply
from internvl_ops.tasks.base import Row, Task
from internvl_ops.tasks.conversation import Conversation
from internvl_ops.tasks.outcomes import Decode, ParseAnswer, Size, Text

# Makes InternVL3.5 think; its model card calls this the thinking system prompt.
SYSTEM_MESSAGE = """\
You are an AI assistant that rigorously follows this response protocol:

1. First, conduct a detailed analysis of the question. Consider different angles, potential \
solutions, and reason through the problem step-by-step. Enclose this entire thinking process \
within <think> and </think> tags.

2. After the thinking section, provide a clear, concise, and direct answer to the user's question. \
Separate the answer from the think section with a newline.

Ensure that the thinking process is thorough but remains focused on the query. The final answer \
should be standalone and not reference the thinking section."""
MAX_NEW_TOKENS = 8192  # by default, for thought and answer together
THOUGHT = "thought"


class ThoughtfulText(Text):
    """Texts of which the thoughts are a column of their own; ``response`` and the task's columns
    are without them."""

    def columns(
        self, task_columns: pa.Schema, *, samples: int = 1, log_probs: bool = False
    ) -> pa.Schema:
        columns = super().columns(task_columns, samples=samples, log_probs=log_probs)
        return pa.schema([*columns, (THOUGHT, pa.string())])

    def result(
        self,
        parse: ParseAnswer,
        conversations: Sequence[Conversation],
        replies: Any,
        size: Size,
        decode: Decode,
    ) -> dict[str, Any]:
        thoughts: list[str] = []
        unfinished = False

        def answer_of(reply: Reply, first_sample: bool) -> Reply:
            nonlocal unfinished
            text = decode(reply.token_ids) if reply.text is None else reply.text
            thought, answer, ended = split_thoughts(text)
            if first_sample and thought:
                thoughts.append(thought)
            unfinished |= not ended
            return replace(reply, text=answer)

        answers = [
            [
                [answer_of(reply, number == 0) for reply in turns]
                for number, turns in enumerate(samples)
            ]
            for samples in replies
        ]
        result = super().result(parse, conversations, answers, size, decode)
        notes = [*result["notes"], UNFINISHED] if unfinished else result["notes"]
        return {**result, THOUGHT: "\n\n".join(thoughts) or None, "notes": notes}


def leaves_room(task: Task) -> bool:
    """Whether answers of a task may have thoughts before them: not if they are held to a form or
    are probabilities."""
    return (
        type(task.outcome) is Text
        and not task.constrained
        and task.name not in ("score", "classify")
    )


def thinking(task: Task, *, max_new_tokens: int | None) -> Task:
    """``task`` with room for thoughts, which are kept apart from its answers.

    Args:
        task: A task that `leaves_room` for thoughts.
        max_new_tokens: Maximum length of thought and answer, if the user gives one;
            `MAX_NEW_TOKENS` otherwise.
    """
    longest = max_new_tokens or MAX_NEW_TOKENS

    def converse(row: Row) -> list[Conversation]:
        return [
            replace(conversation, max_new_tokens=longest) for conversation in task.converse(row)
        ]

    return replace(task, converse=converse, max_new_tokens=longest, outcome=ThoughtfulText())
