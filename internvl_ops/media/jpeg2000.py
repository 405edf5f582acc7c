"""JPEG 2000: finds the depth of samples, and reads files of more than 8 bits, whose white Pillow
turns black."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media.samples import Colours, Samples, to_rgb

_START = b"\xff\x4f\xff\x51"  # start of a codestream; its first segment holds the sizes
_COUNT_AT, _MAX_COMPONENTS = 40, 16384
_MOST_BITS = 26  # OpenJPEG's numbers overflow beyond this


@dataclass(frozen=True)
class Depth:
    """The samples of a codestream.

    Args:
        bits: Bits of the deepest component.
        signed: Whether any component has negative values.
        uniform: Whether all components are alike.
    """

    bits: int
    signed: bool
    uniform: bool


def depth(data: bytes) -> Depth | None:
    """Reads the depth of a codestream, also inside a container file; None if there is no
    codestream."""
    at = data.find(_START)
    if at < 0:
        return None
    count = int.from_bytes(data[at + _COUNT_AT : at + _COUNT_AT + 2], "big")
    first = at + _COUNT_AT + 2
    components = data[first : first + 3 * min(count, _MAX_COMPONENTS) : 3]
    if not components:
        return None
    return Depth(
        bits=max((value & 127) + 1 for value in components),
        signed=any(value & 128 for value in components),
        uniform=len(set(components)) == 1,
    )


def unsupported_jpeg2000(data: bytes) -> UnitError | None:
    """The error for a file that is sound but deeper than its decoder supports; None for any
    other."""
    found = depth(data)
    if found is None or found.bits <= _MOST_BITS:
        return None
    message = f"JPEG 2000 with {found.bits} bits a sample; convert it to one with at most 16"
    return UnitError("decode", "unsupported", message)


class Jpeg2000:
    """A JPEG 2000 file of more than 8 bits.

    Args:
        data: The file's bytes.
        size: Width and height.
        mode: Pillow's name for its colours.
        depth: Depth of its samples.
    """

    format = "JPEG 2000"
    orientation = 1

    def __init__(self, data: bytes, size: tuple[int, int], mode: str, depth: Depth) -> None:
        self._data, self.size, self._depth = data, size, depth
        self._inks = mode == "CMYK"

    def count_pages(self) -> int:
        return 1

    def rgb(self, alpha: str, notes: list[str], *, accept_cut: bool) -> np.ndarray:
        """Decodes the file: uint8 of shape (height, width, 3)."""
        import imagecodecs  # imported only when needed: it is large

        pixels = imagecodecs.jpeg2k_decode(self._data)
        pixels = pixels.reshape(self.size[1], self.size[0], -1)
        bits, channels = self._depth.bits, pixels.shape[2]
        if self._depth.signed:
            pixels = (pixels.astype(np.int32) + (1 << (bits - 1))).astype(np.uint32)
        colours: Colours = "grey" if channels < 3 else "rgb"
        samples = Samples(
            colours="cmyk" if self._inks else colours,
            bits=bits,
            alpha="straight" if channels in (2, 4) and not self._inks else "none",
            # 16 bits are also what fewer are put into.
            maximum=None if bits == 16 else (1 << bits) - 1,
        )
        return to_rgb(pixels, samples, alpha, notes)
