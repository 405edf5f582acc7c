"""The pages of a TIFF, each as a TIFF file of its own, so that whatever reads images reads them.

Only directories are read, and of a page only its own bytes, so memory does not grow with the number
of pages. The layout is that of TIFF 6.0 and of BigTIFF.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from internvl_ops.errors import UnitError, keyword

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_SUBFILE, _OLD_SUBFILE, _ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION = 254, 255, 274, 282, 283
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_PARTS = ((273, 279), (324, 325))  # the offsets and byte counts of strips, and of tiles
_DIRECTORIES = frozenset({330, 34665, 34853, 40965})  # tags that point to further directories
_MOST_ENTRIES = 4096
_SIDEWAYS = range(5, 9)
_SAME, _MOST_STRETCHED = 0.02, 5.0  # beyond that, the resolutions are nonsense


class Bytes(Protocol):
    """Bytes, or a file mapped into memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: slice, /) -> bytes: ...


@dataclass(frozen=True)
class TiffPage:
    """One page.

    Args:
        data: A TIFF file that has this page alone.
        stretch: By how much the upright page is to be made higher, so that its pixels are square; 1
            for most. Faxes of the standard resolution have half as many lines as columns an inch.
    """

    data: bytes
    stretch: float


@dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    field: bytes  # the value, or where it lies


class _Form:
    """How numbers are laid out in a file: the order of bytes, and whether offsets have 4 or 8."""

    def __init__(self, head: bytes) -> None:
        self.order = {b"II": "<", b"MM": ">"}[head[:2]]
        self.big = head[2:4] in (b"+\0", b"\0+")
        self.wide = 8 if self.big else 4
        self.start = self.offset(head[8:16] if self.big else head[4:8])

    def offset(self, data: bytes) -> int:
        return int(struct.unpack(self.order + ("Q" if self.big else "I"), data)[0])

    def header(self) -> bytes:
        magic = b"II" if self.order == "<" else b"MM"
        if self.big:
            return magic + struct.pack(self.order + "HHHQ", 43, 8, 0, 16)
        return magic + struct.pack(self.order + "HI", 42, 8)

    def directory(self, file: Bytes, at: int) -> tuple[list[_Entry], int]:
        """The entries of a directory, and the offset of the next one."""
        wide = 8 if self.big else 2
        (count,) = struct.unpack(self.order + ("Q" if self.big else "H"), file[at : at + wide])
        if not 0 < count <= _MOST_ENTRIES:
            raise ValueError(f"a directory of {count:,} entries")
        size = 20 if self.big else 12
        raw = file[at + wide : at + wide + size * count]
        form = struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))
        entries = [_Entry(*fields) for fields in form.iter_unpack(raw)]
        if len(entries) != count:
            raise ValueError("a directory that ends early")
        at += wide + size * count
        return entries, self.offset(file[at : at + self.wide])

    def value(self, file: Bytes, entry: _Entry) -> bytes:
        size = _SIZES[entry.kind] * entry.count
        if size <= self.wide:
            return entry.field[:size]
        at = self.offset(entry.field)
        value = file[at : at + size]
        if len(value) != size:
            raise ValueError(f"tag {entry.tag} ends early")
        return value

    def numbers(self, file: Bytes, entry: _Entry | None) -> list[int]:
        if entry is None:
            return []
        return list(
            struct.unpack(
                f"{self.order}{entry.count}{_NUMBERS[entry.kind]}", self.value(file, entry)
            )
        )


