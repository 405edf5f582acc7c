"""The media of a row: their addresses, as a trainer opens them."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Any

from internvl_ops.stores.schemes import SCHEME
from pipelines.exports.answers import OutputView
from pipelines.exports.counts import LeftOut

S3 = "s3://"


@dataclass(frozen=True)
class MediaOf:
    """Finds the media of rows.

    Args:
        answers: The output.
    """

    answers: OutputView

    def uris(self, row: dict[str, Any]) -> list[str]:
        """The media of a row, as its manifest names them; none for a row of text alone.

        Raises:
            LeftOut: The row had media, and their addresses are not known.
        """
        value = row.get(self.answers.media) if self.answers.media else None
        found = [value] if isinstance(value, str) else list(value or [])
        # With a server that tiles, the number of tiles is not known.
        if not found and (row.get("num_tiles") or row.get("width")):
            raise LeftOut("inline_media")
        if any(not isinstance(uri, str) or uri[:5].lower() == "data:" for uri in found):
            raise LeftOut("inline_media")
        return found

    @property
    def root(self) -> str:
        """The folder that relative paths of an export are relative to, with a slash; empty if there
        is none.

        A trainer joins it with each path. It is empty for media in a store, whose addresses are
        whole.
        """
        base = self.answers.base
        return "" if not base or SCHEME.match(base) else f"{base.rstrip('/')}/"

    def path(self, uri: str) -> str:
        """A URI as a path below `root`, or as a whole address.

        Raises:
            LeftOut: InternVL's loader cannot open it: it opens local files, or objects on S3 if
                there is no root.
        """
        if not self.root:
            uri = self.address(uri)
        scheme = SCHEME.match(uri)
        if scheme is None and not uri.startswith("/"):
            return uri
        if scheme is not None and scheme[1].lower() in ("s3", "s3a", "s3n"):
            if self.root:
                raise LeftOut("other_store")
            return S3 + uri[scheme.end() :]
        if scheme is not None and scheme[1].lower() != "file":
            raise LeftOut("other_store")
        local = uri if scheme is None else uri[scheme.end() :]
        below = os.path.normpath(local)
        if self.root and below.startswith(self.root):
            return posixpath.relpath(below, self.root)
        return local

    def address(self, uri: str) -> str:
        """A URI as a whole address, whatever its scheme."""
        if SCHEME.match(uri) or uri.startswith("/") or not self.answers.base:
            return uri
        return f"{self.answers.base.rstrip('/')}/{uri}"
