"""The input and output of an engine, the same for every engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.models.prompts.rendering import Placeholder


@dataclass(frozen=True)
class Chat:
    """A prompt as texts and pictures, for an engine that renders and tiles itself.

    Attributes:
        question: The current question. Here and in the history, ``<image>`` marks the place of a
            picture.
        history: (question, answer) pairs of earlier turns, oldest first.
        pictures: In the order of the tags: the bytes of a PNG, JPEG or WebP file, or a URI that the
            engine can read.
        system_message: None uses the engine's own template.
        max_tiles: Maximum tiles of each picture, without the thumbnail; None uses the engine's own
            setting.
    """

    question: str
    history: Sequence[tuple[str, str]] = ()
    pictures: Sequence[bytes | str] = ()
    system_message: str | None = None
    max_tiles: int | None = None


@dataclass
class Request:
    """One prompt, ready for generation: rendered, or a `Chat` for an engine that renders itself.

    Attributes:
        request_id: Unique among the running requests.
        token_ids: int32, shape (tokens,): the whole prompt, including the context tokens of the
            images.
        tiles: uint8, shape (tiles of all images, 3, S, S), RGB, in the order of the prompt; None or
            of length 0 for a text-only prompt. It may be a read-only view on shared memory: it is
            neither written to nor copied here.
        images: The place of each image in the prompt.
        image_hashes: One hash per image. Images with equal hashes must have equal tiles; they are
            encoded once.
        chat: The prompt for an engine that renders itself; other engines ignore it.
        follows: Whether the prompt starts like one that was just answered. Such a request is served
            first, while their common prefix is still in the engine's caches.
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
    """How an answer is generated. Greedy by default, as in the evaluations of the InternVL family.

    Attributes:
        max_new_tokens: Maximum length of the answer, in tokens.
        temperature: 0 is greedy.
        top_p: Draw from the likeliest tokens that together have this probability.
        repetition_penalty: Values above 1 make tokens that already occurred less likely.
        seed: Makes a draw repeatable.
        stop_token_ids: Tokens that end the answer, besides the checkpoint's own. Only ids: for a
            stop text, the engine would have to decode every token; see `Watch` for texts.
        ignore_stop: Always generate `max_new_tokens`; for benchmarks.
        logprobs: Report the log-probabilities of each token of the answer and of this many of the
            likeliest tokens at its position; None reports nothing.
        json_schema: JSON text of a schema; generation is constrained to it.
        choices: Generation is constrained to one of these texts.
        min_new_tokens: Minimum length of the answer in tokens, where the engine supports it; at
            most `max_new_tokens`.
        candidates: Also report how likely the answer is to begin with each of these texts; see
            `internvl_ops.engines.candidates`. Temperature and penalties have no part in it.
        candidates_at: In a conversation, the number of the question, from 0, to whose answer
            `candidates` belong; engines ignore it.
        top_k: Draw from so many of the likeliest tokens; 0 draws from all.
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
    candidates: tuple[str, ...] = ()
    candidates_at: int = 0
    top_k: int = 0

    @property
    def constrained(self) -> bool:
        """Whether generation is constrained to a form."""
        return self.json_schema is not None or bool(self.choices)


Watch = Callable[[Sequence[int] | str], bool]
"""Looks at an answer while it is generated: called every few tokens with all of it so far, as token
ids or, from an engine that has no ids, as text. True ends the answer there, with `finish_reason`
``watch``."""

WATCHED_EVERY = 16  # tokens between two calls of a watch


@dataclass
class Completion:
    """An answer as the engine returns it.

    Attributes:
        token_ids: The answer's ids; the token that ended it may be the last. Empty from an engine
            without ids.
        prompt_tokens: Length of the prompt in tokens.
        finish_reason: ``stop``; ``length`` where `max_new_tokens` or the context was used up;
            ``watch`` where a `Watch` ended it.
        logprobs: For each position, the log-probabilities of the chosen and of the likeliest
            tokens, by id, if requested.
        text: The answer from an engine without ids, which counts `completion_tokens` itself; else
            None.
        completion_tokens: Length of the answer in tokens.
        left_out: Whether the model generated thoughts that are not part of `text`.
        candidates: Natural logarithm of the probability of each of the candidates, in their order,
            if requested.
    """

    token_ids: list[int]
    prompt_tokens: int
    finish_reason: str
    logprobs: list[dict[int, float]] = field(default_factory=list)
    text: str | None = None
    completion_tokens: int = 0
    left_out: bool = False
    candidates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.completion_tokens = self.completion_tokens or len(self.token_ids)


def own_context(engine_args: Mapping[str, Any]) -> int | None:
    """The context length in tokens that the user sets in an engine's arguments; None uses the
    checkpoint's.

    Engines limit a prompt and its answer to the context that the checkpoint was trained for. A
    user's own length overrides that limit.
    """
    given = engine_args.get("max_model_len")
    return given if isinstance(given, int) and given > 0 else None


def context_exceeded(tokens: int, limit: int, mend: str) -> UnitError:
    """The error for a prompt of `tokens` tokens that exceeds `limit`, the maximum for prompt and
    answer together."""
    message = (
        f"the prompt is {tokens} tokens; the context is {limit} for prompt and answer together."
        f" {mend}"
    )
    return UnitError("generate", "prompt_too_long", message)


class EngineDead(Exception):
    """The engine has died, and running requests are lost. Start another engine and send them
    again."""


Answer_co = TypeVar("Answer_co", covariant=True)


class Engine(Protocol[Answer_co]):
    """Answers requests, with a `Completion` each; an engine of numbers with
    `internvl_ops.replies.Numbers`.

    Any number of requests may run at once; more of them run faster.
    """

    @property
    def dead(self) -> bool:
        """Whether the engine was started and has died; it does not recover."""

    async def start(self) -> None:
        """Loads the model; takes minutes for a large one."""

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Answer_co:
        """The answer to one request. Cancelling the task removes the request from the engine.

        Args:
            request: The prompt.
            sampling: How a text is generated; an engine of numbers ignores it.
            watch: Looks at a text while it is generated.

        Raises:
            UnitError: This request failed; others are not affected.
            EngineDead: The engine has died.
        """

    def shutdown(self) -> None:
        """Frees the device; safe to call again."""
