"""Renders a question and its images' tile counts as the token ids of the whole prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from internvl_ops.errors import UnitError, keyword
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.templates import conversation_template
from internvl_ops.models.tokenizers.tokenizer import (
    IMAGE_CONTEXT,
    IMAGE_END,
    IMAGE_START,
    Tokenizer,
)

TAG = "<image>"
_ONE_TOKEN_IMAGE = IMAGE_START + IMAGE_CONTEXT + IMAGE_END

Media = Literal["images", "video"]
SpecialTokens = Literal["text", "recognised"]


@dataclass(frozen=True)
class Placeholder:
    """The place of one image in the prompt.

    Attributes:
        offset: Position of ``<img>`` in the token ids.
        length: Number of tokens from ``<img>`` to ``</img>``, both included: tokens_per_tile ·
            num_tiles + 2.
        num_tiles: Tiles of the image, including its thumbnail.
    """

    offset: int
    length: int
    num_tiles: int


@dataclass(frozen=True)
class Rendered:
    """A prompt ready for the engine.

    Attributes:
        token_ids: int32, shape (tokens,).
        images: One entry per image, in the order of the prompt, which is the order of the tiles.
    """

    token_ids: np.ndarray
    images: list[Placeholder] = field(default_factory=list)


class Renderer:
    """Renders prompts for one checkpoint. Cheap to call: an image of 40 tiles is tokenised as one
    of 40 tokens.

    Args:
        checkpoint: Provides template, system message and tokenizer.
        system_message: Replaces the checkpoint's.
        context_length: Maximum length of prompt and answer together, in tokens, if the engine runs
            with less than the checkpoint's.
        max_new_tokens: Room in the context that is reserved for the answer.
        special_tokens: How special tokens in the text of a question, an answer or the system
            message are handled. "text" reads them as plain text, except ``<image>`` and the marks
            of boxes, so nothing in a row can end its turn. "recognised" reads them as tokens; image
            tags then count everywhere.
        trust_remote_code: Whether a tokenizer that comes as code with the checkpoint may run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        system_message: str | None = None,
        context_length: int | None = None,
        max_new_tokens: int = 1,
        special_tokens: SpecialTokens = "text",
        trust_remote_code: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self._as_text = special_tokens == "text"
        self._controls_by_turns: dict[int, int] = {}
        self.system_message = (
            checkpoint.system_message if system_message is None else system_message
        )
        self.tokenizer = Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        self._context_length = (
            checkpoint.context_length if context_length is None else context_length
        )
        self._max_new_tokens = max(1, max_new_tokens)

    def render(
        self,
        question: str,
        num_tiles_per_image: Sequence[int] = (),
        history: Sequence[tuple[str, str]] = (),
        *,
        media: Media = "images",
        max_new_tokens: int | None = None,
    ) -> Rendered:
        """The ids of the prompt's full text, including the context tokens of all images.

        Images go where ``<image>`` stands in the questions, history first. If no question has a
        tag, the images go in front of the conversation's first question, as in the model cards:
        ``<image>`` alone for one image, ``Image-1: <image>`` and so on for several, ``Frame1:
        <image>`` and so on for a video.

        Args:
            question: The current question.
            num_tiles_per_image: Tiles of each image or frame, including the thumbnail; empty for a
                text-only prompt.
            history: (question, answer) pairs of earlier turns, oldest first.
            media: Whether the images are separate images or the frames of one video.
            max_new_tokens: Room for the answer, if different from the renderer's.

        Raises:
            UnitError: ``prompt_too_long``, with the number of tiles that would fit; or ``bad_row``
                if the numbers of tags and images differ.
        """
        ids, contexts = self._encoded(question, len(num_tiles_per_image), history, media)
        repeats = np.ones(len(ids), dtype=np.int64)
        repeats[contexts] = (
            np.asarray(num_tiles_per_image, dtype=np.int64) * self.checkpoint.tokens_per_tile
        )
        tokens = int(repeats.sum())
        room = max(1, max_new_tokens or self._max_new_tokens)
        if tokens > self._context_length - room:
            asked = [*(turn for turn, _ in history), question]
            bare = len(
                self.tokenizer.encode(self._whole(asked, history, self._written, self._written))
            )
            raise self._too_long(tokens, bare, num_tiles_per_image, media, room)
        starts = np.cumsum(repeats) - repeats
        images = [
            Placeholder(
                offset=int(starts[at]) - 1, length=int(repeats[at]) + 2, num_tiles=int(tiles)
            )
            for at, tiles in zip(contexts, num_tiles_per_image, strict=True)
        ]
        return Rendered(token_ids=np.repeat(ids, repeats), images=images)

    def follow_up(self, question: str) -> np.ndarray:
        """The ids, int32, between an answer and the next one, in which `question` is asked.

        Raises:
            UnitError: ``bad_row``: the question has an ``<image>`` tag, but images belong in the
                first question.
        """
        if TAG in question:
            raise UnitError(
                "render",
                "bad_row",
                f"a later question has an {TAG} tag: {question[:80]!r}. Images are shown with the"
                " first question of a conversation. Write the tag there.",
            )
        text = conversation_template.follow_up(self.checkpoint.template, self._written(question))
        return self.tokenizer.encode(text, start=False)

    def text(
        self,
        question: str,
        num_images: int = 0,
        history: Sequence[tuple[str, str]] = (),
        *,
        media: Media = "images",
    ) -> str:
        """The prompt as text, with an ``<image>`` tag for each image."""
        return self._whole(self._asked(question, history, num_images, media), history, str, str)

    def _asked(
        self,
        question: str,
        history: Sequence[tuple[str, str]],
        num_images: int = 0,
        media: Media = "images",
    ) -> list[str]:
        """The questions, oldest first, with a tag for every image."""
        asked = [*(turn for turn, _ in history), question]
        if num_images and not any(TAG in turn for turn in asked):
            asked[0] = in_front(num_images, media) + asked[0]
        return asked

    def _whole(
        self,
        asked: Sequence[str],
        history: Sequence[tuple[str, str]],
        asking: Callable[[str], str],
        saying: Callable[[str], str],
    ) -> str:
        """The prompt's text: `asking` writes the questions, `saying` everything else."""
        turns = [
            (asking(turn), saying(answer))
            for turn, (_, answer) in zip(asked, history, strict=False)
        ]
        return conversation_template.render(
            self.checkpoint.template, saying(self.system_message), turns, asking(asked[-1])
        )

    def _written(self, text: str) -> str:
        """A text of the user or the model, prepared for the tokenizer."""
        return self.tokenizer.literal(text) if self._as_text else text

    def _with_images(self, question: str) -> str:
        return _ONE_TOKEN_IMAGE.join(map(self._written, question.split(TAG)))

    def _encoded(
        self, question: str, num_images: int, history: Sequence[tuple[str, str]], media: Media
    ) -> tuple[np.ndarray, np.ndarray]:
        """The prompt's ids with one context token per image, and the positions of those tokens."""
        asked = self._asked(question, history, num_images, media)
        pieces = self._whole(asked, history, str, str).split(TAG)
        tags = sum(turn.count(TAG) for turn in asked) if self._as_text else len(pieces) - 1
        if tags != num_images:
            raise UnitError(
                "render",
                "bad_row",
                f"the prompt has {tags} {TAG} tags for {num_images} images. Write one tag an image,"
                " or none at all to have the images put in front of the question.",
            )
        if not self._as_text:
            ids = self.tokenizer.encode(_ONE_TOKEN_IMAGE.join(pieces))
            return ids, self._contexts(ids, pieces)
        ids = self.tokenizer.encode(self._whole(asked, history, self._with_images, self._written))
        contexts = np.flatnonzero(ids == self.tokenizer.image_context_id)
        self._prove(ids, len(contexts), num_images, len(history))
        return ids, contexts

    def _prove(self, ids: np.ndarray, contexts: int, num_images: int, turns: int) -> None:
        """Checks that no text has become an image or the end of a turn."""
        controls = int(np.isin(ids, self.tokenizer.control_ids).sum())
        if contexts == num_images and controls == self._controls(turns):
            return
        raise UnitError(
            "render",
            "bad_row",
            f"the prompt has {contexts} places for {num_images} images, and {controls} tokens that"
            f" begin or end turns instead of {self._controls(turns)}: a text in it spells a special"
            " token in a way that could not be kept apart. Write it otherwise.",
        )

    def _controls(self, turns: int) -> int:
        """Number of the template's tokens that begin or end something, in a prompt with this many
        earlier turns."""
        if turns not in self._controls_by_turns:
            bare = conversation_template.render(
                self.checkpoint.template, "", [("", "")] * turns, ""
            )
            ids = self.tokenizer.encode(bare)
            self._controls_by_turns[turns] = int(np.isin(ids, self.tokenizer.control_ids).sum())
        return self._controls_by_turns[turns]

    def _contexts(self, ids: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
        """Positions in `ids` of the images' context tokens, where special tokens are recognised.

        A question may contain ``<img><IMG_CONTEXT></img>`` itself, so the images' own are found by
        their place.
        """
        tokenizer = self.tokenizer
        found = np.flatnonzero(ids == tokenizer.image_context_id)
        found = found[(found > 0) & (found < len(ids) - 1)]
        framed = (ids[found - 1] == tokenizer.image_start_id) & (
            ids[found + 1] == tokenizer.image_end_id
        )
        quoted = np.cumsum([piece.count(_ONE_TOKEN_IMAGE) for piece in pieces[:-1]], dtype=np.int64)
        return found[framed][quoted + np.arange(len(pieces) - 1)]

    def _too_long(
        self, tokens: int, bare: int, num_tiles_per_image: Sequence[int], media: Media, room: int
    ) -> UnitError:
        """The error for a prompt of `tokens` tokens, `bare` of them without any media."""
        limit = self._context_length - room
        return UnitError(
            "render",
            "prompt_too_long",
            f"the prompt is {tokens} tokens, of which {sum(num_tiles_per_image)} tiles have "
            f"{self.checkpoint.tokens_per_tile} each; the context of {self._context_length} less "
            f"{room} for the answer leaves {limit}. "
            + self._mend(tokens, bare, num_tiles_per_image, media, limit),
        )

    def _mend(
        self, tokens: int, bare: int, num_tiles_per_image: Sequence[int], media: Media, limit: int
    ) -> str:
        """A suggestion for making the prompt fit."""
        per_tile = self.checkpoint.tokens_per_tile
        images, tiles = len(num_tiles_per_image), sum(num_tiles_per_image)
        if not images or bare >= limit:
            return "Shorten the question, or the history."
        if media == "video":
            return (
                f"{int((limit - bare) * images / (tokens - bare))} frames would fit: sample fewer."
            )
        fit = (limit - (tokens - tiles * per_tile)) // per_tile
        if fit < images:
            return "Give fewer images."
        if images > 1:
            return (
                f"{fit} tiles in all would fit: lower {keyword('max_tiles')}, or give fewer images."
            )
        without_thumbnail = fit - 1 if self.checkpoint.use_thumbnail and fit > 1 else fit
        return f"{fit} tiles would fit: {keyword('max_tiles', without_thumbnail)}."


def in_front(num_images: int, media: Media) -> str:
    """The text in front of a question that does not place its images, with an ``<image>`` tag for
    each."""
    if media == "video":
        return "".join(f"Frame{number}: {TAG}\n" for number in range(1, num_images + 1))
    if num_images == 1:
        return f"{TAG}\n"
    return "".join(f"Image-{number}: {TAG}\n" for number in range(1, num_images + 1))
