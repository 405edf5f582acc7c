"""TIFF: finds the meaning of samples by tags, and reads the kinds that Pillow cannot read or reads
wrongly."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import tifffile

from internvl_ops.errors import UnitError
from internvl_ops.media import jpeg2000
from internvl_ops.media.samples import CHANNELS, Alpha, Colours, Samples, to_rgb

_WHITE_IS_ZERO, _PALETTE, _YCBCR, _CFA, _LINEAR_RAW = 0, 3, 6, 32803, 34892
_COLOURS: dict[int, Colours] = {
    0: "grey", 1: "grey", 2: "rgb", 3: "palette", 4: "grey", 5: "cmyk", 8: "lab", 9: "lab",
}  # fmt: skip
# Compressions of camera makers: Sony, Samsung, Nikon, Pentax, Kodak, and the lossy one of DNG.
_RAW_COMPRESSIONS = frozenset({32767, 32769, 32770, 34713, 65535, 65000, 34892, 52546})
_RAW_NAMES = {
    "NIKON": "Nikon NEF",
    "SONY": "Sony ARW",
    "PENTAX": "Pentax PEF",
    "SAMSUNG": "Samsung SRW",
}
_PILLOW_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000})
_OLD_JPEG = 6
_ORIENTATION, _SUB_IFDS, _MAKE, _INK_SET, _DNG_VERSION, _GDAL_NODATA = (
    274,
    330,
    271,
    332,
    50706,
    42113,
)
_FLOAT, _COMPLEX = 3, (5, 6)
_JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
_DESCRIPTION, _HIGHEST = 270, (281, 341)  # MaxSampleValue, SMaxSampleValue
_SIGNIFICANT_BITS, _OME_CHARACTERS = re.compile(r'\bSignificantBits="(\d{1,2})"'), 1 << 20
_LOOKED_AT = 8  # number of directories to search for a sensor's data
_TYPES = {1: "u", 2: "i", 3: "f", 4: "u"}

_MOST_SAMPLES = 800_000_000  # four for each of 200 million pixels


class Tiff:
    """The first page of a TIFF.

    Args:
        data: The file's bytes.

    Raises:
        UnitError: It is a camera's raw file.
        Exception: Many types, for a file that is not a TIFF or whose first directory is damaged.
    """

    format = "TIFF"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._file = cast(Any, tifffile.TiffFile(io.BytesIO(data)))
        self._page = self._file.pages[0]
        if camera := self._camera():
            message = (
                f"a camera's raw file ({camera}), not a picture yet; develop it to JPEG, PNG or"
                " TIFF first"
            )
            raise UnitError("decode", "unsupported", message)
        self.size = (int(self._page.imagewidth), int(self._page.imagelength))
        turned = self._tag(_ORIENTATION, 1)
        self.orientation: int = turned if turned in range(1, 9) else 1

    def count_pages(self) -> int:
        return len(self._file.pages)

    @property
    def for_pillow(self) -> bool:
        """Whether Pillow reads the file correctly: 8 bits or less with a usual meaning, also as
        JPEG or fax inside."""
        page = self._page
        if page.compression not in _PILLOW_COMPRESSIONS or self._bits() not in (1, 2, 4, 8):
            return False
        if self._formats() - {1, 4} or page.photometric not in (0, 1, 2, 3, 5, 6):
            return False
        if page.photometric == _YCBCR:
            return True
        if page.photometric == 5 and self._tag(_INK_SET, 1) != 1:
            return False
        own_colours = page.photometric == _PALETTE and (
            self._palette_is_old() or page.samplesperpixel > 1
        )
        premultiplied = page.photometric in (0, 1) and page.samplesperpixel > 1
        extra = len(page.extrasamples) > 1 or (page.photometric == 5 and page.samplesperpixel > 4)
        extra |= len(page.extrasamples) > 0 and page.planarconfig == 2
        return not (own_colours or premultiplied or extra)

    @property
    def is_plain_ycbcr(self) -> bool:
        """Whether the samples are YCbCr without compression."""
        return bool(self._page.photometric == _YCBCR and self._page.compression == 1)

    def rgb(self, alpha: str, notes: list[str], *, accept_cut: bool) -> np.ndarray:
        """Decodes the page as stored, not turned upright: uint8 of shape (height, width, 3).

        Raises:
            UnitError: "unsupported", which names the kind of samples; "corrupt" for a truncated
                file; "too_large" if its many channels take more memory than any picture.
        """
        self._check_size()
        samples = self._samples(notes)
        self._check_whole(accept_cut)
        if self._page.photometric == 4:
            notes.append("a mask of transparency, read as grey")
        return to_rgb(self._pixels(), samples, alpha, notes)

    def _check_size(self) -> None:
        """A tiny header may claim thousands of channels, and all would be decoded before three are
        used."""
        width, height = self.size
        count = width * height * self._page.samplesperpixel
        if count > _MOST_SAMPLES:
            raise UnitError(
                "decode",
                "too_large",
                f"{width}x{height} pixels of {self._page.samplesperpixel:,} samples are {count:,},"
                f" more than the {_MOST_SAMPLES:,} samples allowed. Keep the channels that are"
                " looked at.",
            )

    # ---------------------------------------------------------------- meaning

    def _samples(self, notes: list[str]) -> Samples:
        page = self._page
        self._check_codec()
        colours = _COLOURS.get(page.photometric)
        bits, formats = self._bits(), self._formats()
        if colours is None:
            raise self._unsupported(f"the colour model {_named(page.photometric)}")
        if bits is None or len(formats) > 1:
            raise self._unsupported("samples of different kinds in one pixel")
        if formats & set(_COMPLEX):
            raise self._unsupported("complex numbers for samples")
        if page.dtype is None:
            raise self._unsupported(f"{bits}-bit samples of format {formats}")
        if colours == "cmyk" and self._tag(_INK_SET, 1) != 1:
            raise self._unsupported("inks other than cyan, magenta, yellow and black")
        bits = self._coded_bits(bits)
        floating = _FLOAT in formats
        count = page.samplesperpixel - CHANNELS[colours]
        if count < 0:
            raise self._unsupported(f"{page.samplesperpixel} samples for {colours}")
        alpha = self._alpha(colours, count, notes)
        return Samples(
            colours=colours,
            bits=bits,
            alpha=alpha,
            white_is_zero=page.photometric == _WHITE_IS_ZERO,
            # Writers that pack samples of 9 to 15 bits know their depth. 8 and 16 bits are only the
            # usual formats.
            maximum=None if floating or bits in (16, 32, 64) or 2 in formats else (1 << bits) - 1,
            used_bits=None if floating else self._used_bits(bits),
            nodata=self._nodata(),
            palette=self._palette() if colours == "palette" else None,
            signed_lab=page.photometric == 8,
        )

    def _alpha(self, colours: Colours, count: int, notes: list[str]) -> Alpha:
        kinds = [int(kind) for kind in self._page.extrasamples][:count]
        if count and not kinds:
            kinds = [0] * count
        if count and kinds[0] in (1, 2):
            if count > 1:
                notes.append(f"{count - 1} samples beside colours and alpha left out")
            return "premultiplied" if kinds[0] == 1 else "straight"
        if colours == "grey" and count > 1:
            raise self._unsupported(
                f"{count + 1} bands without colours; make an RGB image of three of them"
            )
        if count:
            notes.append(
                f"{count} {'sample' if count == 1 else 'samples'} beside the colours left out"
            )
        return "none"

    def _bits(self) -> int | None:
        bits = self._page.bitspersample
        bits = {int(bits)} if isinstance(bits, int) else {int(value) for value in bits}
        return bits.pop() if len(bits) == 1 else None

    def _coded_bits(self, bits: int) -> int:
        """The bits of samples inside JPEG 2000, which has its own depth."""
        page = self._page
        if page.compression not in _JPEG_2000:
            return bits
        start = next(
            (at for at, count in zip(page.dataoffsets, page.databytecounts, strict=False) if count),
            0,
        )
        coded = jpeg2000.depth(self._data[start : start + 4096])
        if coded is None:
            return bits
        if unread := jpeg2000.unsupported_jpeg2000(self._data[start : start + 4096]):
            raise unread
        itemsize = next(size for size in (1, 2, 4) if coded.bits <= 8 * size)
        if itemsize != page.dtype.itemsize or coded.signed != (page.dtype.kind == "i"):
            sign = "signed " if coded.signed else ""
            raise self._unsupported(
                f"JPEG 2000 of {sign}{coded.bits}-bit samples inside, which it calls {bits}-bit"
            )
        return coded.bits

    def _used_bits(self, bits: int) -> int | None:
        """How many bits of a sample are used; None if the file does not state it."""
        found = _SIGNIFICANT_BITS.search(str(self._tag(_DESCRIPTION, ""))[:_OME_CHARACTERS])
        if found and 0 < int(found[1]) < bits:  # OME's writers state all bits when they do not know
            return int(found[1])
        for code in _HIGHEST:
            value = self._tag(code, None)
            highest = max(value, default=None) if isinstance(value, tuple) else value
            # Other numbers are only the value of the brightest pixel.
            if isinstance(highest, int) and highest > 255 and not highest & (highest + 1):
                return highest.bit_length()
        return None

    def _formats(self) -> set[int]:
        formats = self._page.sampleformat
        return {int(formats)} if isinstance(formats, int) else {int(value) for value in formats}

    def _nodata(self) -> float | None:
        try:
            value = float(str(self._tag(_GDAL_NODATA, "nan")).strip("\0 "))
        except ValueError:
            return None
        return None if np.isnan(value) else value

    def _map(self) -> np.ndarray:
        colours = np.asarray(self._tag(320, ()), np.uint16)
        if colours.size < 3:
            raise UnitError("decode", "corrupt", "TIFF with a palette but no colours in it")
        return colours[: colours.size // 3 * 3].reshape(3, -1)

    def _palette_is_old(self) -> bool:
        return int(self._map().max()) < 256

    def _palette(self) -> np.ndarray:
        """The colour map. It has 16 bits, but old writers fill it with 0 to 255."""
        colours = self._map().T
        return (colours if self._palette_is_old() else colours >> 8).astype(np.uint8)

    # ---------------------------------------------------------------- reading

    def _pixels(self) -> np.ndarray:
        page = self._page
        pixels = page.asarray(maxworkers=1, lock=None)
        if page.axes.startswith("S"):  # planes
            pixels = np.moveaxis(pixels, 0, -1)
        height, width = self.size[1], self.size[0]
        pixels = pixels.reshape(-1, height, width, page.samplesperpixel)[0]
        if self._bits() == 24 and pixels.dtype.kind == "u" and not (pixels & 255).any():
            # in big-endian files, tifffile leaves 24 bits in the upper three bytes
            pixels = pixels >> 8
        return pixels.astype(np.uint8) if pixels.dtype == bool else pixels

    def _check_codec(self) -> None:
        compression = self._page.compression
        if compression == _OLD_JPEG:
            raise self._unsupported("JPEG of the old kind inside (compression 6)")
        try:
            tifffile.TIFF.DECOMPRESSORS[compression]
        except KeyError:
            raise self._unsupported(f"the compression {_named(compression)}") from None

    def _check_whole(self, accept_cut: bool) -> None:
        """Raises for a truncated file, which the decoder would fill with zeros or report in unclear
        words."""
        page = self._page
        ends = [
            offset + count
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
        missing = max(ends, default=0) - len(self._data)
        if page.compression == 1 and not page.is_tiled and len(page.dataoffsets) == 1:
            stored = page.nbytes * (self._bits() or 8) // (8 * page.dtype.itemsize)
            missing = max(missing, page.dataoffsets[0] + stored - len(self._data))
        if missing > 0 and not accept_cut:
            message = (
                f"TIFF file is truncated: {missing:,} bytes of its pixels are missing; fetch it"
                " again or accept "
            )
            raise UnitError("decode", "corrupt", message + "truncated files")

    def _tag(self, code: int, default: Any) -> Any:
        tag = self._page.tags.get(code)
        return default if tag is None else tag.value

    def _unsupported(self, what: str) -> UnitError:
        return UnitError(
            "decode", "unsupported", f"TIFF with {what}; convert it to an RGB or grey image"
        )

    # ---------------------------------------------------------------- cameras

    def _camera(self) -> str:
        """Names the raw format of a camera's file, of which Pillow reads only a thumbnail; empty
        for other files."""
        if _DNG_VERSION in self._page.tags:
            return "DNG"
        if self._data[8:10] == b"CR" and self._data[:4] == b"II*\0":
            return "Canon CR2"
        make = str(self._tag(_MAKE, "")).upper()
        for page in self._directories():
            photometric, compression = page.photometric, page.compression
            if photometric in (_CFA, _LINEAR_RAW) or (make and compression in _RAW_COMPRESSIONS):
                return next(
                    (name for maker, name in _RAW_NAMES.items() if make.startswith(maker)),
                    "TIFF/EP or DNG",
                )
        return ""

    def _directories(self) -> Iterator[Any]:
        yield self._page
        if _SUB_IFDS not in self._page.tags:
            return
        for read in (lambda: self._page.pages, lambda: self._file.pages[1:_LOOKED_AT]):
            yield from _some(read)


def _some(read: Callable[[], Any]) -> list[Any]:
    try:
        return [
            page
            for page in list(read())[:_LOOKED_AT]
            if page is not None and hasattr(page, "photometric")
        ]
    except Exception:  # damaged in a later directory: the first one is the important one
        return []


def _named(value: Any) -> str:
    return f"{getattr(value, 'name', '')} ({int(value)})".strip()
