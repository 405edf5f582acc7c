"""Renders pages of documents again, in the sandbox and by the same read policy as a job."""

from __future__ import annotations

from typing import Any

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.display import as_jpeg
from internvl_ops.media.document import DocumentOptions
from internvl_ops.media.parts import DecodeOptions, Part
from internvl_ops.media_reader import MediaReader, MediaRef, ReadLimits
from internvl_ops.preparer import Unit
from pipelines.exports.counts import LeftOut

DPI = 200  # small print stays legible; a page of A4 has 1654 x 2339 pixels
SIDE = 4096  # pixels of a larger page's longer side


class PageRenderer:
    """Fetches documents, each once for neighbouring pages, and renders pages of them.

    Args:
        policy: Which URIs may be read.
        max_bytes: Maximum size of a document.
        timeout_s: Maximum seconds for a fetch.
    """

    def __init__(self, policy: ReadPolicy, *, max_bytes: int, timeout_s: float) -> None:
        how = DecodeOptions(kind="document", document=DocumentOptions(dpi=DPI))
        limits = ReadLimits(max_bytes=max_bytes, fetch_timeout_s=timeout_s)
        self._reader = MediaReader(policy, how, limits)

    def page(self, row: dict[str, Any], uri: str) -> bytes | LeftOut:
        """The page of a row as JPEG, at `DPI` pixels an inch.

        Args:
            row: A row of results with ``page`` and, if it is known, ``source_version``.
            uri: Its document.
        """
        media = MediaRef(uri)
        shown = self._reader.display(Unit((), (media,), part=Part(page=row["page"])), SIDE)
        asked, now = row.get("source_version"), self._reader.version(media)
        if asked and now and asked != now:
            return LeftOut("changed")
        if isinstance(shown, UnitError):
            stage = "fetch" if shown.stage == "fetch" else "render"
            return LeftOut(f"{stage}_{shown.kind}")
        return as_jpeg(shown.pictures[0])

    def close(self) -> None:
        """Ends the decoder's process and removes the documents."""
        self._reader.close()
