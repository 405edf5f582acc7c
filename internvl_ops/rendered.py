"""Conversations and pictures as an engine takes them: token ids and tiles, or a chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from internvl_ops.engines.base import Chat, Request, Sampling
from internvl_ops.models.prompts.rendering import Placeholder


@dataclass(frozen=True)
class RenderedConversation:
    """A conversation ready for the engine.

    Args:
        token_ids: int32 of shape (tokens,): the prompt up to the first answer.
        images: The place of each image in the prompt.
        follow_ups: One int32 array per further question: the ids between the previous answer and
            the next one.
        repair: The ids that ask for the answer again in the requested form; None where any answer
            is accepted.
        sampling: How answers are generated. A form in it applies to the last answer only,
            candidates to the one that it says.
    """

    token_ids: np.ndarray
    images: Sequence[Placeholder]
    follow_ups: Sequence[np.ndarray]
    repair: np.ndarray | None
    sampling: Sampling

    @property
    def prompt(self) -> RenderedPrompt:
        """The prompt up to the first answer."""
        return RenderedPrompt(self.token_ids, self.images)


@dataclass(frozen=True)
class RenderedPrompt:
    """A conversation up to the start of the next answer."""

    token_ids: np.ndarray
    images: Sequence[Placeholder]

    def then(self, said: np.ndarray, following: np.ndarray) -> RenderedPrompt:
        return replace(self, token_ids=np.concatenate([self.token_ids, said, following]))


@dataclass(frozen=True)
class ChatConversation:
    """A conversation for an engine that renders and tiles itself.

    Args:
        chat: The conversation up to the first answer, without its pictures: `Shown` carries those.
        follow_ups: The further questions.
        repair: A question that asks for the answer again in the requested form; None where any
            answer is accepted.
        sampling: As in `RenderedConversation`.
    """

    chat: Chat
    follow_ups: Sequence[str]
    repair: str | None
    sampling: Sampling

    @property
    def prompt(self) -> ChatPrompt:
        """The prompt up to the first answer."""
        return ChatPrompt(self.chat)


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation up to the start of the next answer."""

    chat: Chat

    def then(self, said: str, following: str) -> ChatPrompt:
        history = [*self.chat.history, (self.chat.question, said)]
        return ChatPrompt(replace(self.chat, history=history, question=following))


@dataclass(frozen=True)
class Shown:
    """The images that a unit's conversations are about.

    Args:
        tiles: The tiles of all images, uint8 of shape (tiles, 3, S, S).
        hashes: One hash per image.
        pictures: PNG or JPEG files, for an engine that tiles itself.
    """

    tiles: np.ndarray | None = None
    hashes: Sequence[str] = ()
    pictures: Sequence[bytes] = ()

    def request(self, request_id: str, prompt: RenderedPrompt | ChatPrompt) -> Request:
        """The request for the next answer."""
        if isinstance(prompt, ChatPrompt):
            return Request(request_id, chat=replace(prompt.chat, pictures=self.pictures))
        return Request(request_id, prompt.token_ids, self.tiles, prompt.images, self.hashes)
