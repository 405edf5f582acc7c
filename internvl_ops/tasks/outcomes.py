"""What a task's answers are, from the engine to the results.

An outcome says what an engine returns, how that travels to the parser, and which columns results
have besides the task's own. `TEXT` brings the raw answer, token counts and a finish reason.
`NUMBERS` brings none of these, for scores and vectors. A task that names neither answers in text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from internvl_ops.quality.thoughts import thought_notes
from internvl_ops.replies import FINISH_REASONS, Numbers, Reply, States
from internvl_ops.tasks.conversation import Answered, Conversation, Dialogue

# Columns that the pipeline counts where an outcome has them. No manifest column keeps one of these
# names in a result.
COUNTED = pa.schema(
    [
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("attempts", pa.int32()),
    ]
)
_COUNTED_OF_AN_ANSWER = [field for field in COUNTED if field.name != "prompt_tokens"]
_RESPONSE = pa.field("response", pa.string())
ParseAnswer = Callable[[Answered], Mapping[str, object]]
Decode = Callable[[Sequence[int]], str]


class Size(NamedTuple):
    """How large a unit is; see `Answered`."""

    width: int
    height: int
    points: tuple[float, float] | None = None


class Outcome(ABC):
    """A kind of answer.

    Attributes:
        name: Names the engines that give such answers, in `internvl_ops.engines.ENGINES`.
        generated: Whether an answer is generated token by token. Only then do several samples,
            retries, stop texts and further questions of a conversation apply.
        reply: Class of one answer.
        replies_type: Arrow type of all the replies of a unit: lists, with a struct of the fields of
            ``reply`` inside.
        counted: Those columns of `COUNTED` that results have.
        raw: Columns with the raw answer; they come before the task's own.
    """

    name: ClassVar[str]
    generated: ClassVar[bool] = False
    reply: ClassVar[type[Any]]
    replies_type: ClassVar[pa.DataType]
    counted: ClassVar[pa.Schema]
    raw: ClassVar[pa.Schema] = pa.schema([])

    def columns(
        self, task_columns: pa.Schema, *, samples: int = 1, log_probs: bool = False
    ) -> pa.Schema:
        """The columns of a result that describe its answer, without the task's own columns.

        Args:
            task_columns: The task's columns; with several samples, each sample has them too.
            samples: Number of answers per unit. The columns describe the first; ``samples`` holds
                all of them.
            log_probs: Whether there are mean log-probabilities.
        """
        return pa.schema([*self.raw, *self.counted])

    @property
    def tokens(self) -> tuple[str, ...]:
        """The columns that count tokens."""
        return tuple(name for name in self.counted.names if name.endswith("_tokens"))

    def unasked(self, reason: str) -> dict[str, Any]:
        """The values of `columns` for a unit about which nothing was asked; others are null.

        Args:
            reason: Why, as the finish reason says it.
        """
        return {}

    @abstractmethod
    def result(
        self,
        parse: ParseAnswer,
        conversations: Sequence[Conversation],
        replies: Any,
        size: Size,
        decode: Decode,
    ) -> dict[str, Any]:
        """The values of a unit's result: those of the task, those of `columns`, and the ``notes``
        on the answers.

        Args:
            parse: The task's parser.
            conversations: The task's conversations with the unit.
            replies: The unit's replies, nested as in ``replies_type``.
            size: Of the unit, for the parser.
            decode: Turns token ids into text.
        """


class Text(Outcome):
    """Texts, with special tokens. Replies come by conversation, sample and turn."""

    name = "text"
    generated = True
    reply = Reply
    replies_type = pa.list_(
        pa.list_(
            pa.list_(
                pa.struct(
                    [
                        ("token_ids", pa.list_(pa.int32())),
                        ("text", pa.string()),
                        *COUNTED,
                        ("mean_logprob", pa.float64()),
                        ("left_out", pa.bool_()),
                        ("candidates", pa.list_(pa.float64())),
                    ]
                )
            )
        )
    )
    counted = COUNTED
    raw = pa.schema([_RESPONSE])

    def columns(
        self, task_columns: pa.Schema, *, samples: int = 1, log_probs: bool = False
    ) -> pa.Schema:
        log_prob = [pa.field("mean_logprob", pa.float64())] if log_probs else []
        columns = [*self.raw, *self.counted, *log_prob]
        if samples > 1:
            sample = pa.struct([_RESPONSE, *task_columns, *_COUNTED_OF_AN_ANSWER, *log_prob])
            columns.append(pa.field("samples", pa.list_(sample)))
        return pa.schema(columns)

    def unasked(self, reason: str) -> dict[str, Any]:
        counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "attempts"), 0)
        return {"response": "", "finish_reason": reason, "samples": [], **counts}

    def result(
        self,
        parse: ParseAnswer,
        conversations: Sequence[Conversation],
        replies: Any,
        size: Size,
        decode: Decode,
    ) -> dict[str, Any]:
        drawn = [list(dialogues) for dialogues in zip(*replies, strict=True)]
        had = [
            [_dialogue(*one, decode) for one in zip(conversations, drawing, strict=True)]
            for drawing in drawn
        ]
        samples = [_sample(parse, Answered(had[0], *size))]
        noted = samples[0].pop("notes", [])
        for dialogues in had[1:]:
            try:
                samples.append(_sample(parse, Answered(dialogues, *size)))
            except Exception:  # the unit keeps its answer; this sample keeps only its text
                samples.append(_measured(Answered(dialogues, *size)))
        return samples[0] | {
            "prompt_tokens": sum(turns[-1].prompt_tokens for turns in drawn[0]),
            "completion_tokens": sum(sample["completion_tokens"] for sample in samples),
            "samples": samples,
            "notes": [*noted, *_notes([dialogue for dialogues in had for dialogue in dialogues])],
        }


class NumbersOutcome(Outcome):
    """Numbers, from an engine that returns `Numbers`: one reply to each conversation."""

    name = "numbers"
    reply: ClassVar[type[Any]] = Numbers
    replies_type = pa.list_(
        pa.struct([("values", pa.list_(pa.float64())), ("prompt_tokens", pa.int32())])
    )
    counted = pa.schema([COUNTED.field("prompt_tokens")])

    def result(
        self,
        parse: ParseAnswer,
        conversations: Sequence[Conversation],
        replies: Any,
        size: Size,
        decode: Decode,
    ) -> dict[str, Any]:
        dialogues = [
            Dialogue(conversation, (), (reply,))
            for conversation, reply in zip(conversations, replies, strict=True)
        ]
        counts = [reply.prompt_tokens for reply in replies if reply.prompt_tokens is not None]
        return {
            **parse(Answered(dialogues, *size)),
            "prompt_tokens": sum(counts) if counts else None,
            "notes": [],
        }


class StatesOutcome(NumbersOutcome):
    """A vector for each token, from an engine that returns `States`: one reply to each
    conversation. They travel as bytes, since a picture may have millions of numbers."""

    name = "states"
    reply = States
    replies_type = pa.list_(pa.struct([("values", pa.binary()), ("prompt_tokens", pa.int32())]))


TEXT, NUMBERS, STATES = Text(), NumbersOutcome(), StatesOutcome()


def _dialogue(conversation: Conversation, turns: Sequence[Reply], decode: Decode) -> Dialogue:
    texts = [decode(reply.token_ids) if reply.text is None else reply.text for reply in turns]
    return Dialogue(conversation, texts, turns)


def _sample(parse: ParseAnswer, answered: Answered) -> dict[str, Any]:
    return _measured(answered) | dict(parse(answered))


def _measured(answered: Answered) -> dict[str, Any]:
    turns: list[Reply] = [reply for dialogue in answered.dialogues for reply in dialogue.replies]
    return {
        "response": answered.response,
        "completion_tokens": sum(reply.completion_tokens for reply in turns),
        "finish_reason": max((reply.finish_reason for reply in turns), key=FINISH_REASONS.index),
        "attempts": max(reply.attempts for reply in turns),
        "mean_logprob": _mean_logprob(turns),
    }


def _notes(dialogues: Sequence[Dialogue]) -> list[str]:
    texts = [text for dialogue in dialogues for text in dialogue.responses]
    left_out = any(reply.left_out for dialogue in dialogues for reply in dialogue.replies)
    return thought_notes(texts, left_out=left_out)


def _mean_logprob(turns: Sequence[Reply]) -> float | None:
    """Mean log-probability over all tokens of all turns."""
    tokens = sum(reply.completion_tokens for reply in turns)
    weighed = [
        reply.mean_logprob * reply.completion_tokens
        for reply in turns
        if reply.mean_logprob is not None
    ]
    return sum(weighed) / tokens if tokens and len(weighed) == len(turns) else None
