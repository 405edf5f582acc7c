"""From a unit's media and question to what the engine takes: uint8 tiles and the token ids of the whole prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from internvl_ops.engines.base import Sampling
from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.generation import ChatConversation, RenderedConversation
from internvl_ops.media.access import ReadPolicy, safe_uri
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.file_cache import FileCache
from internvl_ops.media.frame_files import frames_of, pack_frames
from internvl_ops.media.parts import WHOLE, Loaded, MediaOptions, Part, count_image_tiles, list_parts, load
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.small import small_jpeg, small_jpeg_of
from internvl_ops.media.tiling import RESIZER, share_tile_budget
from internvl_ops.models.config import Checkpoint
from internvl_ops.models.rendering import Media, Renderer, SpecialTokens
from internvl_ops.tasks.base import Conversation
from internvl_ops.tasks.forms import repair_question


@dataclass(frozen=True)
class MediaRef:
    """One file of a unit: where it is, or its bytes."""

    uri: str
    data: bytes | None = None


@dataclass(frozen=True)
class Unit:
    """What is asked about which files, or which part of one.

    Args:
        conversations: What is asked.
        media: The files.
        part: Of the file, if not all of it.
        sampling: How answers are generated, where it is not as in the rest of the job.
    """

    conversations: Sequence[Conversation]
    media: Sequence[MediaRef]
    part: Part = WHOLE
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Prepared:
    """A unit ready for the engine.

    Args:
        conversations: Rendered, or as chats, in the order of the unit's.
        tiles: uint8 of shape (tiles, 3, S, S), all images one after the other.
        tiles_per_image: How many are of each image or frame.
        hashes: For each image or frame, a hash of its file and of how it was tiled; equal hashes mean equal tiles.
        width: Of the first one, upright, in pixels.
        height: Likewise.
        notes: What a reader of the result should know, such as "first frame of 12".
        version: Of the files as they were read, one after the other; see `internvl_ops.media.transports.Received`.
        pictures: Files, one an image or frame, instead of tiles, for an engine that tiles itself.
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

    @property
    def num_tiles(self) -> int | None:
        """None where the engine tiles."""
        return None if self.pictures else len(self.tiles)

    @property
    def num_images(self) -> int:
        """Images, or frames."""
        return len(self.pictures or self.tiles_per_image)


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """What reading one file may cost.

    Args:
        max_bytes: Size of the file.
        fetch_timeout_s: Seconds one fetch may take.
        decode_timeout_s: Seconds one decode may take.
        decode_memory_mib: Memory one decode may take.
    """

    max_bytes: int = 1 << 28
    fetch_timeout_s: float = 60
    decode_timeout_s: float = 60
    decode_memory_mib: int = 4096


