"""From a unit's media and question to what the engine takes: uint8 tiles and the token ids of the whole prompt."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy, safe_uri
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.image import ImageOptions, TiledImage, load_image
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.tiling import share_tile_budget
from internvl_ops.models.config import Checkpoint
from internvl_ops.models.rendering import Placeholder, Renderer

PREVIEW_SIDE = 320  # pixels of the longer side


@dataclass(frozen=True)
class MediaRef:
    """One image of a unit: where it is, or its bytes."""

    uri: str
    data: bytes | None = None


@dataclass(frozen=True)
class Unit:
    """What is asked about which images."""

    question: str
    media: Sequence[MediaRef]


@dataclass
class Prepared:
    """A unit ready for the engine.

    Args:
        token_ids: int32 of shape (tokens,), the whole prompt.
        tiles: uint8 of shape (tiles, 3, S, S), all images one after the other.
        images: Where each image stands in the prompt.
        hashes: For each image, a hash of its file and of how it was tiled; equal hashes mean equal tiles.
        width: Of the first image, upright, in pixels.
        height: Likewise.
        notes: What a reader of the result should know, such as "first frame of 12".
    """

    token_ids: np.ndarray
    tiles: np.ndarray
    images: list[Placeholder]
    hashes: list[str]
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


class Preparer:
    """Fetches, decodes, tiles and renders.

    Fetching happens in a background thread, many at a time; decoding in a process of its own, where a crash, a hang or
    a memory bomb costs one unit. Safe to call from several threads, which keeps the decoder busy while another call
    waits for its fetches.

    Args:
        checkpoint: Whose tile size and template to use.
        policy: Which URIs may be read.
        image: How images are decoded and tiled; ``tile_size`` and ``thumbnail`` are taken from the checkpoint.
        system_message: Instead of the checkpoint's.
        max_new_tokens: Room left in the context for the answer.
        max_bytes: Largest file fetched.
        fetch_timeout_s: Seconds one fetch may take.
        decode_timeout_s: Seconds one decode may take.
        decode_memory_mib: Memory one decode may take.
        trust_remote_code: Let a tokenizer's own code run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        policy: ReadPolicy,
        image: ImageOptions,
        *,
        system_message: str | None = None,
        max_new_tokens: int = 1,
        max_bytes: int = 1 << 28,
        fetch_timeout_s: float = 60,
        decode_timeout_s: float = 60,
        decode_memory_mib: int = 4096,
        trust_remote_code: bool = False,
    ) -> None:
        self._image = replace(image, tile_size=checkpoint.tile_size, thumbnail=checkpoint.use_thumbnail)
        self._renderer = Renderer(
            checkpoint,
            system_message=system_message,
            max_new_tokens=max_new_tokens,
            trust_remote_code=trust_remote_code,
        )
        self._fetcher = Fetcher(policy, max_bytes=max_bytes, timeout_s=fetch_timeout_s)
        self._sandbox = Sandbox(memory_limit=decode_memory_mib << 20)
        self._decode_timeout_s = decode_timeout_s

    def prepare(self, units: Sequence[Unit]) -> list[Prepared | UnitError]:
        """Prepares units side by side; the answers are in the order of ``units``, a failure is its unit's alone."""
        works = [_Work(unit) for unit in units]
        for work, place, file in self._files(works):
            if work.failure is None:
                work.failure = self._decode(work, place, file)
        return [work.failure or self._render(work) for work in works]

    def close(self) -> None:
        self._fetcher.close()
        self._sandbox.close()

    def _files(self, works: Sequence[_Work]) -> Iterator[tuple[_Work, int, bytes | UnitError]]:
        """Every image file as soon as it is there: inline bytes first, then in the order the store answers."""
        remote = []
        for work in works:
            for place, media in enumerate(work.unit.media):
                if media.data is None:
                    remote.append((work, place))
                else:
                    yield work, place, media.data
        for index, file in self._fetcher.stream([work.unit.media[place].uri for work, place in remote]):
            yield *remote[index], file

    def _decode(self, work: _Work, place: int, file: bytes | UnitError) -> UnitError | None:
        if isinstance(file, UnitError):
            return file
        options = replace(self._image, max_tiles=share_tile_budget(self._image.max_tiles, len(work.unit.media)))
        options = replace(options, min_tiles=min(options.min_tiles, options.max_tiles))
        try:
            work.images[place] = self._sandbox.call(load_image, file, options, timeout_s=self._decode_timeout_s)
        except UnitError as error:
            uri = work.unit.media[place].uri
            return UnitError(error.stage, error.kind, f"{safe_uri(uri)}: {error.message}" if uri else error.message)
        work.hashes[place] = hashlib.blake2b(file + repr(options).encode(), digest_size=16).hexdigest()
        return None

    def _render(self, work: _Work) -> Prepared | UnitError:
        images = [image for image in work.images if image is not None]
        try:
            rendered = self._renderer.render(work.unit.question, [len(image.tiles) for image in images])
        except UnitError as error:
            return error
        side = self._image.tile_size
        empty = np.empty((0, 3, side, side), np.uint8)
        return Prepared(
            token_ids=rendered.token_ids,
            tiles=images[0].tiles if len(images) == 1 else np.concatenate([empty, *(image.tiles for image in images)]),
            images=rendered.images,
            hashes=work.hashes,
            width=images[0].width if images else 0,
            height=images[0].height if images else 0,
            notes=[note for image in images for note in image.notes],
        )


class _Work:
    """A unit on its way through `Preparer.prepare`."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.images: list[TiledImage | None] = [None] * len(unit.media)
        self.hashes = [""] * len(unit.media)
        self.failure: UnitError | None = None


def preview(prepared: Prepared) -> bytes | None:
    """A small JPEG of the first image for the report, made from its thumbnail; ``None`` for a unit without images."""
    if not prepared.images:
        return None
    tile = prepared.tiles[prepared.images[0].num_tiles - 1]
    scale = PREVIEW_SIDE / max(prepared.width, prepared.height)
    size = max(1, round(prepared.width * scale)), max(1, round(prepared.height * scale))
    file = io.BytesIO()
    Image.fromarray(tile.transpose(1, 2, 0)).resize(size).save(file, "JPEG", quality=80)
    return file.getvalue()
