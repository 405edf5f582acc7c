"""Pictures of units: read as their run could read them, decoded in the sandbox, kept small in a
bounded folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.media.parts import Part
from internvl_ops.stores.redaction import safe_uri
from pipelines.output.media_places import media_kind_of
from pipelines.viewer.outputs import ViewedOutput

if TYPE_CHECKING:
    from internvl_ops.media_reader import MediaReader

SIDES = {"small": 360, "large": 1800}  # pixels of the longer side
_CACHE_BYTES = 256 << 20
_READERS = 4  # readers kept, each with a decoder process of its own
_MOST_FILES = 50  # files of one unit that are named


@dataclass(frozen=True)
class UnitMedia:
    """The media of one unit.

    Args:
        output: Number of the output.
        run_id: The run that made the unit.
        kind: Kind of the media.
        uris: The files, as the manifest names them.
        part: The part of the file that the unit is.
    """

    output: int
    run_id: str | None
    kind: Any
    uris: tuple[str, ...]
    part: Part

    @property
    def places(self) -> int:
        """How many pictures or videos there are: the images of one video are its frames."""
        return min(1, len(self.uris)) if self.kind == "video" else min(len(self.uris), _MOST_FILES)


def unit_media(
    output: ViewedOutput, number: int, names: Sequence[str], row: Mapping[str, Any]
) -> UnitMedia:
    """The media of a row of ``results/`` or ``errors/``.

    Args:
        output: The output.
        number: Its number.
        names: All columns of the table.
        row: The row, with its media column whole.
    """
    kind = media_kind_of(names)
    column = output.media_column(names)
    found = row.get(column) if column else None
    if found is None:
        found = row.get("media")  # of a unit that failed
    uris = [found] if isinstance(found, str) else list(found or ())
    part = Part(
        page=row.get("page"),
        start=_first(row.get("clip_start"), row.get("start")),
        end=_first(row.get("clip_end"), row.get("end")),
    )
    return UnitMedia(
        number,
        row.get("run_id"),
        kind,
        tuple(uri for uri in uris if isinstance(uri, str) and uri),
        part,
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if isinstance(value, int | float)), None)


def media_columns(output: ViewedOutput, names: Sequence[str]) -> list[str]:
    """The columns that `unit_media` needs."""
    column = output.media_column(names)
    wanted = (column or "", "media", "page", "clip_start", "clip_end", "start", "end", "run_id")
    return [name for name in dict.fromkeys(wanted) if name in names]


class Shelf:
    """Makes pictures of units and keeps them. Safe to use from several threads.

    Args:
        outputs: The outputs.
        folder: Folder for the pictures; the caller removes it.
        max_bytes: Bytes of pictures kept; the least recently used go first.
    """

    def __init__(
        self, outputs: Sequence[ViewedOutput], folder: Path, max_bytes: int = _CACHE_BYTES
    ) -> None:
        self._outputs, self._folder, self._max_bytes = outputs, folder, max_bytes
        self._readers: OrderedDict[tuple[Any, ...], MediaReader] = OrderedDict()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def described(self, media: UnitMedia, place: int, size: str) -> dict[str, Any]:
        """What there is to see in one place: the number of pictures, when each is shown, and notes.

        Raises:
            UnitError: It cannot be read or decoded.
        """
        return dict(json.loads(self._kept(media, place, size, "json")))

    def picture(self, media: UnitMedia, place: int, size: str, frame: int) -> bytes:
        """One picture as a JPEG file.

        Raises:
            UnitError: It cannot be read or decoded, or there is no such frame.
        """
        return self._kept(media, place, size, f"{frame}.jpg")

    def _kept(self, media: UnitMedia, place: int, size: str, what: str) -> bytes:
        if not 0 <= place < media.places:
            raise UnitError("fetch", "bad_row", "the output does not name this file")
        said = repr((media, place, size))
        key = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        with self._lock:
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:
            try:
                data = (self._folder / f"{key}.{what}").read_bytes()
            except FileNotFoundError:
                if not (self._folder / f"{key}.json").exists():
                    self._make(key, media, place, size)
                data = self._read(f"{key}.{what}")
            with self._lock:
                if key in self._sizes:
                    self._sizes.move_to_end(key)
        self._drop_oldest(key)
        return data

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise UnitError("decode", "bad_row", "there is no such frame") from None

    def _make(self, key: str, media: UnitMedia, place: int, size: str) -> None:
        from internvl_ops.media.display import as_jpeg
        from internvl_ops.media_reader import MediaRef, Unit

        uris = media.uris if media.kind == "video" else media.uris[place : place + 1]
        try:
            reader = self._reader(media)
            shown = reader.display(
                Unit((), [MediaRef(uri) for uri in uris], media.part), SIDES[size]
            )
        except ConfigurationError as error:
            raise UnitError("fetch", "refused", str(error)) from None
        except Exception as error:
            raise unforeseen("fetch", error) from None
        if isinstance(shown, UnitError):
            raise shown
        files = {
            f"{key}.{frame}.jpg": as_jpeg(pixels) for frame, pixels in enumerate(shown.pictures)
        }
        told = {"frames": len(shown.pictures), "times": shown.times, "notes": shown.notes}
        files[f"{key}.json"] = json.dumps(told).encode()  # last: it says that the others are there
        for name, data in files.items():
            (self._folder / name).write_bytes(data)
        with self._lock:
            self._sizes[key] = sum(map(len, files.values()))

    def _reader(self, media: UnitMedia) -> MediaReader:
        from internvl_ops.media_reader import MediaReader

        key = (media.output, media.run_id, media.kind)
        with self._lock:
            if key not in self._readers:
                output = self._outputs[media.output]
                if not output.access.media:
                    raise UnitError("fetch", "refused", "media are not read with --no-media")
                while len(self._readers) >= _READERS:
                    self._readers.popitem(last=False)[1].close()
                self._readers[key] = MediaReader(*output.reading(media.run_id, media.kind))
            self._readers.move_to_end(key)
            return self._readers[key]

    def _drop_oldest(self, used: str) -> None:
        with self._lock:
            while sum(self._sizes.values()) > self._max_bytes and len(self._sizes) > 1:
                oldest = next(key for key in self._sizes if key != used)
                del self._sizes[oldest]
                self._busy.pop(oldest, None)
                for path in self._folder.glob(f"{oldest}.*"):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Ends the decoders."""
        with self._lock:
            while self._readers:
                self._readers.popitem()[1].close()


def named_files(media: UnitMedia) -> list[str]:
    """The unit's files for a person: without credentials."""
    return [safe_uri(uri) for uri in media.uris[:_MOST_FILES]]