class MediaReader:
    """Fetches and decodes: many fetches at a time in the background, decoding in a process of its own.

    A crash, a hang or a memory bomb in a decoder costs one unit. Safe to call from several threads, which keeps the
    decoder busy while another call waits for its fetches.

    Args:
        policy: Which URIs may be read.
        options: How.
        limits: What one file may cost.
    """

    def __init__(self, policy: ReadPolicy, options: MediaOptions, limits: ReadLimits) -> None:
        self.options = options
        self._fetcher = Fetcher(
            policy,
            max_bytes=limits.max_bytes,
            timeout_s=limits.fetch_timeout_s,
            frame_folders=options.kind == "video",
        )
        # Of a file that is several units every unit would fetch the whole.
        self._cache = FileCache(self._fetcher) if options.explodes else None
        self._sandbox = Sandbox(
            memory_limit=limits.decode_memory_mib << 20,
            preload=[RESIZER, small_jpeg_of.__module__],
            readable=[] if self._cache is None else [self._cache.folder],
        )
        self._timeout_s, self._max_bytes = limits.decode_timeout_s, limits.max_bytes

    def files(self, units: Sequence[Unit]) -> Iterator[tuple[int, int, bytes | str | UnitError]]:
        """(unit, place in its media, bytes or local path or error) of every file, as soon as it is there.

        Several images where a video is wanted are its frames: they come as one file, in place 0.
        """
        if self.options.kind != "video":
            yield from self._single_files(units)
            return
        several: dict[int, dict[int, bytes | str | UnitError]] = {}
        for row, place, file in self._single_files(units):
            media = units[row].media
            if len(media) == 1:
                yield row, place, file
                continue
            found = several.setdefault(row, {})
            found[place] = file
            if len(found) == len(media):
                yield from ((row, place, file) for place, file in self._joined(several.pop(row)))

    def _joined(self, files: dict[int, bytes | str | UnitError]) -> Iterator[tuple[int, bytes | str | UnitError]]:
        """The files of one row of videos, by their place, or the one video whose frames they are."""
        frames = frames_of(files[place] for place in sorted(files))
        if frames is None:
            yield from files.items()
        elif sum(map(len, frames)) > self._max_bytes:
            message = f"frames with more than {self._max_bytes:,} bytes together. Raise --max-bytes to read them"
            yield 0, UnitError("fetch", "too_large", message)
        else:
            yield 0, pack_frames((f"{number:08}.jpg", data) for number, data in enumerate(frames))

    def _single_files(self, units: Sequence[Unit]) -> Iterator[tuple[int, int, bytes | str | UnitError]]:
        remote = []
        for row, unit in enumerate(units):
            for place, media in enumerate(unit.media):
                if media.data is not None:
                    yield row, place, self._inline(media, media.data)
                elif self._cache is not None:
                    yield row, place, self._cached(self._cache, media.uri)
                else:
                    remote.append((row, place))
        for index, file in self._fetcher.stream([units[row].media[place].uri for row, place in remote]):
            yield *remote[index], file

    def _inline(self, media: MediaRef, data: bytes) -> bytes | UnitError:
        if len(data) <= self._max_bytes:
            return data
        name = f"{safe_uri(media.uri)} in the manifest" if media.uri else "media in the manifest"
        text = f"{name} has {len(data):,} bytes, above the limit of {self._max_bytes:,}. Raise --max-bytes to read it"
        return UnitError("fetch", "too_large", text)

    def load(self, source: bytes | str, unit: Unit, place: int) -> Loaded | UnitError:
        """Decodes one file of ``unit``, or the part that the unit is."""
        max_tiles = share_tile_budget(self.options.image.max_tiles, len(unit.media))
        try:
            return self._sandbox.call(load, source, unit.part, self.options, max_tiles, timeout_s=self._timeout_s)
        except UnitError as error:
            return _named(error, unit.media[place].uri)

    def count_tiles(self, units: Sequence[Unit]) -> list[int | UnitError]:
        """Tiles of each unit of images, by the headers of its files: nothing is decoded."""
        counts: list[int | UnitError] = [0] * len(units)
        for row, place, source in self.files(units):
            found = source if isinstance(source, UnitError) else self._count_tiles(source, units[row], place)
            so_far = counts[row]
            if isinstance(found, UnitError):
                counts[row] = found
            elif not isinstance(so_far, UnitError):
                counts[row] = so_far + found
        return counts

    def _count_tiles(self, source: bytes | str, unit: Unit, place: int) -> int | UnitError:
        max_tiles = share_tile_budget(self.options.image.max_tiles, len(unit.media))
        try:
            return self._sandbox.call(count_image_tiles, source, self.options, max_tiles, timeout_s=self._timeout_s)
        except UnitError as error:
            return _named(error, unit.media[place].uri)

    def version(self, media: MediaRef) -> str:
        """The version of a file as it was read; empty for one that was given as bytes."""
        return "" if media.data is not None else self._fetcher.version(media.uri)

    def preview(self, picture: bytes, width: int, height: int) -> bytes | None:
        """A small JPEG of a picture; None where it cannot be made, which is no matter."""
        try:
            return self._sandbox.call(small_jpeg_of, picture, width, height, timeout_s=self._timeout_s)
        except UnitError:
            return None

    def list_parts(self, unit: Unit) -> list[Part] | UnitError:
        """The units that the file of ``unit`` is."""
        for _, place, source in self.files([unit]):
            if isinstance(source, UnitError):
                return source
            try:
                return self._sandbox.call(list_parts, source, self.options, timeout_s=self._timeout_s)
            except UnitError as error:
                return _named(UnitError("explode", error.kind, error.message, error.attempts), unit.media[place].uri)
        return [WHOLE]

    def close(self) -> None:
        """Ends the background thread and the decoder's process."""
        self._fetcher.close()
        self._sandbox.close()
        if self._cache is not None:
            self._cache.close()

    def _cached(self, cache: FileCache, uri: str) -> str | UnitError:
        try:
            return cache.path(uri)
        except ConfigurationError:
            raise
        except Exception as error:
            return unforeseen("fetch", error)


