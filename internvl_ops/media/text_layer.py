"""Reads the text that a PDF itself stores for a page, with the place of each line, and says what
makes it doubtful.

PDFium's text page gives the letters in the order of the file. The pixels of the drawn page say
which of them a reader sees, and which writing the layer lacks. A layer without doubts can stand for
the answer of a model; the codes of `DOUBTS` are the rule.
"""

from __future__ import annotations

import contextlib
import ctypes
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from internvl_ops.media.document_info import clean
from internvl_ops.media.layer_order import is_read_across, is_read_in_order
from internvl_ops.media.picture_stats import ink_mask, reduced

# Why a layer cannot stand for an answer, by code.
DOUBTS: dict[str, str] = {
    "no_text": "the page has no text layer",
    "too_long": "the page has more characters than are looked at",
    "invisible": "the letters are drawn invisibly, as an OCR program puts them over a scan",
    "hidden": (
        "some letters are not to be seen on the page: they are covered, white, clipped, or their"
        " font is missing"
    ),
    "uncovered": "the page shows writing that the layer lacks",
    "picture": "a picture takes up a part of the page",
    "encoding": "letters have no character, or the characters are not those of a language",
    "overprinted": "letters stand twice in the same place",
    "turned": "some text does not run from left to right",
    "right_to_left": "the text is of a script that runs from right to left",
    "order": "the order of the file is not the order of reading, or lines run across columns",
}
MOST_CHARACTERS = 100_000  # of a page
_LOOK = 1280  # pixels on the long side: a letter of 8 points on A4 is then 9 pixels high
_LETTER_HEIGHTS, _WIDEST_LETTER = (5, 60), 80  # pixels of what looks like a letter
# share of the letters that may be outside of the layer, such as bullets that are drawn
_UNCOVERED = 0.03
# share of the page that may be ink outside of the layer in pieces larger than a letter
_PICTURE = 0.05
_BAD_CHARACTERS = 0.01  # share
# 50 to 66 % of the letters in languages written in Latin letters, 31 % of any others
_COMMON = frozenset("etaoinsr")
_COMMON_SHARE, _ENOUGH_LETTERS = 0.42, 100
_PAGE_UNITS = 1 << 20