class TiffPages:
    """The pages of a TIFF: its directories, without those that hold smaller copies and masks of
    others.

    A directory that cannot be read is a page too, which fails when it is asked for; so no page is
    missing silently.

    Args:
        file: The file.
        max_pages: Files with more pages are refused.

    Raises:
        UnitError: "corrupt" for a file whose first directory cannot be read or whose directories
            run in a circle, "too_large".
    """

    def __init__(self, file: Bytes, max_pages: int) -> None:
        self._file = file
        try:
            self._form = _Form(file[:16])
            self._places = self._walk(max_pages)
        except (struct.error, ValueError, KeyError) as error:
            raise _corrupt(f"a TIFF whose pages cannot be found ({error})") from None

    def __len__(self) -> int:
        return len(self._places)

    def _walk(self, max_pages: int) -> list[int | None]:
        """Offsets of the pages' directories; None for one that is not there."""
        places: list[int | None] = []
        copies: list[int | None] = []
        seen: set[int] = set()
        at = self._form.start
        while at:
            if at in seen:
                raise _corrupt(
                    "a TIFF whose directories run in a circle; no program can say how many pages"
                    " it has"
                )
            if len(seen) >= 4 * max_pages or len(places) > max_pages:
                message = (
                    f"more than {max_pages:,} pages are not allowed: raise {keyword('max_pages')}"
                )
                raise UnitError("decode", "too_large", message)
            seen.add(at)
            try:
                entries, following = self._form.directory(self._file, at)
                is_copy = self._is_copy(entries)
            except (struct.error, ValueError, KeyError):
                if not places:
                    raise
                places.append(None)
                break
            (copies if is_copy else places).append(at)
            at = following
        found = places or copies
        if len(found) > max_pages:
            message = (
                f"{len(found):,} pages; at most {max_pages:,} are allowed: raise"
                f" {keyword('max_pages')}"
            )
            raise UnitError("decode", "too_large", message)
        if not found:
            raise _corrupt("a TIFF without a page")
        return found

    def _is_copy(self, entries: list[_Entry]) -> bool:
        for entry in entries:
            if entry.tag == _SUBFILE and entry.kind in _NUMBERS:
                return any(
                    kind & (_REDUCED | _MASK) for kind in self._form.numbers(self._file, entry)
                )
            if entry.tag == _OLD_SUBFILE and entry.kind in _NUMBERS:
                return _OLD_REDUCED in self._form.numbers(self._file, entry)
        return False

    def page(self, number: int) -> TiffPage:
        """A page by its number, from 1.

        Raises:
            UnitError: "bad_row" if there is no such page; "corrupt".
        """
        if not 1 <= number <= len(self._places):
            message = f"page {number} is not there: the document has {len(self._places)} pages"
            raise UnitError("decode", "bad_row", message)
        place = self._places[number - 1]
        if place is None:
            raise _corrupt(
                f"page {number} and all after it are missing: the TIFF ends before them; fetch it"
                " again"
            )
        try:
            entries, _ = self._form.directory(self._file, place)
            kept = {
                entry.tag: entry
                for entry in entries
                if entry.tag not in _DIRECTORIES and entry.kind in _SIZES
            }
            return TiffPage(self._cut_out(kept), self._stretch(kept))
        except (struct.error, ValueError, KeyError) as error:
            raise _corrupt(
                f"page {number} is damaged ({error}); the other pages may not be"
            ) from None

    def _cut_out(self, entries: dict[int, _Entry]) -> bytes:
        """A file of this page alone."""
        form, offsets_of = self._form, dict(_PARTS)
        head = form.header()
        entry_bytes = 20 if form.big else 12
        at = len(head) + (8 if form.big else 2) + entry_bytes * len(entries) + form.wide
        listed, behind = [], []

        def place(data: bytes) -> int:
            """Puts data behind the directory, at an even place."""
            nonlocal at
            start = at
            behind.append(data + b"\0" * (len(data) % 2))
            at += len(behind[-1])
            return start

        for tag in sorted(entries):
            entry = entries[tag]
            if tag in offsets_of:
                starts = [place(data) for data in self._parts(entry, entries.get(offsets_of[tag]))]
                kind, value = (
                    16 if form.big else 4,
                    struct.pack(f"{form.order}{len(starts)}{'QI'[not form.big]}", *starts),
                )
            else:
                kind, value = entry.kind, form.value(self._file, entry)
            count = len(value) // _SIZES[kind]
            if len(value) > form.wide:
                value = struct.pack(form.order + ("Q" if form.big else "I"), place(value))
            listed.append(
                struct.pack(form.order + ("HHQ" if form.big else "HHI"), tag, kind, count)
                + value.ljust(form.wide, b"\0")
            )
        number = struct.pack(form.order + ("Q" if form.big else "H"), len(listed))
        return b"".join([head, number, *listed, bytes(form.wide), *behind])

    def _parts(self, offsets: _Entry, counts: _Entry | None) -> list[bytes]:
        """The strips or tiles of a page. One that ends early stays as it is; whoever decodes the
        page sees it."""
        starts, sizes = (
            self._form.numbers(self._file, offsets),
            self._form.numbers(self._file, counts),
        )
        if not sizes and len(starts) == 1:  # old writers leave it out where nothing is compressed
            sizes = [max(0, len(self._file) - starts[0])]
        if len(sizes) != len(starts):
            raise ValueError(f"{len(starts):,} pieces with {len(sizes):,} sizes")
        if sum(sizes) > 2 * len(self._file):
            raise ValueError("pieces that are larger than the file")
        return [self._file[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def _stretch(self, entries: dict[int, _Entry]) -> float:
        across, down = (
            self._resolution(entries.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION)
        )
        if not across or not down:
            return 1.0
        stretch = across / down
        turned = self._form.numbers(self._file, entries.get(_ORIENTATION))
        if turned and turned[0] in _SIDEWAYS:
            stretch = 1 / stretch
        if abs(stretch - 1) <= _SAME or not 1 / _MOST_STRETCHED <= stretch <= _MOST_STRETCHED:
            return 1.0
        return stretch

    def _resolution(self, entry: _Entry | None) -> float:
        if entry is None or entry.kind != 5 or entry.count != 1:
            return 0.0
        above, below = struct.unpack(self._form.order + "II", self._form.value(self._file, entry))
        return above / below if below else 0.0


def has_several_pages(file: BinaryIO) -> bool:
    """Whether a TIFF has a second directory. Reads a few bytes alone, and takes nothing from them
    but offsets.

    Raises:
        Exception: Many types, for other files.
    """
    form = _Form(file.read(16))
    file.seek(form.start)
    wide = 8 if form.big else 2
    (count,) = struct.unpack(form.order + ("Q" if form.big else "H"), file.read(wide))
    file.seek(form.start + wide + (20 if form.big else 12) * count)
    return form.offset(file.read(form.wide)) != 0


def _corrupt(message: str) -> UnitError:
    return UnitError("decode", "corrupt", message)
