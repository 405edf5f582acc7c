"""What a PDF says of itself: title, author, language, outline, and the labels of its pages."""

from __future__ import annotations

import contextlib
import ctypes
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

_LONGEST_VALUE = 1000  # characters
_LONGEST_OUTLINE = 2000  # entries
_LANGUAGE_UNITS = 64


@dataclass(frozen=True)
class PageInfo:
    """What a PDF says of a page, and with its first page of itself.

    Args:
        label: The label that viewers show for the page, such as "iv"; empty if there is none.
        about: JSON about the document, with its first page; empty with the others, and if the
            document says nothing.
        points: Width and height of the page as it is displayed, in points; zeros if unknown.
    """

    label: str = ""
    about: str = ""
    points: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        # A file may have compromised the decoder that made this.
        texts = isinstance(self.label, str) and isinstance(self.about, str)
        if not texts or [type(side) for side in self.points] != [float, float]:
            raise ValueError("what a document says of itself, of another form")


def page_info(document: pdfium.PdfDocument, page: pdfium.PdfPage, number: int) -> PageInfo:
    """What an open document says of a page.

    Args:
        document: The document.
        page: The page.
        number: Its number, from 1.
    """
    label = _text(lambda: document.get_page_label(number - 1))
    return PageInfo(label, _about(document) if number == 1 else "", page.get_size())


def _about(document: pdfium.PdfDocument) -> str:
    """JSON of the document's metadata, language and outline."""
    about: dict[str, Any] = {}
    for name in document.METADATA_KEYS:
        if value := _text(lambda name=name: document.get_metadata_value(name)):  # type: ignore[misc]
            about[name.lower()] = value
    if language := _language(document):
        about["language"] = language
    outline: list[dict[str, Any]] = []
    for entry in _entries(document):
        if len(outline) == _LONGEST_OUTLINE:
            about["outline_is_cut"] = True
            break
        place = entry.get_dest()
        page = None if place is None else place.get_index()
        title = _text(entry.get_title)
        outline.append(
            {"level": entry.level + 1, "title": title, "page": None if page is None else page + 1}
        )
    if outline:
        about["outline"] = outline
    return json.dumps(about, ensure_ascii=False) if about else ""


def _entries(document: pdfium.PdfDocument) -> Iterator[pdfium.PdfBookmark]:
    """The entries of the outline, up to one that cannot be read."""
    with contextlib.suppress(pdfium.PdfiumError, ValueError):
        yield from document.get_toc()


def _text(read: Callable[[], str]) -> str:
    """A text of the file; empty if it is not in the encoding that it should be in, which costs no
    page."""
    try:
        return clean(read()[:_LONGEST_VALUE])
    except (UnicodeDecodeError, pdfium.PdfiumError):
        return ""


def _language(document: pdfium.PdfDocument) -> str:
    units = (ctypes.c_ushort * _LANGUAGE_UNITS)()
    size = pdfium_c.FPDFCatalog_GetLanguage(document, units, ctypes.sizeof(units))
    if size > ctypes.sizeof(units):
        return ""
    return clean(bytes(units)[: max(0, size - 2)].decode("utf-16-le", "replace"))


def clean(text: str) -> str:
    """A text of a file in one line, without what cannot be printed."""
    kept = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(kept.split())
