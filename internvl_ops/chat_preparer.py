"""Prepares a unit for an engine that renders and tiles by itself: texts and pictures."""

from __future__ import annotations

from dataclasses import replace

from internvl_ops.engines.base import Chat, Sampling
from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.parts import NO_TILES, DecodeOptions, Loaded
from internvl_ops.models.prompts.rendering import TAG, in_front
from internvl_ops.preparer import (
    MediaReader,
    Prepared,
    ReadLimits,
    Unit,
    UnitPreparer,
    conversation_sampling,
    joined_versions,
)
from internvl_ops.rendered import ChatConversation
from internvl_ops.tasks.conversation import Conversation
from internvl_ops.tasks.forms import repair_question


class ChatPreparer(UnitPreparer):
    """Reads media as upright pictures and places them in the first question. Nothing is cut into
    tiles.

    Args:
        reader: Policy, options and limits of a `MediaReader`.
        sampling: How answers are generated.
        system_message: None uses the engine's own template.
        tile_size: The model's tile size, in pixels: frames and pages are drawn to fill its tiles.
    """

    def __init__(
        self,
        reader: tuple[ReadPolicy, DecodeOptions, ReadLimits],
        *,
        sampling: Sampling,
        system_message: str | None = None,
        tile_size: int = 448,
    ) -> None:
        policy, options, limits = reader
        self._sampling, self._system_message = sampling, system_message
        options = replace(options.for_tiles(tile_size, thumbnail=True), as_pictures=True)
        super().__init__(MediaReader(policy, options, limits))

    def _render(self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]) -> Prepared:
        pictures = [picture for item in loaded for picture in item.pictures]
        max_tiles = max((item.max_tiles for item in loaded), default=None)
        conversations = [
            self._conversation(one, len(pictures), max_tiles, unit) for one in unit.conversations
        ]
        return Prepared(
            conversations=conversations,
            tiles=NO_TILES,
            tiles_per_image=[],
            hashes=[],
            width=loaded[0].width if loaded else 0,
            height=loaded[0].height if loaded else 0,
            notes=[note for item in loaded for note in item.notes],
            version=joined_versions(map(self._media.version, unit.media)),
            pictures=pictures,
        )

    def _conversation(
        self, asked: Conversation, num_pictures: int, max_tiles: int | None, unit: Unit
    ) -> ChatConversation:
        first, *others = asked.questions
        tags = first.count(TAG)
        if num_pictures and not tags:
            video = self._media.options.kind == "video"
            first = in_front(num_pictures, "video" if video else "images") + first
        elif tags != num_pictures:
            raise UnitError(
                "render",
                "bad_row",
                f"the prompt has {tags} {TAG} tags for {num_pictures} images. Write one tag an"
                " image, or none at all to have the images put in front of the question.",
            )
        return ChatConversation(
            chat=Chat(first, system_message=self._system_message, max_tiles=max_tiles),
            follow_ups=others,
            repair=repair_question(asked),
            sampling=conversation_sampling(asked, self._sampling, unit.sampling),
        )
