"""Holds a unit's conversations with an engine, turn by turn; a failed answer is generated again.
Answers that are not texts come from `Asker`, which asks each question once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.quality.repetition import find_loop, is_repetitive
from internvl_ops.rendered import (
    ChatConversation,
    ChatPrompt,
    RenderedConversation,
    RenderedPrompt,
    Shown,
)
from internvl_ops.replies import FINISH_REASONS, Reply
from internvl_ops.tasks.forms import problem_of

RAMP = (0.2, 0.5, 0.8, 1.0)  # temperatures of the second, third … attempt at an answer
LOOKED_AT_EVERY = 512  # tokens between two checks of the text for loops that contain a counter


@dataclass(frozen=True, kw_only=True)
class Retries:
    """When an answer is generated again, at a higher temperature.

    Args:
        times: Maximum number of further attempts; 0 keeps the first answer.
        cut: Also try again when an answer reaches its maximum length, not only when it loops.
    """

    times: int = 2
    cut: bool = True


Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class Generates(Protocol[Answer_co]):
    """The part of an engine that this module uses."""

    def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Awaitable[Answer_co]: ...


class Answerer(Protocol):
    """Has the conversations of a unit with an engine: a `Generator`, or an `Asker` if answers are
    not texts."""

    async def answer(
        self,
        request_id: str,
        conversations: Sequence[RenderedConversation | ChatConversation],
        shown: Shown,
    ) -> list[Any]: ...


@dataclass
class Asker(Generic[Answer]):
    """Asks an engine each of a unit's questions once, and returns its answers as they are.

    For engines whose answers are not texts. Calls for several units may run at the same time.

    Args:
        engine: A started engine.
    """

    engine: Generates[Answer]

    async def answer(
        self,
        request_id: str,
        conversations: Sequence[RenderedConversation | ChatConversation],
        shown: Shown,
    ) -> list[Answer]:
        """One answer to each conversation.

        Args:
            request_id: Unique among the running units.
            conversations: The unit's conversations, of one question each.
            shown: The images they are about.

        Raises:
            UnitError: One question failed, and with it the unit.
            EngineDead: The engine died and cannot be restarted.
        """
        answers = []
        for number, conversation in enumerate(conversations):
            if conversation.follow_ups:
                raise ConfigurationError(
                    "A question can follow another only if answers are texts. Ask each by itself."
                )
            request = replace(
                shown.request(f"{request_id}-{number}", conversation.prompt), follows=number > 0
            )
            answers.append(await self.engine.generate(request, conversation.sampling))
        return answers


@dataclass
class Generator:
    """Answers a unit's conversations, one after another. Calls for several units may run at the
    same time.

    The conversations of a unit run in sequence, because they share a prefix, above all the images.
    The engine still has that prefix in its caches when the next conversation starts.

    Args:
        engine: A started engine.
        tokenizer: The checkpoint's tokenizer; None where the engine answers in text.
        retries: When to try again.
        stop: Texts that end an answer and are not part of it.
        samples: Number of answers to each conversation, drawn independently.
        listener: Called with each answer as it grows, to show it to a person.
    """

    engine: Generates[Completion]
    tokenizer: Tokenizer | None
    retries: Retries = field(default_factory=Retries)
    stop: Sequence[str] = ()
    samples: int = 1
    listener: Callable[[str], None] | None = None

    async def answer(
        self,
        request_id: str,
        conversations: Sequence[RenderedConversation | ChatConversation],
        shown: Shown,
    ) -> list[list[list[Reply]]]:
        """Replies by conversation, sample and turn.

        Args:
            request_id: Unique among the running units.
            conversations: The unit's conversations.
            shown: The images they are about.

        Raises:
            UnitError: One answer failed; the whole conversation fails, and with it the unit. A
                later question, or a request to repeat an answer in its form, may exceed the
                context: ``prompt_too_long`` names the question. An answer that reaches the end of
                the context is cut off there, with finish reason ``length``.
            EngineDead: The engine died and cannot be restarted.
        """
        numbers = itertools.count()

        def request(prompt: RenderedPrompt | ChatPrompt) -> Request:
            number = next(numbers)
            return replace(shown.request(f"{request_id}-{number}", prompt), follows=number > 0)

        return [
            list(
                await asyncio.gather(
                    *(self._converse(request, one, sample) for sample in range(self.samples))
                )
            )
            for one in conversations
        ]

    async def _converse(
        self,
        request: Callable[[RenderedPrompt | ChatPrompt], Request],
        conversation: RenderedConversation | ChatConversation,
        sample: int,
    ) -> list[Reply]:
        formed = replace(
            conversation.sampling, seed=_other_seed(conversation.sampling.seed, sample)
        )
        prompt: Any = conversation.prompt
        replies: list[Reply] = []
        for number, following in enumerate([*conversation.follow_ups, None], 1):
            last = following is None
            how = formed if last else replace(formed, json_schema=None, choices=())
            if number - 1 != formed.candidates_at:
                how = replace(how, candidates=())
            with _placed(number, len(conversation.follow_ups) + 1):
                reply = await self._reply(request(prompt), how)
            if last and conversation.repair is not None and problem_of(self.text_of(reply), formed):
                prompt = prompt.then(self._said(reply, prompt), conversation.repair)
                with _placed(number, number, again=True):
                    second = await self._reply(request(prompt), how)
                reply = replace(second, attempts=reply.attempts + second.attempts)
            replies.append(reply)
            if following is not None:
                prompt = prompt.then(self._said(reply, prompt), following)
        return replies

    async def _reply(self, request: Request, sampling: Sampling) -> Reply:
        """The first attempt that ends by itself, or the best of all attempts."""
        kept: Reply | None = None
        hotter = [temperature for temperature in RAMP if temperature > sampling.temperature][
            : self.retries.times
        ]
        for attempt, temperature in enumerate([sampling.temperature, *hotter]):
            how = replace(
                sampling,
                temperature=temperature,
                seed=_other_seed(sampling.seed, attempt * self.samples),
            )
            again = replace(
                request,
                request_id=f"{request.request_id}.{attempt}",
                follows=request.follows or attempt > 0,
            )
            if kept is not None:  # they are the same for every attempt
                how = replace(how, candidates=())
            reply = self._judged(await self.engine.generate(again, how, self._watch()))
            if kept is not None:
                reply.candidates = kept.candidates
            if kept is None or FINISH_REASONS.index(reply.finish_reason) < FINISH_REASONS.index(
                kept.finish_reason
            ):
                kept = reply
            kept.attempts = attempt + 1
            # Where candidates decide, what follows them in a long answer does not matter.
            enough = reply.finish_reason == "length" and (
                bool(sampling.candidates) or not self.retries.cut
            )
            if reply.finish_reason == "stop" or enough:
                break
        assert kept is not None
        return kept

    def _watch(self) -> Watch:
        looked_at = 0

        def watch(answer: Sequence[int] | str) -> bool:
            nonlocal looked_at
            if self.listener is not None:
                shown = (
                    answer if isinstance(answer, str) else self._decoded(answer, keep_special=False)
                )
                self.listener(self._cut(shown)[0])
            if self.stop:
                text = answer if isinstance(answer, str) else self._decoded(answer)
                if self._cut(text)[1]:
                    return True
            if find_loop(answer) is not None:
                return True
            if len(answer) - looked_at < LOOKED_AT_EVERY:
                return False
            looked_at = len(answer)
            return is_repetitive(
                answer if isinstance(answer, str) else self._decoded(answer, keep_special=False)
            )

        return watch

    def _judged(self, completion: Completion) -> Reply:
        """The reply with its finish reason: ended by a stop text, by a loop, or for the engine's
        own reason."""
        text = completion.text
        if text is None:
            text = self._decoded(completion.token_ids)
        text, stopped = self._cut(text)
        reason = completion.finish_reason
        if stopped:
            reason = "stop"
        elif (
            reason == "watch"
            or find_loop(completion.token_ids or text) is not None
            or is_repetitive(text)
        ):
            reason = "repetition"
        return Reply(
            token_ids=completion.token_ids,
            text=text if stopped or completion.text is not None else None,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            finish_reason=reason,
            mean_logprob=_mean_logprob(completion),
            left_out=completion.left_out or self._leaves_out(completion),
            candidates=completion.candidates,
        )

    def _cut(self, text: str) -> tuple[str, bool]:
        """``text`` up to the first stop text in it, and whether there is one."""
        places = [place for place in map(text.find, self.stop) if place >= 0]
        return (text[: min(places)], True) if places else (text, False)

    def text_of(self, reply: Reply) -> str:
        """The text of an answer, with special tokens."""
        return reply.text if reply.text is not None else self._decoded(reply.token_ids)

    def _decoded(self, token_ids: Sequence[int], *, keep_special: bool = True) -> str:
        assert self.tokenizer is not None, "an engine that has no texts needs a tokenizer"
        return self.tokenizer.decode(token_ids, keep_special=keep_special)

    def _leaves_out(self, completion: Completion) -> bool:
        return self.tokenizer is not None and self.tokenizer.leaves_out(completion.token_ids)

    def _said(self, reply: Reply, prompt: RenderedPrompt | ChatPrompt) -> np.ndarray | str:
        """The answer as it appears in the prompt of the next question."""
        if isinstance(prompt, ChatPrompt):
            return self.text_of(reply)
        assert self.tokenizer is not None, "a rendered prompt has a tokenizer"
        if reply.text is not None:
            text = self.tokenizer.encode(self.tokenizer.literal(reply.text), start=False)
            return np.concatenate(
                [np.asarray(self.tokenizer.header(reply.token_ids), np.int32), text]
            )
        ids = reply.token_ids
        end = next(
            (index for index, token in enumerate(ids) if token in self.tokenizer.stop_ids), len(ids)
        )
        return np.asarray(ids[:end], np.int32)


@contextmanager
def _placed(number: int, questions: int, *, again: bool = False) -> Iterator[None]:
    """Adds to a ``prompt_too_long`` error which question of the conversation failed, unless it was
    the first."""
    try:
        yield
    except UnitError as error:
        if error.kind != "prompt_too_long" or (number == 1 and not again):
            raise
        asked = f"question {number} of {questions}, with all that was said before"
        asked = f"{asked}, asked again because the answer was not of its form" if again else asked
        lower = f"lower {keyword('max_new_tokens')}"
        mend = f"The whole conversation fails. Ask fewer or shorter questions of a row, or {lower}."
        raise UnitError(
            error.stage, error.kind, f"{asked}: {error.message} {mend}", error.attempts
        ) from error


def _other_seed(seed: int | None, number: int) -> int | None:
    """The seed of the ``number``-th draw; draw 0 keeps the given seed."""
    return None if seed is None else seed + number


def _mean_logprob(completion: Completion) -> float | None:
    if not completion.logprobs:
        return None
    pairs = list(zip(completion.logprobs, completion.token_ids, strict=False))
    if not pairs or any(token not in at for at, token in pairs):  # a server may leave out some
        return None
    return float(np.mean([at[token] for at, token in pairs]))
