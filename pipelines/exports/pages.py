"""Renders pages of documents, and images, again: in the sandbox, by the read policy of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.display import Displayed, as_jpeg, cut_out
from internvl_ops.media.document import DocumentOptions
from internvl_ops.media.parts import DecodeOptions, Part
from internvl_ops.media_reader import MediaReader, MediaRef, ReadLimits
from internvl_ops.preparer import Unit
from pipelines.exports.counts import LeftOut

DPI = 200  # small print stays legible; a page of A4 has 1654 x 2339 pixels
SIDE = 4096  # pixels of a larger page's longer side


class PageRenderer:
    """Fetches documents, each once for neighbouring pages, and renders pages of them; or images.

    Args:
        kind: Kind of the files, "document" or "image".
        policy: Which URIs may be read.
        max_bytes: Maximum size of a document.
        timeout_s: Maximum seconds for a fetch.
        password: Opens encrypted documents.
    """

    def __init__(
        self,
        policy: ReadPolicy,
        *,
        max_bytes: int,
        timeout_s: float,
        kind: Literal["document", "image"] = "document",
        password: str = "",
    ) -> None:
        how = DecodeOptions(kind=kind, document=DocumentOptions(dpi=DPI, password=password))
        limits = ReadLimits(max_bytes=max_bytes, fetch_timeout_s=timeout_s)
        self._reader = MediaReader(policy, how, limits)

    def page(self, row: dict[str, Any], uri: str) -> bytes | LeftOut:
        """The page of a row as JPEG, at `DPI` pixels an inch.

        Args:
            row: A row of results with ``page`` and, if it is known, ``source_version``.
            uri: Its document.
        """
        shown = self._shown(row, uri)
        return shown if isinstance(shown, LeftOut) else as_jpeg(shown.pictures[0])

    def cuts(
        self, row: dict[str, Any], uri: str, places: Sequence[Sequence[float]]
    ) -> list[bytes] | LeftOut:
        """Parts of the page or image of a row as JPEG.

        Args:
            row: As in `page`; ``page`` is null for an image.
            uri: Its file.
            places: Left, top, right and bottom of each, as shares of the width and height.
        """
        shown = self._shown(row, uri)
        if isinstance(shown, LeftOut):
            return shown
        return [cut_out(shown.pictures[0], place) for place in places]

    def _shown(self, row: dict[str, Any], uri: str) -> Displayed | LeftOut:
        media = MediaRef(uri)
        shown = self._reader.display(Unit((), (media,), part=Part(page=row.get("page"))), SIDE)
        asked, now = row.get("source_version"), self._reader.version(media)
        if asked and now and asked != now:
            return LeftOut("changed")
        if isinstance(shown, UnitError):
            stage = "fetch" if shown.stage == "fetch" else "render"
            return LeftOut(f"{stage}_{shown.kind}")
        return shown

    def close(self) -> None:
        """Ends the decoder's process and removes the documents."""
        self._reader.close()