@dataclass(frozen=True)
class LayerLine:
    """A line of a text layer, with its box in shares of the upright page's width and height, from
    the top left."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class TextLayer:
    """The text that a PDF stores for a page.

    Args:
        lines: The lines that can be seen, in the order of the file.
        doubts: Codes of `DOUBTS`; without any, the layer is what the page says.
    """

    lines: tuple[LayerLine, ...] = ()
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A file may have compromised the decoder that made this.
        texts = (*self.doubts, *(line.text for line in self.lines))
        if (
            not all(isinstance(text, str) for text in texts)
            or not set(self.doubts) <= DOUBTS.keys()
        ):
            raise ValueError("a text layer of another form")

    @property
    def boxes(self) -> list[list[float]]:
        """The box of each line, as shares: left, top, right, bottom."""
        return [[line.left, line.top, line.right, line.bottom] for line in self.lines]

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(line.text for line in self.lines)


NO_LAYER = TextLayer(doubts=("no_text",))


@dataclass
class _Letters:
    """The characters of a page in the order of the file.

    Args:
        codes: UTF-16 units, int32 (characters,); line ends are 10 or 13.
        boxes: float64 (characters, 4): left, top, right, bottom as shares of the upright page.
        real: bool (characters,): drawn by the file, not a blank or line end that PDFium adds.
        unmapped: bool (characters,): the file does not say which character it is.
        invisible: bool (characters,): drawn without fill and stroke.
        turned: bool (characters,): does not run from left to right.
    """

    codes: np.ndarray
    boxes: np.ndarray
    real: np.ndarray
    unmapped: np.ndarray
    invisible: np.ndarray
    turned: np.ndarray


def read_layer(page: pdfium.PdfPage, pixels: np.ndarray) -> TextLayer:
    """The text layer of a page.

    Args:
        page: The open page.
        pixels: The page as drawn: uint8 (height, width, 3), RGB, of any size.
    """
    with _text_page(page) as text:
        count = pdfium_c.FPDFText_CountChars(text)
        if count > MOST_CHARACTERS:
            return TextLayer(doubts=("too_long",))
        letters = _letters(page, text, max(0, count))
    ink = ink_mask(reduced(pixels, _LOOK))
    lines, hidden = [], False
    for line, places in _lines(letters):
        if _shows_ink(line, ink):
            lines.append((line, places))
        else:
            hidden = True
    seen = np.concatenate([np.empty(0, np.int64), *(places for _, places in lines)])
    if not len(seen):
        return TextLayer(doubts=("no_text", "hidden") if hidden else ("no_text",))
    found = {
        "hidden": hidden,
        **_doubts_of_letters(letters, seen),
        **_doubts_of_page(letters, seen, ink),
    }
    found["order"] = _is_out_of_order([line for line, _ in lines], letters.boxes[seen], ink.shape)
    return TextLayer(
        tuple(line for line, _ in lines), tuple(code for code in DOUBTS if found.get(code))
    )


@contextlib.contextmanager
def _text_page(page: pdfium.PdfPage) -> Iterator[Any]:
    text = page.get_textpage()
    try:
        yield text
    finally:
        text.close()


def _letters(page: pdfium.PdfPage, text: Any, count: int) -> _Letters:
    codes, boxes = np.zeros(count, np.int32), np.zeros((count, 4))
    real, unmapped, invisible, turned = np.zeros((4, count), bool)
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    corners = [ctypes.byref(value) for value in (left, right, bottom, top)]
    styles: dict[int, tuple[bool, bool]] = {}
    for index in range(count):
        codes[index] = pdfium_c.FPDFText_GetUnicode(text, index)
        if pdfium_c.FPDFText_IsGenerated(text, index) == 1:
            continue
        real[index] = True
        unmapped[index] = pdfium_c.FPDFText_HasUnicodeMapError(text, index) == 1
        pdfium_c.FPDFText_GetCharBox(text, index, *corners)
        boxes[index] = left.value, bottom.value, right.value, top.value
        shown = pdfium_c.FPDFText_GetTextObject(text, index)
        if shown:
            key = ctypes.addressof(shown.contents)
            if key not in styles:
                mode = pdfium_c.FPDFTextObj_GetTextRenderMode(shown)
                styles[key] = (
                    mode in (pdfium_c.FPDF_TEXTRENDERMODE_INVISIBLE, 7),
                    _is_turned(text, index, page),
                )
            invisible[index], turned[index] = styles[key]
    return _Letters(codes, _on_page(page, boxes), real, unmapped, invisible, turned)


def _is_turned(text: Any, index: int, page: pdfium.PdfPage) -> bool:
    # clockwise, in radians; negative if it is unknown
    angle = pdfium_c.FPDFText_GetCharAngle(text, index)
    turned = np.rad2deg(max(0.0, angle)) + page.get_rotation()
    return abs((turned + 180) % 360 - 180) > 2


def _on_page(page: pdfium.PdfPage, boxes: np.ndarray) -> np.ndarray:
    """Boxes in points as shares of the upright page, top first."""
    corner, right, up = (np.array(_device(page, x, y)) for x, y in ((0, 0), (1000, 0), (0, 1000)))
    matrix = np.stack([right - corner, up - corner]) / 1000
    ends = np.stack([boxes[:, :2] @ matrix + corner, boxes[:, 2:] @ matrix + corner]) / _PAGE_UNITS
    return np.concatenate([ends.min(axis=0), ends.max(axis=0)], axis=1)


def _device(page: pdfium.PdfPage, x: float, y: float) -> tuple[int, int]:
    right, down = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDF_PageToDevice(
        page, 0, 0, _PAGE_UNITS, _PAGE_UNITS, 0, x, y, ctypes.byref(right), ctypes.byref(down)
    )
    return right.value, down.value


def _lines(letters: _Letters) -> Iterator[tuple[LayerLine, np.ndarray]]:
    """The lines with anything on them, and the places of their visible characters."""
    ends = np.flatnonzero(np.isin(letters.codes, (10, 13)))
    for places in np.split(np.arange(len(letters.codes)), ends):
        text = clean(_decoded(letters.codes[places]))
        drawn = places[letters.real[places] & ~np.isin(letters.codes[places], (9, 10, 13, 32, 160))]
        if text and len(drawn):
            boxes = letters.boxes[drawn]
            box: list[float] = [
                *boxes[:, :2].min(axis=0).tolist(),
                *boxes[:, 2:].max(axis=0).tolist(),
            ]
            yield LayerLine(text, *box), drawn


def _decoded(codes: np.ndarray) -> str:
    # PDFium writes 2 for a hyphen at a line's end
    units = [45 if code == 2 else int(code) for code in codes if code]
    text = "".join(chr(unit) for unit in units if unit < 0x110000)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shows_ink(line: LayerLine, ink: np.ndarray) -> bool:
    left, top, right, bottom = _pixels(
        np.array([[line.left, line.top, line.right, line.bottom]]), ink.shape, 0
    )[0]
    area = ink[top:bottom, left:right]
    return bool(area.size) and float(area.mean()) > 0.02


def _pixels(boxes: np.ndarray, shape: Sequence[int], margin: int) -> np.ndarray:
    """int64 (boxes, 4): left, top, right, bottom in pixels, at least one pixel large, within the
    picture."""
    size = np.array([shape[1], shape[0]])
    start = np.clip(np.floor(boxes[:, :2] * size).astype(np.int64) - margin, 0, size)
    end = np.clip(np.ceil(boxes[:, 2:] * size).astype(np.int64) + margin, 0, size)
    return np.concatenate([start, end], axis=1)


def _doubts_of_letters(letters: _Letters, seen: np.ndarray) -> dict[str, bool]:
    counts = Counter(_decoded(letters.codes[seen]))
    bad = letters.unmapped[seen].sum() + counts["\ufffd"]
    bad += sum(
        count
        for one, count in counts.items()
        if unicodedata.category(one) in ("Co", "Cn", "Cc", "Cs")
    )
    places = np.concatenate(
        [letters.codes[seen, None], np.round(letters.boxes[seen] * 1000)], axis=1
    )
    twice = len(seen) - len(np.unique(places, axis=0))
    return {
        "invisible": bool(letters.invisible[seen].any()),
        "encoding": bad > _BAD_CHARACTERS * len(seen) or not _is_language(counts),
        "overprinted": twice > _BAD_CHARACTERS * len(seen),
        "turned": bool(letters.turned[seen].any()),
        "right_to_left": any(unicodedata.bidirectional(one) in ("R", "AL") for one in counts),
    }


def _is_language(counts: Mapping[str, int]) -> bool:
    """Whether Latin letters are as frequent as in a language; True if there are too few to tell."""
    letters: Counter[str] = Counter()
    for one, count in counts.items():
        letters.update(
            {
                letter: count
                for letter in unicodedata.normalize("NFKD", one).lower()
                if "a" <= letter <= "z"
            }
        )
    enough = letters.total() >= _ENOUGH_LETTERS
    return not enough or sum(letters[one] for one in _COMMON) > _COMMON_SHARE * letters.total()


def _is_out_of_order(lines: list[LayerLine], letters: np.ndarray, shape: tuple[int, ...]) -> bool:
    size = np.array([shape[1], shape[0]] * 2)
    boxes = np.array([[line.left, line.top, line.right, line.bottom] for line in lines])
    return not is_read_in_order(boxes * size) or is_read_across(letters * size)


def _doubts_of_page(letters: _Letters, seen: np.ndarray, ink: np.ndarray) -> dict[str, bool]:
    outside = ink.astype(np.uint8)
    boxes = letters.boxes[seen]
    # Between the lines of a dense page there is less paper than ink, and `ink_mask` takes the one
    # for the other.
    between = 0.5 * (boxes[:, 3] - boxes[:, 1])
    boxes = np.column_stack(
        [boxes[:, 0], boxes[:, 1] - between, boxes[:, 2], boxes[:, 3] + between]
    )
    for left, top, right, bottom in _pixels(boxes, ink.shape, 2):
        outside[top:bottom, left:right] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=8)
    width, height, area = (
        stats[1:, one] for one in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA)
    )
    lowest, highest = _LETTER_HEIGHTS
    written = (
        (height >= lowest)
        & (height <= highest)
        & (width >= 2)
        & (width <= _WIDEST_LETTER)
        & (area >= 8)
    )
    large = (height > highest) | (width > _WIDEST_LETTER)
    return {
        "uncovered": int(written.sum()) > max(2, _UNCOVERED * len(seen)),
        "picture": int(area[large].sum()) > _PICTURE * ink.size,
    }
