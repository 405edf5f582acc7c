"""A unit's media, and the reader that fetches them and decodes them in a separate process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from internvl_ops.errors import ConfigurationError, UnitError, keyword, unforeseen
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.clips import scene_work
from internvl_ops.media.display import Displayed, display
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.file_cache import FileCache
from internvl_ops.media.frame_files import frames_of, pack_frames
from internvl_ops.media.office import OfficeConverter, office_suffix
from internvl_ops.media.parts import (
    WHOLE,
    DecodeOptions,
    Loaded,
    Part,
    count_image_tiles,
    list_parts,
    load,
)
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.small import small_jpeg_of
from internvl_ops.media.tiling import RESIZER, share_tile_budget
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks.conversation import Conversation


@dataclass(frozen=True)
class MediaRef:
    """One file of a unit: its location, or its bytes."""

    uri: str
    data: bytes | None = None


@dataclass(frozen=True)
class Unit:
    """Questions about one or several files, or about a part of a file.

    Args:
        conversations: The questions.
        media: The files.
        part: The part of the file, if not all of it.
        sampling: How answers are generated, if it differs from the rest of the job.
    """

    conversations: Sequence[Conversation]
    media: Sequence[MediaRef]
    part: Part = WHOLE
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """Limits for reading one file.

    Args:
        max_bytes: Maximum size of the file.
        fetch_timeout_s: Maximum seconds for one fetch.
        decode_timeout_s: Maximum seconds for one decode. Finding scenes decodes a whole video;
            there it is the limit per minute of 1080p at 30 frames per second.
        decode_memory_mib: Maximum memory for one decode.
    """

    max_bytes: int = 1 << 28
    fetch_timeout_s: float = 60
    decode_timeout_s: float = 60
    decode_memory_mib: int = 4096


class MediaReader:
    """Fetches and decodes: many fetches in parallel in the background, decoding in a separate
    process.

    A crash, a hang or a memory bomb in a decoder costs one unit. Safe to call from several threads,
    which keeps the decoder busy while another call waits for its fetches.

    Args:
        policy: Which URIs may be read.
        options: How to read them.
        limits: Limits for one file.
    """

    def __init__(self, policy: ReadPolicy, options: DecodeOptions, limits: ReadLimits) -> None:
        self.options = options
        self._fetcher = Fetcher(
            policy,
            max_bytes=limits.max_bytes,
            timeout_s=limits.fetch_timeout_s,
            frame_folders=options.kind == "video",
        )
        # Without the cache, every unit of a file that is several units would fetch the whole file.
        self._cache = FileCache(self._fetcher) if options.explodes else None
        self._sandbox = Sandbox(
            memory_limit=limits.decode_memory_mib << 20,
            preload=[RESIZER, small_jpeg_of.__module__],
            readable=[] if self._cache is None else [self._cache.folder],
        )
        self._timeout_s, self._max_bytes = limits.decode_timeout_s, limits.max_bytes
        self._office: OfficeConverter | None = None
        if self._cache is not None and options.kind == "document":
            self._office = OfficeConverter(
                self._cache.folder,
                self._office_suffix,
                timeout_s=limits.decode_timeout_s,
                memory_limit=limits.decode_memory_mib << 20,
                max_bytes=limits.max_bytes,
            )

    def _office_suffix(self, source: bytes | str) -> str:
        return self._sandbox.call(office_suffix, source, timeout_s=self._timeout_s)

    def files(self, units: Sequence[Unit]) -> Iterator[tuple[int, int, bytes | str | UnitError]]:
        """(unit, place in its media, bytes or local path or error) of every file, as soon as it is
        ready.

        If a video is needed, several images are its frames: they arrive as one file, in place 0.
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

    def _joined(
        self, files: dict[int, bytes | str | UnitError]
    ) -> Iterator[tuple[int, bytes | str | UnitError]]:
        """The files of one row of videos, by their place; or one video, if the files are its
        frames."""
        frames = frames_of(files[place] for place in sorted(files))
        if frames is None:
            yield from files.items()
        elif sum(map(len, frames)) > self._max_bytes:
            message = f"frames with more than {self._max_bytes:,} bytes together"
            yield (
                0,
                UnitError(
                    "fetch", "too_large", f"{message}. Raise {keyword('max_bytes')} to read them"
                ),
            )
        else:
            yield 0, pack_frames((f"{number:08}.jpg", data) for number, data in enumerate(frames))

    def _single_files(
        self, units: Sequence[Unit]
    ) -> Iterator[tuple[int, int, bytes | str | UnitError]]:
        remote = []
        for row, unit in enumerate(units):
            for place, media in enumerate(unit.media):
                if media.data is not None:
                    yield row, place, self._as_pdf(self._inline(media, media.data), media.uri)
                elif self._cache is not None:
                    yield row, place, self._as_pdf(self._cached(self._cache, media.uri), media.uri)
                else:
                    remote.append((row, place))
        for index, file in self._fetcher.stream(
            [units[row].media[place].uri for row, place in remote]
        ):
            yield *remote[index], file

    def _as_pdf(self, file: bytes | str | UnitError, uri: str) -> bytes | str | UnitError:
        """A document as PDF, if it is an office document; other files as they are."""
        if self._office is None or isinstance(file, UnitError):
            return file
        try:
            return self._office.pdf_of(file)
        except UnitError as error:
            return named_error(error, uri)
        except Exception as error:
            return named_error(unforeseen("decode", error), uri)

    def _inline(self, media: MediaRef, data: bytes) -> bytes | UnitError:
        if len(data) <= self._max_bytes:
            return data
        name = f"{safe_uri(media.uri)} in the manifest" if media.uri else "media in the manifest"
        text = f"{name} has {len(data):,} bytes, above the limit of {self._max_bytes:,}"
        return UnitError("fetch", "too_large", f"{text}. Raise {keyword('max_bytes')} to read it")

    def load(self, source: bytes | str, unit: Unit, place: int) -> Loaded | UnitError:
        """Decodes one file of ``unit``, or the unit's part of it."""
        options, max_tiles = self._how(unit, place)
        try:
            return self._sandbox.call(
                load, source, unit.part, options, max_tiles, timeout_s=self._timeout_s
            )
        except UnitError as error:
            return named_error(error, unit.media[place].uri)

    def _how(self, unit: Unit, place: int) -> tuple[DecodeOptions, int]:
        """How a file of ``unit`` is read, and the tiles that an image may have."""
        options, image = self.options, self.options.image
        if place and image.enlarge > 1:
            options = replace(options, image=replace(image, enlarge=1))
        return options, share_tile_budget(image.max_tiles, len(unit.media), rule=options.tile_share)

    def count_tiles(self, units: Sequence[Unit]) -> list[int | UnitError]:
        """Tiles of each unit of images, from its files' headers: nothing is decoded."""
        counts: list[int | UnitError] = [0] * len(units)
        for row, place, source in self.files(units):
            found = (
                source
                if isinstance(source, UnitError)
                else self._count_tiles(source, units[row], place)
            )
            so_far = counts[row]
            if isinstance(found, UnitError):
                counts[row] = found
            elif not isinstance(so_far, UnitError):
                counts[row] = so_far + found
        return counts

    def _count_tiles(self, source: bytes | str, unit: Unit, place: int) -> int | UnitError:
        options, max_tiles = self._how(unit, place)
        try:
            return self._sandbox.call(
                count_image_tiles, source, options, max_tiles, timeout_s=self._timeout_s
            )
        except UnitError as error:
            return named_error(error, unit.media[place].uri)

    def version(self, media: MediaRef) -> str:
        """The version of a file when it was read; empty for a file given as bytes."""
        return "" if media.data is not None else self._fetcher.version(media.uri)

    def preview(self, picture: bytes, width: int, height: int) -> bytes | None:
        """A small JPEG of a picture; None if it cannot be made, which is not an error."""
        try:
            return self._sandbox.call(
                small_jpeg_of, picture, width, height, timeout_s=self._timeout_s
            )
        except UnitError:
            return None

    def display(self, unit: Unit, side: int) -> Displayed | UnitError:
        """The picture of the first file of ``unit``, or its frames, for a person to look at; see
        `display`."""
        for _, place, source in self.files([unit]):
            if isinstance(source, UnitError):
                return source
            try:
                return self._sandbox.call(
                    display, source, unit.part, self.options, side, timeout_s=self._timeout_s
                )
            except UnitError as error:
                return named_error(error, unit.media[place].uri)
        return UnitError("fetch", "bad_row", "the unit has no media")

    def list_parts(self, unit: Unit) -> list[Part] | UnitError:
        """The units of the file of ``unit``."""
        for _, place, source in self.files([unit]):
            if isinstance(source, UnitError):
                return source
            try:
                return self._list_parts(source)
            except UnitError as error:
                return named_error(
                    UnitError("explode", error.kind, error.message, error.attempts),
                    unit.media[place].uri,
                )
        return [WHOLE]

    def _list_parts(self, source: bytes | str) -> list[Part]:
        clips, timeout_s = self.options.clips, self._timeout_s
        by_scenes = self.options.kind == "video" and clips is not None and clips.by == "scenes"
        if by_scenes:  # decodes the whole video, so the limit grows with the video
            timeout_s *= max(
                1.0, self._sandbox.call(scene_work, source, clips, timeout_s=timeout_s)
            )
        try:
            return self._sandbox.call(list_parts, source, self.options, timeout_s=timeout_s)
        except UnitError as error:
            if not by_scenes or error.kind != "timeout":
                raise
            # Not "timeout", which would be tried again: the same video would take as long the next
            # time.
            limit = keyword("decode_timeout_s", f"{self._timeout_s:g}")
            message = (
                f"finding its scenes takes longer than {timeout_s:,.0f} s, the time that {limit}"
                f" gives to a video of this length. Raise it, or split by {keyword('length_s')}"
            )
            raise UnitError("explode", "too_large", message) from None

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


def named_error(error: UnitError, uri: str) -> UnitError:
    """``error`` with the file's name in front, so that a list of errors is readable."""
    message = f"{safe_uri(uri)}: {error.message}" if uri else error.message
    return UnitError(error.stage, error.kind, message, error.attempts)
