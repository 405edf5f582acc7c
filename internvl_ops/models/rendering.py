"""From a question and its images' tile counts to the token ids of the whole prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.models import conversation
from internvl_ops.models.config import Checkpoint
from internvl_ops.models.tokenizer import IMAGE_CONTEXT, IMAGE_END, IMAGE_START, Tokenizer

TAG = "<image>"
_ONE_TOKEN_IMAGE = IMAGE_START + IMAGE_CONTEXT + IMAGE_END

Media = Literal["images", "video"]


@dataclass(frozen=True)
class Placeholder:
    """Where one image stands in the prompt.

    Attributes:
        offset: Position of ``<img>`` in the token ids.
        length: Tokens from ``<img>`` to ``</img>``, both counted: tokens_per_tile · num_tiles + 2.
        num_tiles: Tiles of the image, its thumbnail included.
    """

    offset: int
    length: int
    num_tiles: int


@dataclass(frozen=True)
class Rendered:
    """A prompt ready for the engine.

    Attributes:
        token_ids: int32, shape (tokens,).
        images: One entry an image, in the order of the prompt, which is the order of the tiles.
    """

    token_ids: np.ndarray
    images: list[Placeholder] = field(default_factory=list)


class Renderer:
    """Renders prompts for one checkpoint. Cheap to call: a prompt of 40 tiles is tokenised as one of 40 tokens.

    Args:
        checkpoint: Whose template, system message and tokenizer.
        system_message: Instead of the checkpoint's.
        context_length: Longest prompt and answer together, in tokens, if the engine runs with less than the
            checkpoint's.
        max_new_tokens: Room in the context that is kept for the answer.
        trust_remote_code: Whether a tokenizer that comes as code with the checkpoint may run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        system_message: str | None = None,
        context_length: int | None = None,
        max_new_tokens: int = 1,
        trust_remote_code: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.system_message = checkpoint.system_message if system_message is None else system_message
        self.tokenizer = Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        self._context_length = checkpoint.context_length if context_length is None else context_length
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
        """The ids that tokenising the prompt's full text would give, with every image's context tokens in place.

        Images go where ``<image>`` stands in the questions, history first. If none of them has one, the
        conversation's first question gets them in front, as the model cards write it: ``<image>`` alone for one image,
        ``Image-1: <image>`` and so on for several, ``Frame1: <image>`` and so on for a video.

        Args:
            question: What is asked now.
            num_tiles_per_image: Tiles of each image or frame, thumbnail included; empty for a text-only prompt.
            history: (question, answer) pairs of earlier turns, oldest first.
            media: Whether the images are images, or the frames of one video.
            max_new_tokens: Room for the answer, if other than the renderer's.

        Raises:
            UnitError: ``prompt_too_long``, with the number of tiles that would fit; or ``bad_row`` where the tags are
                not as many as the images.
        """
        text = self.text(question, len(num_tiles_per_image), history, media=media)
        pieces = text.split(TAG)
        if len(pieces) - 1 != len(num_tiles_per_image):
            raise UnitError(
                "render",
                "bad_row",
                f"the prompt has {len(pieces) - 1} {TAG} tags for {len(num_tiles_per_image)} images. Write one tag an "
                "image, or none at all to have the images put in front of the question.",
            )
        ids = self.tokenizer.encode(_ONE_TOKEN_IMAGE.join(pieces))
        repeats = np.ones(len(ids), dtype=np.int64)
        contexts = self._contexts(ids, pieces)
        repeats[contexts] = np.asarray(num_tiles_per_image, dtype=np.int64) * self.checkpoint.tokens_per_tile
        tokens = int(repeats.sum())
        room = max(1, max_new_tokens or self._max_new_tokens)
        if tokens > self._context_length - room:
            bare = len(self.tokenizer.encode(self.text(question, 0, history)))
            raise self._too_long(tokens, bare, num_tiles_per_image, media, room)
        starts = np.cumsum(repeats) - repeats
        images = [
            Placeholder(offset=int(starts[at]) - 1, length=int(repeats[at]) + 2, num_tiles=int(tiles))
            for at, tiles in zip(contexts, num_tiles_per_image, strict=True)
        ]
        return Rendered(token_ids=np.repeat(ids, repeats), images=images)

    def follow_up(self, question: str) -> np.ndarray:
        """The ids, int32, between an answer and the next, where `question` is asked after it."""
        return self.tokenizer.encode(conversation.follow_up(self.checkpoint.template, question), start=False)

    def text(
        self, question: str, num_images: int = 0, history: Sequence[tuple[str, str]] = (), *, media: Media = "images"
    ) -> str:
        """The prompt as text, with an ``<image>`` tag where an image goes."""
        asked = [*(turn for turn, _ in history), question]
        if num_images and not any(TAG in turn for turn in asked):
            asked[0] = in_front(num_images, media) + asked[0]
        answers = [answer for _, answer in history]
        turns = list(zip(asked[:-1], answers, strict=True))
        return conversation.render(self.checkpoint.template, self.system_message, turns, asked[-1])

    def _contexts(self, ids: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
        """Positions in `ids` of the images' context tokens.

        A question may quote ``<img><IMG_CONTEXT></img>`` itself, so that ours are told by their place among all.
        """
        tokenizer = self.tokenizer
        found = np.flatnonzero(ids == tokenizer.image_context_id)
        found = found[(found > 0) & (found < len(ids) - 1)]
        framed = (ids[found - 1] == tokenizer.image_start_id) & (ids[found + 1] == tokenizer.image_end_id)
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
            f"{room} for the answer leaves {limit}. " + self._mend(tokens, bare, num_tiles_per_image, media, limit),
        )

    def _mend(self, tokens: int, bare: int, num_tiles_per_image: Sequence[int], media: Media, limit: int) -> str:
        """What would make it fit."""
        per_tile = self.checkpoint.tokens_per_tile
        images, tiles = len(num_tiles_per_image), sum(num_tiles_per_image)
        if not images or bare >= limit:
            return "Shorten the question, or the history."
        if media == "video":
            return f"{int((limit - bare) * images / (tokens - bare))} frames would fit: sample fewer."
        fit = (limit - (tokens - tiles * per_tile)) // per_tile
        if fit < images:
            return "Give fewer images."
        if images > 1:
            return f"{fit} tiles in all would fit: lower --max-tiles, or give fewer images."
        return f"{fit} tiles would fit: --max-tiles {fit - 1 if self.checkpoint.use_thumbnail and fit > 1 else fit}."


def in_front(num_images: int, media: Media) -> str:
    """How images stand in front of a question that does not place them, each as an ``<image>`` tag."""
    if media == "video":
        return "".join(f"Frame{number}: {TAG}\n" for number in range(1, num_images + 1))
    if num_images == 1:
        return f"{TAG}\n"
    return "".join(f"Image-{number}: {TAG}\n" for number in range(1, num_images + 1))
