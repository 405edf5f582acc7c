"""Prepares a unit for an engine of vectors: uint8 tiles, the token ids of a text, or the text."""

from __future__ import annotations

import numpy as np

from internvl_ops.engines.base import Chat, Sampling
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fits import Fit
from internvl_ops.media.parts import DecodeOptions, Loaded
from internvl_ops.media_reader import MediaReader, ReadLimits, Unit
from internvl_ops.models.encoders.config import Encoder
from internvl_ops.models.encoders.texts import PREFIX, text_tokenizer
from internvl_ops.preparer import Prepared, UnitPreparer, names_of_images
from internvl_ops.rendered import ChatConversation, RenderedConversation

_SAMPLING = Sampling(max_new_tokens=0)  # an engine of vectors ignores it


class VectorPreparer(UnitPreparer):
    """Reads media; a unit without media is its text.

    Args:
        encoder: Provides the size of a picture, and the tokenizer of texts.
        reader: Policy, options and limits of a `MediaReader`.
        fit: How a picture gets the shape of a square; None as the encoder's card does it.
        texts: Whether units are texts.
        prefix: Stands before every text.
        longest: As in `text_tokenizer`.
    """

    def __init__(
        self,
        encoder: Encoder,
        reader: tuple[ReadPolicy, DecodeOptions, ReadLimits],
        *,
        fit: Fit | None = None,
        texts: bool = False,
        prefix: str = PREFIX,
        longest: int | None = None,
    ) -> None:
        policy, options, limits = reader
        self._side, self._prefix = encoder.tile_size, prefix
        options = options.for_tiles(
            encoder.tile_size, encoder.use_thumbnail, fit=fit or encoder.fit
        )
        super().__init__(MediaReader(policy, options, limits))
        self._served = encoder.layout == "served"
        self._tokenizer = text_tokenizer(encoder, longest) if texts and not self._served else None

    def _render(self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]) -> Prepared:
        conversations: list[RenderedConversation | ChatConversation] = []
        notes = []
        for asked in unit.conversations:
            if self._served:
                chat = Chat(self._prefix + asked.questions[0])
                conversations.append(ChatConversation(chat, [], None, _SAMPLING))
                continue
            ids = np.empty(0, np.int32)
            if self._tokenizer is not None:
                ids, cut = self._tokenizer.encode(asked.questions[0], prefix=self._prefix)
                notes += (
                    [
                        f"the text is longer than {self._tokenizer.longest} tokens;"
                        " the rest was left out"
                    ]
                    if cut
                    else []
                )
            conversations.append(RenderedConversation(ids, [], [], None, _SAMPLING))
        prepared = self._gathered(
            unit, loaded, conversations, names_of_images(loaded, hashes), self._side
        )
        prepared.notes += notes
        return prepared
