"""Finds parts of a PDF that its drawn pages do not show: letters without a font, dynamic forms,
attachments."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from internvl_ops.errors import UnitError

_LONGEST_NAME = 200
_DEEPEST = 8  # forms within forms
_MOST_CHARACTERS = 200_000  # maximum characters of a page to examine


def refuse_dynamic_forms(document: pdfium.PdfDocument) -> None:
    """Raises UnitError for a form whose pages only Adobe's programs can draw; the stored page says
    "Please wait"."""
    if document.get_formtype() == pdfium_c.FORMTYPE_XFA_FULL:
        message = (
            "a dynamic XFA form, whose pages Adobe Reader makes as it opens the file; the page"
            " stored in it only asks to wait. Print it to a PDF there"
        )
        raise UnitError("decode", "unsupported", message)


# The fonts that every PDF reader has. They are Latin, so one that draws a page of a document draws
# the next too; another font may have Latin letters on one page and Chinese ones on the next.
_STANDARD = {
    *(f"Courier{style}" for style in ("", "-Bold", "-BoldOblique", "-Oblique")),
    *(f"Helvetica{style}" for style in ("", "-Bold", "-BoldOblique", "-Oblique")),
    *(f"Times{style}" for style in ("-Roman", "-Bold", "-BoldItalic", "-Italic")),
}
# Standard fonts, by name and flags, that drew all letters of a page of an open document. To ask
# takes as long as a quarter of drawing the page.
_sound: weakref.WeakKeyDictionary[pdfium.PdfDocument, set[tuple[str, int]]] = (
    weakref.WeakKeyDictionary()
)


def notes_of(document: pdfium.PdfDocument, page: pdfium.PdfPage) -> list[str]:
    """What a reader of the page's answer should know."""
    notes = []
    if missing := missing_letters(page, _sound.setdefault(document, set())):
        notes.append(missing)
    if count := document.count_attachments():
        notes.append(
            f"the document has {count:,} attached file{'s' * (count > 1)} (a portfolio?), which are"
            " not read"
        )
    return notes


def missing_letters(page: pdfium.PdfPage, sound: set[tuple[str, int]]) -> str:
    """A note of the letters that are not drawn, because neither the PDF nor this machine has their
    font.

    Args:
        page: The page.
        sound: Name and flags of fonts that need not be asked about; gets the standard fonts that
            draw all letters of this page.
    """
    absent = [font for font in _fonts(page) if not _is_embedded(font)]
    names = {(_name(font), pdfium_c.FPDFFont_GetFlags(font)) for font in absent}
    if names <= sound:
        return ""
    missing = _missing_of(page, absent)
    if not missing:
        sound |= {(name, flags) for name, flags in names if name in _STANDARD}
    return missing


def _missing_of(page: pdfium.PdfPage, absent: list[Any]) -> str:
    text = page.get_textpage()
    try:
        count = min(pdfium_c.FPDFText_CountChars(text), _MOST_CHARACTERS)
        # Most pages have a few dozen different letters, and each of their fonts has them all: to
        # ask for each character of such a page takes longer than to draw it.
        letters = _letters(text, count)
        if letters is not None and all(
            _draws(font, letter) for font in absent for letter in letters
        ):
            return ""
        missing, names = _missing(text, count)
    finally:
        text.close()
    if not missing:
        return ""
    return (
        f"{missing:,} of {count:,} characters are not drawn: the PDF does not embed"
        f" {', '.join(sorted(names))}, and no font installed here has them (install fonts-noto-cjk,"
        " or fonts of their script)"
    )


def _missing(text: pdfium.PdfTextPage, count: int) -> tuple[int, set[str]]:
    """How many of the page's characters are not drawn, and the names of their fonts."""
    drawn: dict[tuple[int, int], bool] = {}
    missing, names = 0, set()
    for index in range(count):
        letter = pdfium_c.FPDFText_GetUnicode(text, index)
        if not _has_shape(letter):
            continue
        shown = pdfium_c.FPDFText_GetTextObject(text, index)
        font = pdfium_c.FPDFTextObj_GetFont(shown) if shown else None
        if not font:
            continue
        key = ctypes.addressof(font.contents), letter
        if key not in drawn:
            drawn[key] = _is_embedded(font) or _draws(font, letter)
        if not drawn[key]:
            missing += 1
            names.add(_name(font))
    return missing, names


def _letters(text: pdfium.PdfTextPage, count: int) -> set[int] | None:
    """The different letters among the first characters of the page; None if they are no text."""
    buffer = (ctypes.c_ushort * (count + 1))()
    written = max(0, pdfium_c.FPDFText_GetText(text, 0, count, buffer) - 1)
    try:
        found = set(bytes(buffer)[: 2 * written].decode("utf-16-le"))
    except UnicodeDecodeError:
        return None
    return {ord(letter) for letter in found if _has_shape(ord(letter))}


def _has_shape(letter: int) -> bool:
    """Whether fonts have a shape for a letter: not for blanks and control characters, nor for 0, an
    unknown letter."""
    return letter not in (0, 0x20, 0x3000) and letter < 0x110000 and chr(letter).isprintable()


def _draws(font: Any, letter: int) -> bool:
    return bool(pdfium_c.FPDFFont_GetGlyphPath(font, letter, 12.0))


def _fonts(page: pdfium.PdfPage) -> Iterator[Any]:
    seen: set[int] = set()
    count, get = pdfium_c.FPDFPage_CountObjects(page), pdfium_c.FPDFPage_GetObject
    yield from _fonts_in([get(page, index) for index in range(count)], seen, 0)


def _fonts_in(objects: list[Any], seen: set[int], depth: int) -> Iterator[Any]:
    for one in objects:
        kind = pdfium_c.FPDFPageObj_GetType(one)
        if kind == pdfium_c.FPDF_PAGEOBJ_TEXT:
            font = pdfium_c.FPDFTextObj_GetFont(one)
            if font and ctypes.addressof(font.contents) not in seen:
                seen.add(ctypes.addressof(font.contents))
                yield font
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
            count = pdfium_c.FPDFFormObj_CountObjects(one)
            inner = [pdfium_c.FPDFFormObj_GetObject(one, index) for index in range(max(0, count))]
            yield from _fonts_in(inner, seen, depth + 1)


def _is_embedded(font: Any) -> bool:
    return pdfium_c.FPDFFont_GetIsEmbedded(font) != 0


def _name(font: Any) -> str:
    name = ctypes.create_string_buffer(_LONGEST_NAME)
    pdfium_c.FPDFFont_GetBaseFontName(font, name, _LONGEST_NAME)
    return name.value.decode("utf-8", "replace") or "a font"
