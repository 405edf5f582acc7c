"""The pages of a comic book archive (CBZ): the images in a ZIP file, in the order of their
names."""

from __future__ import annotations

import re
import zipfile
from typing import BinaryIO

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.sniff import IMAGE_SUFFIXES, unreadable

_MOST_BYTES = 256 << 20  # of one page, unpacked
_SMALL = 64 << 20
# times; images hardly shrink, so an archive that grows more is made to fill the memory
_MOST_PACKED = 200
_ENCRYPTED = 1  # bit of an entry's flags
# of office documents and XPS, and of EPUB
_OTHER_DOCUMENTS = frozenset({"[Content_Types].xml", "mimetype"})
_EXCERPT = 64 << 10
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class ArchivePages:
    """The images of an archive.

    Folders' settings and hidden files are left out, as are files of other kinds, such as
    ``ComicInfo.xml``.

    Args:
        file: The archive.
        max_pages: Archives with more pages are refused.

    Raises:
        UnitError: "corrupt" for an archive that is damaged or ends early; "unsupported" for one
            without an image; "too_large" for one with too many pages, or that claims to unpack to
            far more than images do.
    """

    def __init__(self, file: BinaryIO, max_pages: int) -> None:
        self._archive, size = opened(file)
        if not _OTHER_DOCUMENTS.isdisjoint(self._archive.namelist()):
            raise _other_document(file)
        entries = [entry for entry in self._archive.infolist() if _is_page(entry.filename)]
        if not entries:
            message = (
                "a ZIP archive without an image; a comic book archive (CBZ) is needed, or unpack it"
                " first"
            )
            raise UnitError("decode", "unsupported", message)
        if len(entries) > max_pages:
            message = (
                f"{len(entries):,} pages; at most {max_pages:,} are allowed: raise"
                f" {keyword('max_pages')}"
            )
            raise UnitError("decode", "too_large", message)
        refuse_bomb(entries, size)
        self._pages = sorted(entries, key=lambda entry: natural(entry.filename))

    def __len__(self) -> int:
        return len(self._pages)

    def page(self, number: int) -> bytes:
        """An image file, by its number, from 1.

        Raises:
            UnitError: "bad_row" if there is no such page; "corrupt", "unsupported", "too_large".
        """
        if not 1 <= number <= len(self._pages):
            message = f"page {number} is not there: the document has {len(self._pages)} pages"
            raise UnitError("decode", "bad_row", message)
        entry = self._pages[number - 1]
        if entry.flag_bits & _ENCRYPTED:
            raise UnitError(
                "decode", "unsupported", "an encrypted archive; unpack it with its password first"
            )
        if entry.compress_type not in _METHODS:
            message = (
                f"page {number} is packed by method {entry.compress_type}, which is not read; pack"
                " it anew"
            )
            raise UnitError("decode", "unsupported", message)
        if entry.file_size > _MOST_BYTES:
            message = (
                f"page {number} has {entry.file_size:,} bytes; at most {_MOST_BYTES:,} are allowed"
                " in an archive"
            )
            raise UnitError("decode", "too_large", message)
        try:
            return self._archive.read(entry)
        except MemoryError:
            raise
        except Exception as error:  # BadZipFile, zlib's, lzma's and bz2's own, EOFError
            message = (
                f"page {number} is damaged ({error or type(error).__name__}); the other pages may"
                " not be"
            )
            raise UnitError("decode", "corrupt", message) from None


def opened(file: BinaryIO) -> tuple[zipfile.ZipFile, int]:
    """A ZIP archive and its size in bytes.

    Raises:
        UnitError: "corrupt".
    """
    try:
        archive = zipfile.ZipFile(file)
    except MemoryError:
        raise
    except Exception:  # BadZipFile, and others in damaged directories
        message = "a ZIP archive that is damaged or ends early; fetch it again"
        raise UnitError("decode", "corrupt", message) from None
    return archive, file.seek(0, 2)


def refuse_bomb(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Raises UnitError if entries of an archive of ``size`` bytes claim to unpack to far more than
    real ones do."""
    total = sum(entry.file_size for entry in entries)
    if total > max(_SMALL, _MOST_PACKED * size):
        message = (
            f"a ZIP archive of {size:,} bytes that unpacks to {total:,}, which no honest one does"
        )
        raise UnitError("decode", "too_large", message)
    if sum(entry.compress_size for entry in entries) > size:
        raise UnitError("decode", "corrupt", "a ZIP archive whose files overlap")


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts page 2 before page 10, and upper case like lower case."""
    parts = re.split(r"(\d{1,15})", name.lower())
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts
    ], name


def _other_document(file: BinaryIO) -> UnitError:
    """The error for a document of another kind in a ZIP archive; its pictures are not its pages."""
    file.seek(0)
    head = file.read(_EXCERPT)
    file.seek(max(0, file.seek(0, 2) - _EXCERPT))
    return unreadable(head + file.read(), "document")


def _is_page(name: str) -> bool:
    parts = name.split("/")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    return parts[-1].lower().endswith(IMAGE_SUFFIXES)
