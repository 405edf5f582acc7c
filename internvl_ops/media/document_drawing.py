"""Draws a page of a PDF."""

from __future__ import annotations

import ctypes

import cv2
import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from internvl_ops.media.blank import sampled
from internvl_ops.media.planes import Planes, is_mostly_grey
from internvl_ops.media.workspace import Workspace

workspace = Workspace()


class DrawnPage:
    """A page's pixels as PDFium drew them: blue, green, red and a spare byte."""

    def __init__(self, stored: np.ndarray) -> None:
        self._stored = stored
        self.height, self.width = stored.shape[:2]
        self._rgb: np.ndarray | None = None

    def rgb(self) -> np.ndarray:
        """uint8 (height, width, 3)."""
        if self._rgb is None:
            self._rgb = cv2.cvtColor(self._stored, cv2.COLOR_BGRA2RGB)
        return self._rgb

    def sampled(self) -> np.ndarray:
        """Some of its pixels, with their spare byte, for a glance; see `blank.sampled`."""
        return sampled(self._stored)

    def planes(self) -> Planes | None:
        """Its colours apart, for a page that is grey for the most part; None for others."""
        if not is_mostly_grey(self._stored):
            return None
        return Planes(self._stored, workspace, order=(2, 1, 0))


def draw(page: pdfium.PdfPage, width: int, height: int) -> DrawnPage:
    """Draws a page, filling width and height, on white; valid until the next page is drawn."""
    # PDFium draws faster with a spare byte in each pixel, and faster still with blue first. Memory
    # that is new for each page would cost as much again.
    stored = workspace.array(0, (height, width, 4))
    stored.fill(255)
    memory = (ctypes.c_ubyte * stored.nbytes).from_buffer(stored.data)
    bitmap = pdfium.PdfBitmap.new_native(width, height, pdfium_c.FPDFBitmap_BGRx, buffer=memory)
    place = (bitmap, page, 0, 0, width, height, 0, pdfium_c.FPDF_ANNOT)
    pdfium_c.FPDF_RenderPageBitmap(*place)
    if page.formenv:
        pdfium_c.FPDF_FFLDraw(page.formenv, *place)
    bitmap.close()
    return DrawnPage(stored)
