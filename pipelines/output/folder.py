"""The output folder: ``results/``, ``errors/`` and ``_runs/``, on local disk or in an object store.

A file appears whole or not at all: one PUT in an object store, a rename on local disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from internvl_ops.media import s3_config
from internvl_ops.media.s3_config import refuse_keys
from internvl_ops.redaction import safe_uri
from pipelines.output.fences import Fences, is_late, parse_fences
from pipelines.output.ownership import named_run, writer_of
from pipelines.patience import patiently, reason

RESULTS, ERRORS, DOCUMENTS, EVALUATION, RUNS = "results", "errors", "documents", "evaluation", "_runs"
LEASES = f"{RUNS}/.lease"  # see `pipelines.output.lease`


SCHEMES = ("file", "s3")  # stores that keep written files
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def _checked(uri: str) -> str:
    """``uri``, after replacing Spark's spellings of s3.

    Raises:
        ConfigurationError: The store would not keep written files, or no bucket is named.
    """
    from fsspec.registry import available_protocols  # imported only once there is an output to check, as below

    allowed = "Use a local path or s3://bucket/prefix."
    match = _SCHEME.match(uri)
    scheme = match[1].lower() if match else ""
    if not uri.strip():
        raise ConfigurationError(f"--output {uri!r} is empty. {allowed}")
    if "::" in uri or (scheme not in SCHEMES and ("://" in uri or scheme in ("s3a", "s3n", *available_protocols()))):
        if scheme in ("s3a", "s3n") and uri[len(scheme) :].startswith("://"):
            return _checked(f"s3{uri[len(scheme) :]}")
        raise ConfigurationError(f"--output {safe_uri(uri)}: results cannot be kept there. {allowed}")
    if scheme == "s3" and not re.match(r"s3://[^/?#\s]", uri):
        raise ConfigurationError(f"--output {safe_uri(uri)} names no bucket. {allowed}")
    if scheme == "s3":
        refuse_keys("--output", uri)
    return uri


def as_parquet(table: pa.Table) -> bytes:
    """A whole Parquet file as bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


