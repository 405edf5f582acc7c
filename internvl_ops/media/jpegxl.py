"""JPEG XL: reads the header, which gives the size of a picture, and decodes the pixels with
libjxl."""

from __future__ import annotations

import numpy as np

from internvl_ops.media.samples import Samples, to_rgb

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIDES = ((9, 1), (13, 1), (18, 1), (30, 1))


class JpegXl:
    """A JPEG XL file.

    Args:
        data: The file's bytes.

    Raises:
        ValueError: The header is not valid.
    """

    format = "JPEG XL"
    orientation = 1  # the decoder turns it upright

    def __init__(self, data: bytes) -> None:
        self._data = data
        bits = _Bits(_codestream(data))
        self._depth, self._float, self._animated, turned = 8, False, False, False
        height_first = _size(bits)
        if not bits.take(1):  # some values differ from their defaults
            if bits.take(1):  # extra fields
                turned = bits.take(3) >= 4
                if bits.take(1):
                    _size(bits)
                if bits.take(1):
                    raise ValueError("JPEG XL with a preview of its own")
                if bits.take(1):
                    _animation(bits)
                    self._animated = True
            self._float = bool(bits.take(1))
            self._depth = bits.choice(((0, 32), (0, 16), (0, 24), (6, 1)) if self._float else
                                      ((0, 8), (0, 10), (0, 12), (6, 1)))  # fmt: skip
        width, height = height_first
        self.size = (height, width) if turned else (width, height)

    def count_pages(self) -> int:
        return 1  # the header does not state the number of frames

    def rgb(self, alpha: str, notes: list[str], *, accept_cut: bool) -> np.ndarray:
        """Decodes the first frame: uint8 of shape (height, width, 3)."""
        import imagecodecs  # imported only when needed: it is large

        pixels = imagecodecs.jpegxl_decode(self._data, index=0, numthreads=1)
        pixels = pixels.reshape(self.size[1], self.size[0], -1)
        channels = pixels.shape[2]
        samples = Samples(
            colours="grey" if channels < 3 else "rgb",
            bits=self._depth,
            alpha="straight" if channels in (2, 4) else "none",
            # 16 bits are also what fewer are put into.
            maximum=None if self._float or self._depth == 16 else (1 << self._depth) - 1,
        )
        if self._animated:
            notes.append("first frame of an animation")
        return to_rgb(pixels, samples, alpha, notes)


class _Bits:
    """Reads numbers bit by bit, starting with the lowest bit."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data[:256], "little"), 8 * min(len(data), 256)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("JPEG XL header ends early")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return value

    def choice(self, kinds: tuple[tuple[int, int], ...]) -> int:
        """A number in one of four encodings: each has a number of bits, and an offset that is added
        to them."""
        count, base = kinds[self.take(2)]
        return base + self.take(count)


def _codestream(data: bytes) -> bytes:
    """The first bytes of the codestream, taken out of its container if there is one."""
    if not data.startswith(_CONTAINER):
        return data[2:300]
    at = 0
    while at + 8 <= len(data):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            start = at + head + (4 if kind == b"jxlp" else 0)
            return data[start + 2 : start + 300]
        if size < head:
            break
        at += size
    raise ValueError("JPEG XL container without a picture")


def _size(bits: _Bits) -> tuple[int, int]:
    """Returns width and height."""
    small = bits.take(1)
    side = (lambda: 8 * (bits.take(5) + 1)) if small else (lambda: bits.choice(_SIDES))
    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def _animation(bits: _Bits) -> None:
    bits.choice(((0, 100), (0, 1000), (10, 1), (30, 1)))
    bits.choice(((0, 1), (0, 1001), (8, 1), (10, 1)))
    bits.choice(((0, 0), (3, 0), (16, 0), (32, 0)))
    bits.take(1)
