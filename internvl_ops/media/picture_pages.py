"""Documents whose pages are images: TIFF files of several pages, and comic book archives."""

from __future__ import annotations

import io
import mmap
import os
from dataclasses import dataclass
from typing import Protocol

from internvl_ops.media.archive_pages import ArchivePages
from internvl_ops.media.sniff import described
from internvl_ops.media.tiff_pages import TiffPages

_HEAD = 64


@dataclass(frozen=True)
class PicturePage:
    """A page.

    Args:
        data: An image file.
        stretch: By how much the upright picture is to be made higher, so that its pixels are
            square.
    """

    data: bytes
    stretch: float = 1.0


class PicturePages(Protocol):
    """A document whose pages are images."""

    def __len__(self) -> int:
        """The number of pages."""

    def page(self, number: int) -> PicturePage:
        """A page by its number, from 1. Raises UnitError."""


def picture_pages(source: bytes | str, max_pages: int) -> PicturePages | None:
    """The pages of a document, if they are images; None for other files.

    Args:
        source: The file's bytes, or the path of a readable local file. The last file given by a
            path stays open, since callers request one page after another.
        max_pages: Documents with more pages are refused.

    Raises:
        UnitError: Stage "decode": "corrupt", "unsupported", "too_large".
    """
    if not isinstance(source, str):
        return _opened(source, None, max_pages)
    return _kept.open(source, max_pages)


class _Tiff:
    def __init__(self, pages: TiffPages) -> None:
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    def page(self, number: int) -> PicturePage:
        page = self._pages.page(number)
        return PicturePage(page.data, page.stretch)


class _Archive:
    def __init__(self, pages: ArchivePages) -> None:
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    def page(self, number: int) -> PicturePage:
        return PicturePage(self._pages.page(number))


def _opened(head: bytes, path: str | None, max_pages: int) -> PicturePages | None:
    """Opens a document by its first bytes, which are all of it if there is no path."""
    if described(head) in ("TIFF file", "BigTIFF file"):
        return _Tiff(TiffPages(head if path is None else _mapped(path), max_pages))
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _Archive(
            ArchivePages(io.BytesIO(head) if path is None else open(path, "rb"), max_pages)
        )
    return None


def _mapped(path: str) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class _Kept:
    """The last document, kept until its file changes."""

    def __init__(self) -> None:
        self._identity: tuple[str | int, ...] = ()
        self._pages: PicturePages | None = None

    def open(self, path: str, max_pages: int) -> PicturePages | None:
        status = os.stat(path)
        identity = (
            path,
            max_pages,
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )
        if identity != self._identity:
            self._identity, self._pages = (), None
            with open(path, "rb") as file:
                head = file.read(_HEAD)
            self._pages, self._identity = _opened(head, path, max_pages), identity
        return self._pages


_kept = _Kept()
