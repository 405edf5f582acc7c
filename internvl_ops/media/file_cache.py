"""Keeps files that are read in parts on local disk, so that each is fetched once."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

from internvl_ops.errors import UnitError
from internvl_ops.media.fetch import Fetcher
from internvl_ops.scratch import ScratchFolder

_NAME = "file-"


class FileCache:
    """The last fetched files, as local paths. Safe to use from several threads; each file is
    fetched once.

    Args:
        fetcher: Fetches a file that is not in the cache.
        max_bytes: Maximum disk space, in bytes; the last requested file is kept even if it alone is
            larger.
        max_files: Maximum number of files.
    """

    def __init__(self, fetcher: Fetcher, *, max_bytes: int = 4 << 30, max_files: int = 16) -> None:
        self._fetcher, self._max_bytes, self._max_files = fetcher, max_bytes, max_files
        self._folder = ScratchFolder()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # the most recently used at the end
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def path(self, uri: str) -> str:
        """Local path of a file; valid until ``max_files`` other files were requested.

        Raises:
            UnitError: Stage "fetch".
        """
        with self._lock:
            busy = self._busy.setdefault(uri, threading.Lock())
            if uri in self._sizes:  # moved to the end, so that no other thread drops it now
                self._sizes.move_to_end(uri)
        with busy:
            path = self._place(uri)
            if not path.exists():
                self._write(path, self._fetcher.fetch(uri))
            with self._lock:
                self._sizes[uri] = path.stat().st_size
                self._sizes.move_to_end(uri)
                self._drop_oldest()
        return str(path)

    @property
    def folder(self) -> str:
        """The folder of the files."""
        return str(self._folder.path)

    def close(self) -> None:
        """Removes the files."""
        self._folder.cleanup()

    def _write(self, path: Path, data: bytes) -> None:
        unfinished = path.with_suffix(".unfinished")  # only a complete file gets the final name
        try:
            unfinished.write_bytes(data)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            message = f"{len(data):,} bytes do not go into {self._folder.path}: {error.strerror}"
            raise UnitError(
                "fetch", "storage", f"{message}. Set TMPDIR to a larger disk."
            ) from error
        unfinished.rename(path)

    def _place(self, uri: str) -> Path:
        return self._folder.path / (
            _NAME + hashlib.blake2b(uri.encode(), digest_size=16).hexdigest()
        )

    def _drop_oldest(self) -> None:
        while len(self._sizes) > 1 and (
            len(self._sizes) > self._max_files or sum(self._sizes.values()) > self._max_bytes
        ):
            oldest, _ = self._sizes.popitem(last=False)
            self._busy.pop(oldest, None)
            # A decoder that has the file open can still read it; the next request fetches it again.
            os.unlink(self._place(oldest))
