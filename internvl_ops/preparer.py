"""Prepares a unit for the engine: uint8 tiles, and the token ids of the whole prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from internvl_ops.engines.base import Sampling
from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.document_info import PageInfo
from internvl_ops.media.parts import DecodeOptions, Loaded
from internvl_ops.media.picture_stats import PictureStats
from internvl_ops.media.small import small_jpeg
from internvl_ops.media.text_layer import TextLayer
from internvl_ops.media_reader import MediaReader, MediaRef, ReadLimits, Unit, named_error
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Media, Renderer, SpecialTokens
from internvl_ops.rendered import ChatConversation, RenderedConversation
from internvl_ops.replies import BLANK, TEXT_LAYER
from internvl_ops.tasks.base import with_subtitles
from internvl_ops.tasks.conversation import Conversation
from internvl_ops.tasks.forms import repair_question
from internvl_ops.tasks.text_layer import with_anchors

__all__ = [
    "MediaReader",
    "MediaRef",
    "Prepared",
    "Preparer",
    "ReadLimits",
    "Unit",
    "UnitPreparer",
    "tile_preview",
]


@dataclass
class Prepared:
    """A unit ready for the engine.

    Args:
        conversations: Rendered, or as chats, in the unit's order.
        tiles: uint8 of shape (tiles, 3, S, S), of all images in order.
        tiles_per_image: Number of tiles of each image or frame.
        hashes: For each image or frame, a hash of its file and of its tiling options; equal hashes
            mean equal tiles.
        width: Width of the first image, upright, in pixels.
        height: Height of the first image, upright, in pixels.
        notes: What a reader of the result should know, such as "first frame of 12".
        version: Versions of the files when they were read, joined; see
            `internvl_ops.media.transports.Received`.
        pictures: Files instead of tiles, one per image or frame, for an engine that tiles by
            itself.
        stats: Measures of the first picture or page, if they were asked for.
        unasked: Why nothing is asked: `BLANK`, because its pictures or pages show nothing, or
            `TEXT_LAYER`, because the layer is the answer; empty if the engine is asked.
        layer: The text that a PDF stores for the page, if it was asked for.
        info: What a PDF says of the page and of itself; None for other media.
    """

    conversations: Sequence[RenderedConversation | ChatConversation]
    tiles: np.ndarray
    tiles_per_image: list[int]
    hashes: list[str]
    width: int
    height: int
    notes: list[str] = field(default_factory=list)
    version: str = ""
    pictures: list[bytes] = field(default_factory=list)
    stats: PictureStats | None = None
    unasked: str = ""
    layer: TextLayer | None = None
    info: PageInfo | None = None

    @property
    def num_tiles(self) -> int | None:
        """Number of tiles; None if the engine tiles."""
        return None if self.pictures else len(self.tiles)

    @property
    def num_images(self) -> int:
        """Number of images, or frames."""
        return len(self.pictures or self.tiles_per_image)


class UnitPreparer:
    """Reads the media of units in parallel; subclasses decide what is made of them."""

    def __init__(self, reader: MediaReader) -> None:
        self._media = reader

    def version(self, unit: Unit) -> str:
        """Versions of a unit's files when they were read, joined; empty if no file was read."""
        return joined_versions(map(self._media.version, unit.media))

    def prepare(self, units: Sequence[Unit]) -> list[Prepared | UnitError]:
        """Prepares units in parallel, in the order of ``units``; a failure affects only its own
        unit."""
        loaded: list[list[Loaded | None]] = [[None] * len(unit.media) for unit in units]
        hashes = [[b""] * len(unit.media) for unit in units]
        failed: dict[int, UnitError] = {}
        for row, place, source in self._media.files(units):
            if row in failed:
                continue
            outcome = (
                source if isinstance(source, UnitError) else self._load(source, units[row], place)
            )
            if isinstance(outcome, UnitError):
                failed[row] = outcome
            else:
                loaded[row][place] = outcome
                hashes[row][place] = self._hash(source, units[row], place)
        return [
            failed.get(row)
            or self._rendered(
                unit,
                [item for item in loaded[row] if item is not None],
                [digest for digest in hashes[row] if digest],
            )
            for row, unit in enumerate(units)
        ]

    def preview(self, prepared: Prepared) -> bytes | None:
        """A small JPEG of the first image for the report; ``None`` for a unit without images."""
        if not prepared.pictures:
            return tile_preview(prepared)
        return self._media.preview(prepared.pictures[0], prepared.width, prepared.height)

    def close(self) -> None:
        """Ends the reader's thread and process."""
        self._media.close()

    def _load(self, source: bytes | str, unit: Unit, place: int) -> Loaded | UnitError:
        try:
            return self._media.load(source, unit, place)
        except ConfigurationError:
            raise  # it would affect every other unit too
        except Exception as error:
            return named_error(unforeseen("decode", error), unit.media[place].uri)

    def _rendered(
        self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]
    ) -> Prepared | UnitError:
        try:
            times = [time for item in loaded for time in item.frame_times]
            asked = [with_subtitles(one, times) for one in unit.conversations]
            mode, layer = self._media.options.text_layer, loaded[0].seen.layer if loaded else None
            if mode == "prompt" and layer is not None:
                asked = [with_anchors(one, layer) for one in asked]
            prepared = self._render(replace(unit, conversations=asked), loaded, hashes)
            prepared.stats = loaded[0].seen.stats if loaded else None
            prepared.layer = layer
            prepared.info = loaded[0].seen.info if loaded else None
            if loaded and all(item.seen.blank for item in loaded):
                prepared.unasked = BLANK
            elif mode == "prefer" and layer is not None and not layer.doubts:
                prepared.unasked = TEXT_LAYER
            return prepared
        except ConfigurationError:
            raise
        except Exception as error:
            return unforeseen("render", error)

    def _hash(self, source: bytes | str | UnitError, unit: Unit, place: int) -> bytes:
        """Identifies tiles: by the file's bytes, or, for a file that is read in parts, by its URI
        and the part."""
        identity = source if isinstance(source, bytes) else unit.media[place].uri.encode()
        how = repr((unit.part, len(unit.media), self._media.options)).encode()
        return hashlib.blake2b(hashlib.blake2b(identity).digest() + how, digest_size=16).digest()

    def _render(self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]) -> Prepared:
        raise NotImplementedError

    def _gathered(
        self,
        unit: Unit,
        loaded: Sequence[Loaded],
        conversations: Sequence[RenderedConversation | ChatConversation],
        names: list[str],
        tile_size: int,
    ) -> Prepared:
        """The tiles of all files of a unit beside its conversations."""
        empty = np.empty((0, 3, tile_size, tile_size), np.uint8)
        return Prepared(
            conversations=conversations,
            tiles=loaded[0].tiles
            if len(loaded) == 1
            else np.concatenate([empty, *(item.tiles for item in loaded)]),
            tiles_per_image=[count for item in loaded for count in item.tiles_per_image],
            hashes=names,
            width=loaded[0].width if loaded else 0,
            height=loaded[0].height if loaded else 0,
            notes=[note for item in loaded for note in item.notes],
            version=joined_versions(map(self._media.version, unit.media)),
        )


