"""Copies of the media in an export, named by their content: the same file twice is one copy.

They are written to their places at once: nothing names them before the export is whole. A copy that
is there is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from pipelines.exports.counts import LeftOut
from pipelines.exports.fetching import MediaFetcher, suffix_of
from pipelines.exports.target import Target

FOLDER = "media"
COPIES = "__copies"  # key of a row: its media, below the root
PART_BYTES = 256 << 10  # of results whose media make a part; about a thousand rows


class MediaCopies(MediaFetcher):
    """Fetches media and writes copies of them."""

    def copied(
        self,
        rows: list[dict[str, Any]],
        uris_of: Callable[[dict[str, Any]], list[str]],
        target: Target,
    ) -> Iterator[dict[str, Any] | LeftOut]:
        """Each row with its copies, or why it has none."""
        for row, media in self.fetched(rows, uris_of):
            if isinstance(media, LeftOut):
                yield media
                continue
            named = zip(media, uris_of(row), strict=True)
            yield row | {COPIES: [self._copy(data, uri, target) for data, uri in named]}
        self.close()

    def root(self, target: Target) -> str:
        """The folder that copies are relative to, with a slash; empty in a store, whose addresses
        are whole."""
        return f"{target.address}/{FOLDER}/" if target.local else ""

    def _copy(self, data: bytes, uri: str, target: Target) -> str:
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        name = f"{digest[:2]}/{digest}.{suffix_of(data, uri)}"
        if not target.exists(f"{FOLDER}/{name}"):
            target.write(f"{FOLDER}/{name}", data)
        return name if target.local else f"{target.address}/{FOLDER}/{name}"
