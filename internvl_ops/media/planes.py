"""Resizes a picture that is grey for the most part: one colour stands for all three where they are
equal. Most pages are black on white but for a letterhead.

Values are those of torch's 8-bit bicubic. torch resizes along columns several times as fast as
along rows, because neighbouring bytes of a row then have the same weights. So rows are resized by
turning the picture on its diagonal, which is cheap for one colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from internvl_ops.media.workspace import Workspace

if TYPE_CHECKING:
    import torch

# pixels; the colours of a larger picture are not taken apart, because that doubles its memory
MOST_PIXELS = 16 << 20
_GROUP = 4  # bytes that torch takes for the channels of a pixel; rows are padded to whole groups
_REACH = 2  # of the bicubic kernel, in pixels of the coarser side
# The workspace's buffers: 0 belongs to decoders.
_COLOURS, _DIFFERENCE, _SOURCES, _BETWEEN, _DONE = 1, 5, 10, 20, 30
_EVERY = 64  # rows; one of them is looked at before the colours are taken apart
_MOST_COLOURED = 0.25  # of the picture; with more, all colours together are resized faster
_BAND = 64  # rows; what is done to them one after the other stays in the processor's cache


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: from ``top`` and ``left`` to before ``bottom`` and ``right``."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def empty(self) -> bool:
        return self.bottom <= self.top or self.right <= self.left

    def around(self, other: Box) -> Box:
        """The smallest box around this and another; an empty one adds nothing."""
        if other.empty:
            return self
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def turned(self) -> Box:
        return Box(self.left, self.top, self.right, self.bottom)


def is_mostly_grey(pixels: np.ndarray) -> bool:
    """Whether a picture is resized faster with its colours apart, by a few of its rows.

    Args:
        pixels: uint8 of shape (height, width, 3 or 4).
    """
    height, width = pixels.shape[:2]
    if height * width > MOST_PIXELS:
        return False
    some = pixels[::_EVERY]
    green = some[..., 1]
    coloured = (some[..., 0] != green) | (some[..., 2] != green)
    _, _, columns, rows = cv2.boundingRect(coloured.view(np.uint8))
    return columns * rows <= _MOST_COLOURED * green.size


class Planes:
    """A picture of at most `MOST_PIXELS`, with its colours apart. All of them are right, but see
    `is_mostly_grey`.

    Args:
        pixels: uint8 of shape (height, width, 3), or 4 of which the last is ignored.
        order: Where red, green and blue stand in it.
        workspace: Holds the planes, and what is made of them.
    """

    def __init__(
        self, pixels: np.ndarray, workspace: Workspace, order: tuple[int, int, int] = (0, 1, 2)
    ) -> None:
        self.height, self.width, channels = pixels.shape
        self._workspace = workspace
        apart = [
            workspace.array(_COLOURS + place, self._padded(self.height, self.width))
            for place in range(channels)
        ]
        # padded: (height, width and up to 3 bytes more)
        self._planes = [apart[place] for place in order]
        self._coloured = Box(self.height, self.width, 0, 0)
        for top in range(0, self.height, _BAND):
            band = slice(top, min(top + _BAND, self.height))
            cv2.split(pixels[band], [plane[band, : self.width] for plane in apart])
            self._coloured = self._coloured.around(self._colour(band))
        self._sources: dict[bool, list[np.ndarray]] = {}

    @property
    def planes(self) -> list[np.ndarray]:
        """Red, green and blue: uint8 (height, width)."""
        return [plane[:, : self.width] for plane in self._planes]

    def resized(self, width: int, height: int) -> list[np.ndarray]:
        """The picture in another size: red, green and blue as uint8 (height, width), valid until
        the next call. Values equal those of torch's 8-bit bicubic, one axis after the other."""
        if not resizes_rows_first(self.width, self.height, width, height):
            box = self._coloured.turned()
            done = self._both(self._from(turned=True), box, self.height, width, height)
            return [one[:, :width] for one in done]
        done = self._both(self._from(turned=False), self._coloured, self.width, height, width)
        turned: dict[int, np.ndarray] = {}
        for place, one in enumerate(done):
            if id(one) not in turned:
                room = self._workspace.array(_DONE + 3 + place, (height, width))
                turned[id(one)] = cv2.transpose(one[:, :height], room)
        return [turned[id(one)] for one in done]

    def _colour(self, band: slice) -> Box:
        """The smallest box in some rows outside of which all three colours are equal."""
        red, green, blue = (plane[band, : self.width] for plane in self._planes)
        other, another = (
            self._workspace.array(_DIFFERENCE + place, green.shape) for place in (0, 1)
        )
        cv2.absdiff(red, green, other)
        cv2.absdiff(blue, green, another)
        left, top, width, height = cv2.boundingRect(cv2.max(other, another, other))
        return Box(band.start + top, left, band.start + top + height, left + width)

    def _from(self, *, turned: bool) -> list[np.ndarray]:
        """What is resized: green as a whole, red and blue as far as columns have colour; turned on
        the diagonal, if rows come to stand for columns. Padded."""
        if turned not in self._sources:
            box = self._coloured
            part = slice(box.top, box.bottom) if turned else slice(box.left, box.right)
            sources = []
            for place, plane in enumerate(self.planes):
                cut = plane if place == 1 else plane[part] if turned else plane[:, part]
                rows, columns = cut.shape[::-1] if turned else cut.shape
                room = self._workspace.array(
                    _SOURCES + 3 * turned + place, self._padded(rows, columns)
                )
                if not cut.size:
                    pass
                elif turned:
                    cv2.transpose(cut, room[:, :columns])
                else:
                    room[:, :columns] = cut
                sources.append(room)
            self._sources[turned] = sources
        return self._sources[turned]

    def _both(
        self, sources: Sequence[np.ndarray], box: Box, across: int, first: int, second: int
    ) -> list[np.ndarray]:
        """Resizes planes (n, across) to (first, across), turns them, and resizes them to (second,
        first); rows are padded before and after."""
        red, green, blue = sources
        between = self._turned_back(self._along(green, first, _BETWEEN), first, across)
        done = self._along(between, second, _DONE + 1)
        if box.empty:
            return [done] * 3
        # Only what the coloured part reaches is made once more for red and blue.
        start, end = _reached(box.top, box.bottom, len(green), first)
        width = end - start
        result = [done] * 3
        for place, part in ((0, red), (2, blue)):
            resized = self._along(part, first, _BETWEEN + 2)
            colour = self._workspace.array(_BETWEEN + 3, self._padded(across, width))
            colour[:, :width] = between[:, start:end]
            cv2.transpose(
                resized[start:end, : box.right - box.left], colour[box.left : box.right, :width]
            )
            whole = self._workspace.array(_DONE + place, done.shape)
            whole[:] = done
            whole[:, start:end] = self._along(colour, second, _BETWEEN + 4)[:, :width]
            result[place] = whole
        return result

    def _turned_back(self, plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
        turned = self._workspace.array(_BETWEEN + 1, self._padded(columns, rows))
        cv2.transpose(plane[:, :columns], turned[:, :rows])
        return turned

    def _along(self, plane: np.ndarray, rows: int, buffer: int) -> np.ndarray:
        """Resizes the columns of a padded plane (n, m) to (rows, m)."""
        target = self._workspace.array(buffer, (rows, plane.shape[1]))
        groups = plane.shape[1] // _GROUP
        bicubic(plane.reshape(-1, groups, _GROUP), target.reshape(rows, groups, _GROUP))
        return target

    @staticmethod
    def _padded(rows: int, columns: int) -> tuple[int, int]:
        return rows, -(-columns // _GROUP) * _GROUP


def resizes_rows_first(old_width: int, old_height: int, width: int, height: int) -> bool:
    """Whether a picture gets its new height before its new width. Values are rounded between the
    two, so the order matters; this has been Pillow's since 13.0."""
    return old_height > height and old_height - height > 2 * (old_width - width)


def _reached(start: int, end: int, old: int, new: int) -> tuple[int, int]:
    """The rows of ``new`` in which rows from ``start`` to before ``end`` of ``old`` have a part, or
    a few more."""
    scale = old / new
    reach = _REACH * max(scale, 1) + 1
    first = math.floor((start - reach) / scale) - 1
    last = math.ceil((end + reach) / scale) + 1
    return max(0, first), min(new, last)


def bicubic(source: np.ndarray, target: np.ndarray) -> None:
    """Resizes uint8 (height, width, channels) along the axis in which ``target`` differs in
    size."""
    import torch

    size = target.shape[:2]
    torch.ops.aten._upsample_bicubic2d_aa.out(_batch(source), size, False, out=_batch(target))


def _batch(pixels: np.ndarray) -> torch.Tensor:
    import torch

    # Add the batch dimension first, then permute: only then does torch recognise channels-last
    # memory, read it without a copy and return the same layout. Permuting before the batch
    # dimension takes two to three times as long.
    return torch.from_numpy(pixels).unsqueeze(0).permute(0, 3, 1, 2)
