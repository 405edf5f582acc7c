"""What an engine says to one question, by kind. A new kind of answer is a class here and an outcome
in `internvl_ops.tasks.outcomes`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

FINISH_REASONS = ("stop", "length", "repetition")  # of an answer that was generated, best first
BLANK = "blank"  # of a unit that shows nothing, about which no model was asked
TEXT_LAYER = "text_layer"  # of a page whose own text layer is the answer; no model was asked


@dataclass
class Reply:
    """One text.

    Args:
        token_ids: The generated ids, including the token that ended the answer; empty if the engine
            returns no ids.
        text: The answer, where it differs from the decoded ids: cut at a stop text, or from an
            engine without ids.
        prompt_tokens: Length of the prompt, including all earlier turns.
        completion_tokens: Length of the answer.
        finish_reason: ``stop``, ``length``, or ``repetition`` for an answer that was cut off in a
            loop.
        attempts: How often the answer was generated; the best attempt is kept.
        mean_logprob: Mean log-probability of its tokens, natural logarithm; None unless requested.
        left_out: Whether the model generated thoughts that are not part of the answer.
        candidates: Natural logarithm of the probability of each candidate of the conversation, for
            the answer that they belong to; else empty.
    """

    token_ids: list[int]
    text: str | None
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    attempts: int = 1
    mean_logprob: float | None = None
    left_out: bool = False
    candidates: list[float] = field(default_factory=list)


@dataclass
class States:
    """One vector for each token.

    Args:
        values: float32 of shape (tokens, size), row by row, in the machine's order of bytes.
        prompt_tokens: As in `Numbers`.
    """

    values: bytes
    prompt_tokens: int | None = None


@dataclass
class Numbers:
    """One or several numbers: a score, the log-probabilities of some choices, or a vector.

    Args:
        values: As float64 of shape (numbers,); a list of numbers is converted.
        prompt_tokens: Length of the prompt; None if the engine does not count it.
    """

    values: np.ndarray
    prompt_tokens: int | None = None

    def __post_init__(self) -> None:
        self.values = np.asarray(self.values, np.float64).reshape(-1)
