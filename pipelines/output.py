"""The output folder: ``results/``, ``errors/`` and ``_runs/``, on local disk or in an object store.

A file appears whole or not at all: one PUT in an object store, a rename on local disk.
"""

from __future__ import annotations

import os
import posixpath
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import safe_uri

RESULTS, ERRORS, DOCUMENTS, RUNS = "results", "errors", "documents", "_runs"
_WRITE_ATTEMPTS = 11  # with the waits below about four minutes: an object store that is down for two comes back in time
_PERMANENT = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


class OutputFolder:
    """Reads and writes one output folder.

    Args:
        uri: A local path, or ``s3://bucket/prefix``.

    Raises:
        ConfigurationError: The scheme is not one fsspec knows.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") or "/"
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.uri, **self._storage_options())
        except (ValueError, ImportError) as error:
            raise ConfigurationError(
                f"--output {safe_uri(uri)}: {error}. Use a local path or s3://bucket/prefix."
            ) from None
        self.local = "file" in self.fs.protocol

    def _storage_options(self) -> dict[str, object]:
        # A listing made before this run's files were written must not be served again after.
        return {"use_listings_cache": False} if urlsplit(self.uri).scheme == "s3" else {}

    def check_writable(self) -> None:
        """Writes and removes a small file.

        Raises:
            ConfigurationError: It could not; the message has the store's own reason.
        """
        probe = self._path(f"{RUNS}/.probe-{os.getpid()}")
        try:
            if self.local:
                os.makedirs(posixpath.dirname(probe), exist_ok=True)
            self.fs.pipe_file(probe, b"")
            self.fs.rm_file(probe)
        except Exception as error:
            raise ConfigurationError(f"--output {safe_uri(self.uri)}: not writable: {_reason(error)}") from None

    def clear(self) -> None:
        """Removes every result, error and document; what ``--overwrite`` does."""
        for folder in (RESULTS, ERRORS, DOCUMENTS):
            if self.fs.exists(self._path(folder)):
                self.fs.rm(self._path(folder), recursive=True)

    def files(self, folder: str) -> list[str]:
        """Names of the finished Parquet files in ``results`` or ``errors``, relative to the output, sorted."""
        try:
            paths = self.fs.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        names = (posixpath.basename(path) for path in paths)
        return sorted(f"{folder}/{name}" for name in names if name.endswith(".parquet") and not name.startswith("."))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """One Parquet file, or some of its columns."""
        with self.fs.open(self._path(name), "rb") as file:
            return pq.read_table(file, columns=columns)

    def read_tables(self, folder: str, columns: list[str], threads: int = 16) -> Iterator[tuple[str, pa.Table]]:
        """Some columns of every file in ``folder``, read side by side, a few at a time."""
        names = self.files(folder)
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(names), threads * 4):
                chunk = names[start : start + threads * 4]
                yield from zip(chunk, pool.map(lambda name: self.read_table(name, columns), chunk), strict=True)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Writes ``table`` as the Parquet file ``name``; see `write_bytes`."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write_bytes(name, sink.getvalue().to_pybytes())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file, or raises; transient failures of the store are waited out.

        Raises:
            OSError: The store refused, or did not recover in about four minutes.
        """
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            try:
                return self._write_once(self._path(name), data)
            except _PERMANENT:
                raise
            except Exception as error:
                if attempt == _WRITE_ATTEMPTS:
                    raise OSError(f"{safe_uri(self.uri)}/{name} could not be written: {_reason(error)}") from error
                time.sleep(min(60, 2**attempt / 2) * random.uniform(0.5, 1))

    def remove(self, name: str) -> None:
        self.fs.rm_file(self._path(name))

    def _write_once(self, path: str, data: bytes) -> None:
        if not self.local:
            self.fs.pipe_file(path, data)
            return
        # Readers skip names that start with a dot, so a file that a killed job left half written is never seen.
        unfinished = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{os.getpid()}")
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name)


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    cause = error.__cause__
    return f"{text} ({cause})" if cause and str(cause) and str(cause) not in text else text