class Preparer(UnitPreparer):
    """Reads media and renders prompts.

    Args:
        checkpoint: Provides tile size and template.
        reader: Policy, options and limits of a `MediaReader`.
        sampling: How answers are generated.
        system_message: Replaces the checkpoint's.
        combine_images: Put the images of a unit into the prompt as one, with all their tiles;
            otherwise each image is separate. The model cards show both.
        special_tokens: Whether special tokens in a row's text are plain text; see `Renderer`.
        context_length: Maximum length of prompt and answer together, in tokens, if it differs from
            the checkpoint's.
        trust_remote_code: Let a tokenizer's own code run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        reader: tuple[ReadPolicy, DecodeOptions, ReadLimits],
        *,
        sampling: Sampling,
        system_message: str | None = None,
        combine_images: bool = False,
        context_length: int | None = None,
        special_tokens: SpecialTokens = "text",
        trust_remote_code: bool = False,
    ) -> None:
        policy, options, limits = reader
        self._sampling, self._combine = sampling, combine_images
        self._tile_size = checkpoint.tile_size
        options = options.for_tiles(
            checkpoint.tile_size,
            checkpoint.use_thumbnail,
            dynamic=checkpoint.dynamic,
            fit="pad" if checkpoint.pad_to_square else "stretch",
        )
        super().__init__(MediaReader(policy, options, limits))
        self._renderer = Renderer(
            checkpoint,
            system_message=system_message,
            context_length=context_length,
            special_tokens=special_tokens,
            trust_remote_code=trust_remote_code,
        )

    def _render(self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]) -> Prepared:
        counts = [count for item in loaded for count in item.tiles_per_image]
        names = names_of_images(loaded, hashes)
        if self._combine and self._media.options.kind == "image" and len(counts) > 1:
            counts, names = [sum(counts)], ["+".join(names)]
        conversations = [
            self._conversation(one, counts, unit.sampling) for one in unit.conversations
        ]
        return self._gathered(unit, loaded, conversations, names, self._tile_size)

    def _conversation(
        self, asked: Conversation, counts: Sequence[int], sampling: Mapping[str, Any]
    ) -> RenderedConversation:
        how = conversation_sampling(asked, self._sampling, sampling)
        first, *others = asked.questions
        media: Media = "video" if self._media.options.kind == "video" else "images"
        rendered = self._renderer.render(
            first, counts, media=media, max_new_tokens=how.max_new_tokens
        )
        repair = repair_question(asked)
        return RenderedConversation(
            token_ids=rendered.token_ids,
            images=rendered.images,
            follow_ups=[self._renderer.follow_up(question) for question in others],
            repair=None if repair is None else self._renderer.follow_up(repair),
            sampling=how,
        )


def names_of_images(loaded: Sequence[Loaded], hashes: Sequence[bytes]) -> list[str]:
    """A name for each image or frame; equal names mean equal tiles."""
    return [
        f"{digest.hex()}-{frame}"
        for item, digest in zip(loaded, hashes, strict=True)
        for frame in range(len(item.tiles_per_image))
    ]


def joined_versions(versions: Iterable[str]) -> str:
    """The versions of a unit's files, joined."""
    return " ".join(versions).strip()


def conversation_sampling(asked: Conversation, job: Sampling, row: Mapping[str, Any]) -> Sampling:
    """How a conversation's answers are generated: the job's settings, with its own length and form,
    and the row's."""
    names = ("max_new_tokens", "json_schema", "choices", "candidates", "candidates_at")
    how = replace(job, **({name: getattr(asked, name) for name in names} | dict(row)))
    # An answer of a form ends where the form ends, however short it is.
    least = (
        asked.min_new_tokens if how.constrained else max(asked.min_new_tokens, how.min_new_tokens)
    )
    return replace(how, min_new_tokens=min(least, how.max_new_tokens))


def tile_preview(prepared: Prepared) -> bytes | None:
    """A small JPEG of the first image for the report; ``None`` for a unit without tiles.

    Pictures are files from outside: only `UnitPreparer.preview`, which has a sandbox, opens them.
    """
    if prepared.pictures or not prepared.num_images:
        return None
    tile = prepared.tiles[prepared.tiles_per_image[0] - 1]
    image = Image.fromarray(tile.transpose(1, 2, 0))
    return small_jpeg(image, prepared.width, prepared.height)