class OutputFolder:
    """Reads and writes one output folder.

    Args:
        uri: A local path, or ``s3://bucket/prefix``.

    Raises:
        ConfigurationError: fsspec does not know the scheme.
    """

    def __init__(self, uri: str) -> None:
        import fsspec

        self.uri = _checked(uri).rstrip("/") or "/"
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.uri, **self._storage_options())
        except (ValueError, ImportError, OSError) as error:
            raise ConfigurationError(
                f"--output {safe_uri(uri)}: {error}. Use a local path or s3://bucket/prefix."
            ) from None
        self.local = "file" in self.fs.protocol
        self.fences: Fences | None = None  # fences of runs that were taken over; read when first needed
        self.before_change: Callable[[], None] | None = None  # may wait; raises if no change is allowed

    def _storage_options(self) -> dict[str, object]:
        # A cached listing could lack this run's files, so the cache is off. Only `patiently` waits and retries; retries
        # on several levels would multiply and take minutes each.
        if urlsplit(self.uri).scheme != "s3":
            return {}
        return {"use_listings_cache": False, **s3_config.options(retries={"total_max_attempts": 1})}

    def check_writable(self) -> None:
        """Writes and removes a small file.

        Raises:
            ConfigurationError: It failed; the message contains the store's own reason.
        """
        probe = self._path(f"{RUNS}/.probe-{secrets.token_hex(8)}")
        try:
            if self.local:
                os.makedirs(posixpath.dirname(probe), exist_ok=True)
            self.fs.pipe_file(probe, b"")
            self.fs.rm_file(probe)
        except Exception as error:
            raise ConfigurationError(f"--output {safe_uri(self.uri)}: not writable: {reason(error)}") from None

    def clear(self, keep: Collection[str] = ()) -> None:
        """Removes the results, errors and documents of every run, except the runs in ``keep``.

        Files that are not proven to be written by a run stay, whatever folder they are in.
        """
        self._ask()
        for folder in (RESULTS, ERRORS, DOCUMENTS):
            for name, run in self.writers(folder).items():
                if run is not None and run not in keep:
                    self.remove(name)

    def writers(self, folder: str, threads: int = 16) -> dict[str, str | None]:
        """The run that wrote each Parquet file of a folder; None if that is not proven."""
        names = self.files(folder)
        with ThreadPoolExecutor(threads) as pool:
            return dict(zip(names, pool.map(self.writer, names), strict=True))

    def writer(self, name: str) -> str | None:
        """The run that wrote a Parquet file; None if that is not proven. See `pipelines.output.ownership`."""
        if named_run(name) is None:
            return None

        def read() -> pq.FileMetaData:
            with self.fs.open(self._path(name), "rb") as file:
                return pq.read_metadata(file)

        try:
            return writer_of(name, patiently(read, f"{safe_uri(self.uri)}/{name} could not be read"))
        except (pa.ArrowInvalid, FileNotFoundError):
            return None

    def files(self, folder: str) -> list[str]:
        """Names of the finished Parquet files in ``results`` or ``errors``, relative to the output, sorted.

        Late files of a run that was taken over are left out; see `pipelines.output.fences`.
        """
        names = patiently(lambda: self.list_names(folder), f"{safe_uri(self.uri)}/{folder} could not be listed")
        finished = (f"{folder}/{name}" for name in names if name.endswith(".parquet") and not name.startswith("."))
        return sorted(name for name in finished if not is_late(self._known_fences(), name))

    def _known_fences(self) -> Fences:
        if self.fences is None:
            self.fences = patiently(self._read_fences, f"{safe_uri(self.uri)}/{LEASES} could not be read")
        return self.fences

    def _read_fences(self) -> Fences:
        with contextlib.suppress(FileNotFoundError):  # its holder ended, and the next holder has removed it
            if names := [name for name in self.list_names(LEASES) if name.removesuffix(".json").isdigit()]:
                return parse_fences(self.read_bytes(f"{LEASES}/{max(names)}"))
        return {}

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Reads one Parquet file, or some of its columns; retries while the store fails temporarily."""

        def read() -> pa.Table:
            with self.fs.open(self._path(name), "rb") as file:
                return pq.read_table(file, columns=columns)

        try:
            return patiently(read, f"{safe_uri(self.uri)}/{name} could not be read")
        except pa.ArrowInvalid as error:
            said = str(error).split(" Location", 1)[0].splitlines()[0]
            raise ConfigurationError(
                f"{safe_uri(self.uri)}/{name} is no whole file of a run: {said:.200}. Move it out of this folder; "
                "units whose rows were in it run again."
            ) from None

    def read_metadata(self, name: str) -> dict[bytes, bytes]:
        """The metadata in the schema of one Parquet file."""
        return self.read_schema(name).metadata or {}

    def read_schema(self, name: str) -> pa.Schema:
        """The columns of one Parquet file."""

        def read() -> pa.Schema:
            with self.fs.open(self._path(name), "rb") as file:
                return pq.read_schema(file)

        return patiently(read, f"{safe_uri(self.uri)}/{name} could not be read")

    def read_tables(
        self, folder: str, columns: list[str], threads: int = 16, *, passed_over: Collection[str] = ()
    ) -> Iterator[tuple[str, pa.Table]]:
        """Reads some columns of every file in ``folder``, except those in ``passed_over``, a few files in parallel."""
        names = [name for name in self.files(folder) if name not in passed_over]
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(names), threads * 4):
                chunk = names[start : start + threads * 4]
                yield from zip(chunk, pool.map(lambda name: self.read_table(name, columns), chunk), strict=True)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Writes ``table`` as the Parquet file ``name``; see `write_bytes`."""
        self.write_bytes(name, as_parquet(table))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file, or raises; retries while the store fails temporarily.

        Raises:
            OSError: The store refused, or did not recover in about four minutes.
        """

        def write() -> None:
            self._ask()  # before every attempt, because minutes may pass between two
            self.replace_bytes(name, data)

        patiently(write, f"{safe_uri(self.uri)}/{name} could not be written")

    def remove(self, name: str) -> None:
        """Removes a file; retries while the store fails temporarily."""

        def remove() -> None:
            self._ask()
            self.remove_quietly(name)

        patiently(remove, f"{safe_uri(self.uri)}/{name} could not be removed")

    def read_bytes(self, name: str) -> bytes:
        """Reads a whole file. This and the methods below do not retry."""
        return self.fs.cat_file(self._path(name))

    def list_names(self, folder: str) -> list[str]:
        """Names of the entries in ``folder``, without their path; empty if there is no such folder."""
        try:
            return [posixpath.basename(path) for path in self.fs.ls(self._path(folder), detail=False)]
        except FileNotFoundError:
            return []

    def remove_quietly(self, name: str) -> None:
        """Removes a file; does nothing if it is gone already."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self._path(name))

    def create_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file unless there is one of that name.

        To learn whether it was written, read it back: if the answer was lost, the store itself cannot tell.
        """
        path = self._path(name)
        if self.local:
            os.makedirs(posixpath.dirname(path), exist_ok=True)
            with contextlib.suppress(FileExistsError), open(path, "xb") as file:
                file.write(data)
            return
        try:
            self.fs.pipe_file(path, data, mode="create")
        except Exception as error:
            if self.fs.exists(path):
                return
            if getattr(error, "errno", None) != errno.ENOSYS:
                raise
            self.fs.pipe_file(path, data)  # a store that reports that it has no conditional PUT

    def replace_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file."""
        path = self._path(name)
        if not self.local:
            self.fs.pipe_file(path, data)
            return
        # Readers skip names that start with a dot, so nobody reads a file that a killed job left half written.
        unfinished = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{secrets.token_hex(8)}")
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        try:
            with open(unfinished, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(unfinished)
            raise

    def _ask(self) -> None:
        if self.before_change is not None:
            self.before_change()

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name)