class UnitPreparer:
    """Reads the media of units side by side; a kind of preparer says what becomes of them."""

    def __init__(self, reader: MediaReader) -> None:
        self._media = reader

    def prepare(self, units: Sequence[Unit]) -> list[Prepared | UnitError]:
        """Prepares units side by side; the answers are in the order of ``units``, a failure is its unit's alone."""
        loaded: list[list[Loaded | None]] = [[None] * len(unit.media) for unit in units]
        hashes = [[b""] * len(unit.media) for unit in units]
        failed: dict[int, UnitError] = {}
        for row, place, source in self._media.files(units):
            if row in failed:
                continue
            outcome = source if isinstance(source, UnitError) else self._load(source, units[row], place)
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
            return preview(prepared)
        return self._media.preview(prepared.pictures[0], prepared.width, prepared.height)

    def close(self) -> None:
        """Ends what the reader started."""
        self._media.close()

    def _load(self, source: bytes | str, unit: Unit, place: int) -> Loaded | UnitError:
        try:
            return self._media.load(source, unit, place)
        except Exception as error:
            return _named(unforeseen("decode", error), unit.media[place].uri)

    def _rendered(self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]) -> Prepared | UnitError:
        try:
            return self._render(unit, loaded, hashes)
        except Exception as error:
            return unforeseen("render", error)

    def _hash(self, source: bytes | str | UnitError, unit: Unit, place: int) -> bytes:
        """Tells tiles apart: by the file's bytes, or of a file read in parts by its URI and the part."""
        identity = source if isinstance(source, bytes) else unit.media[place].uri.encode()
        how = repr((unit.part, len(unit.media), self._media.options)).encode()
        return hashlib.blake2b(hashlib.blake2b(identity).digest() + how, digest_size=16).digest()

    def _render(self, unit: Unit, loaded: list[Loaded], hashes: list[bytes]) -> Prepared:
        raise NotImplementedError


class Preparer(UnitPreparer):
    """Reads media and renders prompts.

    Args:
        checkpoint: Whose tile size and template to use.
        reader: Policy, options and limits of a `MediaReader`.
        sampling: How answers are generated.
        system_message: Instead of the checkpoint's.
        combine_images: Several images of a unit stand in the prompt as one, all their tiles together; otherwise each
            for itself. The model cards show both.
        special_tokens: Whether special tokens that a row's text spells are text; see `Renderer`.
        context_length: Longest prompt and answer together, in tokens, if other than the checkpoint's.
        trust_remote_code: Let a tokenizer's own code run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        reader: tuple[ReadPolicy, MediaOptions, ReadLimits],
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
            pad=checkpoint.pad_to_square,
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
        names = [
            f"{digest.hex()}-{frame}"
            for item, digest in zip(loaded, hashes, strict=True)
            for frame in range(len(item.tiles_per_image))
        ]
        if self._combine and self._media.options.kind == "image" and len(counts) > 1:
            counts, names = [sum(counts)], ["+".join(names)]
        conversations = [self._conversation(one, counts, unit.sampling) for one in unit.conversations]
        empty = np.empty((0, 3, self._tile_size, self._tile_size), np.uint8)
        return Prepared(
            conversations=conversations,
            tiles=loaded[0].tiles if len(loaded) == 1 else np.concatenate([empty, *(item.tiles for item in loaded)]),
            tiles_per_image=[count for item in loaded for count in item.tiles_per_image],
            hashes=names,
            width=loaded[0].width if loaded else 0,
            height=loaded[0].height if loaded else 0,
            notes=[note for item in loaded for note in item.notes],
            version=joined_versions(map(self._media.version, unit.media)),
        )

    def _conversation(
        self, asked: Conversation, counts: Sequence[int], sampling: Mapping[str, Any]
    ) -> RenderedConversation:
        how = sampling_of(asked, self._sampling, sampling)
        first, *others = asked.questions
        media: Media = "video" if self._media.options.kind == "video" else "images"
        rendered = self._renderer.render(first, counts, media=media, max_new_tokens=how.max_new_tokens)
        repair = repair_question(asked)
        return RenderedConversation(
            token_ids=rendered.token_ids,
            images=rendered.images,
            follow_ups=[self._renderer.follow_up(question) for question in others],
            repair=None if repair is None else self._renderer.follow_up(repair),
            sampling=how,
        )


def joined_versions(versions: Iterable[str]) -> str:
    """The versions of a unit's files as one."""
    return " ".join(versions).strip()


def sampling_of(asked: Conversation, job: Sampling, row: Mapping[str, Any]) -> Sampling:
    """How a conversation's answers are generated: as in the job, but of its length and form, and as its row says."""
    own = {"max_new_tokens": asked.max_new_tokens, "json_schema": asked.json_schema, "choices": asked.choices}
    return replace(job, **(own | dict(row)))


def preview(prepared: Prepared) -> bytes | None:
    """A small JPEG of the first image for the report; ``None`` for a unit without tiles.

    Pictures are files as they came: only `UnitPreparer.preview`, which has a sandbox, looks into them.
    """
    if prepared.pictures or not prepared.num_images:
        return None
    tile = prepared.tiles[prepared.tiles_per_image[0] - 1]
    image = Image.fromarray(tile.transpose(1, 2, 0))
    return small_jpeg(image, prepared.width, prepared.height)


def _named(error: UnitError, uri: str) -> UnitError:
    """``error`` with the file's name in front, so that a list of errors can be read."""
    message = f"{safe_uri(uri)}: {error.message}" if uri else error.message
    return UnitError(error.stage, error.kind, message, error.attempts)
