"""What goes into an engine and what comes out of it, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from internvl_ops.models.rendering import Placeholder


@dataclass
class Request:
    """One prompt, ready to be generated from.

    Attributes:
        request_id: Unique among the requests that are under way.
        token_ids: int32, shape (tokens,): the whole prompt, context tokens of the images included.
        tiles: uint8, shape (tiles of all images, 3, S, S), RGB, in the order of the prompt; None or of length 0 for a
            text-only prompt. May be a read-only view on shared memory: it is not written to, and not copied here.
        images: Where each image stands in the prompt.
        image_hashes: One an image. Equal hashes promise equal tiles, and such an image is encoded once.
    """

    request_id: str
    token_ids: np.ndarray
    tiles: np.ndarray | None = None
    images: Sequence[Placeholder] = ()
    image_hashes: Sequence[str] = ()


@dataclass(frozen=True)
class Sampling:
    """How an answer is generated. Greedy by default, as the family is evaluated.

    Attributes:
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 is greedy.
        top_p: Draw from the likeliest tokens that together have this probability.
        repetition_penalty: Above 1 makes tokens that were said less likely.
        seed: Makes a draw repeatable.
        stop_token_ids: End the answer besides the checkpoint's own. Only ids: a stop text would have the engine turn
            every token back to text; cut the decoded answer instead.
        ignore_stop: Always generate `max_new_tokens`; for benchmarks.
        logprobs: How many of the likeliest tokens to report at each position; 0 reports none.
    """

    max_new_tokens: int = 30
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_stop: bool = False
    logprobs: int = 0


@dataclass
class Completion:
    """An answer as the engine gives it.

    Attributes:
        token_ids: Of the answer; the token that stopped it may be the last.
        prompt_tokens: Length of the prompt in tokens.
        finish_reason: ``stop``, or ``length`` where `max_new_tokens` or the context was used up.
        logprobs: For each token the likeliest tokens' log-probabilities by id, if asked for.
    """

    token_ids: list[int]
    prompt_tokens: int
    finish_reason: str
    logprobs: list[dict[int, float]] = field(default_factory=list)


class EngineDead(Exception):
    """The engine is gone and answers no more; requests under way are lost. Start another one and send them again."""


class Engine(Protocol):
    """Generates completions. Any number of requests may be under way at once; more of them is faster."""

    @property
    def dead(self) -> bool:
        """Whether the engine was started and is gone; it does not come back."""

    async def start(self) -> None:
        """Loads the model; minutes for a big one."""

    async def generate(self, request: Request, sampling: Sampling) -> Completion:
        """The answer to one request. Cancelling the task takes the request out of the engine."""

    def shutdown(self) -> None:
        """Frees the device; harmless to repeat."""
