"""What goes into an engine and what comes out of it, the same for every engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.models.rendering import Placeholder


@dataclass(frozen=True)
class Chat:
    """A prompt as texts and pictures, for an engine that renders and tiles itself.

    Attributes:
        question: What is asked now; in it and in the history ``<image>`` stands where a picture goes.
        history: (question, answer) pairs of earlier turns, oldest first.
        pictures: In the order of the tags: the bytes of a PNG, JPEG or WebP file, or a URI that the engine can read.
        system_message: None leaves it to the engine's own template.
        max_tiles: Most tiles of each picture, thumbnail not counted; None leaves it to the engine's own setting.
    """

    question: str
    history: Sequence[tuple[str, str]] = ()
    pictures: Sequence[bytes | str] = ()
    system_message: str | None = None
    max_tiles: int | None = None


@dataclass
class Request:
    """One prompt, ready to be generated from: rendered, or for an engine that renders itself as a `Chat`.

    Attributes:
        request_id: Unique among the requests that are under way.
        token_ids: int32, shape (tokens,): the whole prompt, context tokens of the images included.
        tiles: uint8, shape (tiles of all images, 3, S, S), RGB, in the order of the prompt; None or of length 0 for a
            text-only prompt. May be a read-only view on shared memory: it is not written to, and not copied here.
        images: Where each image stands in the prompt.
        image_hashes: One an image. Equal hashes promise equal tiles, and such an image is encoded once.
        chat: The prompt for an engine that renders itself; no other looks at it.
        follows: Whether it begins as one that was just answered: it goes first, while what it has in common with that
            one is still in the engine's caches.
    """

    request_id: str
    token_ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    tiles: np.ndarray | None = None
    images: Sequence[Placeholder] = ()
    image_hashes: Sequence[str] = ()
    chat: Chat | None = None
    follows: bool = False


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
            every token back to text; see `Watch` for texts.
        ignore_stop: Always generate `max_new_tokens`; for benchmarks.
        logprobs: Report the log-probability of each token of the answer, and of so many of the likeliest at its
            position besides; None reports nothing.
        json_schema: JSON text of a schema that the answer is held to while it is generated.
        choices: Texts one of which the answer is held to.
        min_new_tokens: No token ends the answer before it has so many, where the engine can do that; at most
            `max_new_tokens`.
    """

    max_new_tokens: int = 30
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_stop: bool = False
    logprobs: int | None = None
    json_schema: str | None = None
    choices: tuple[str, ...] = ()
    min_new_tokens: int = 0

    @property
    def constrained(self) -> bool:
        """Whether the answer is held to a form."""
        return self.json_schema is not None or bool(self.choices)


Watch = Callable[[Sequence[int] | str], bool]
"""Looks at an answer while it is generated: called every few tokens with all of it so far, as token ids or, from an
engine that has no ids, as text. True ends the answer there, with `finish_reason` ``watch``."""

WATCHED_EVERY = 16  # tokens between two looks


@dataclass
class Completion:
    """An answer as the engine gives it.

    Attributes:
        token_ids: Of the answer; the token that stopped it may be the last. Empty from an engine that has no ids.
        prompt_tokens: Length of the prompt in tokens.
        finish_reason: ``stop``; ``length`` where `max_new_tokens` or the context was used up; ``watch`` where a `Watch`
            ended it.
        logprobs: For each token its own and the likeliest tokens' log-probabilities by id, if asked for.
        text: The answer from an engine that has no ids, which counts `completion_tokens` itself; None otherwise.
        completion_tokens: Tokens of the answer.
        left_out: Whether `text` is without what the model said to itself.
    """

    token_ids: list[int]
    prompt_tokens: int
    finish_reason: str
    logprobs: list[dict[int, float]] = field(default_factory=list)
    text: str | None = None
    completion_tokens: int = 0
    left_out: bool = False

    def __post_init__(self) -> None:
        self.completion_tokens = self.completion_tokens or len(self.token_ids)


def own_context(engine_args: Mapping[str, Any]) -> int | None:
    """The context that the user gives among an engine's arguments, in tokens; None leaves it to the checkpoint.

    Engines hold a prompt and its answer to the context that the checkpoint was trained for. Who gives a length knows
    better, or wants to see.
    """
    given = engine_args.get("max_model_len")
    return given if isinstance(given, int) and given > 0 else None


def too_long(tokens: int, limit: int, mend: str) -> UnitError:
    """The error for a prompt of `tokens` tokens where prompt and answer together may have `limit`."""
    message = f"the prompt is {tokens} tokens; the context is {limit} for prompt and answer together. {mend}"
    return UnitError("generate", "prompt_too_long", message)


class EngineDead(Exception):
    """The engine is gone and answers no more; requests under way are lost. Start another one and send them again."""


class Engine(Protocol):
    """Generates completions. Any number of requests may be under way at once; more of them is faster."""

    @property
    def dead(self) -> bool:
        """Whether the engine was started and is gone; it does not come back."""

    async def start(self) -> None:
        """Loads the model; minutes for a big one."""

    async def generate(self, request: Request, sampling: Sampling, watch: Watch | None = None) -> Completion:
        """The answer to one request. Cancelling the task takes the request out of the engine.

        Raises:
            UnitError: For this request alone.
            EngineDead: The engine is gone.
        """

    def shutdown(self) -> None:
        """Frees the device; harmless to repeat."""
