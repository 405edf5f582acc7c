"""The output folder: ``results/``, ``errors/`` and ``_runs/``, on local disk or in an object store.

A file appears whole or not at all: one PUT in an object store, a rename on local disk.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.opening import refuse_keys, store_of
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.schemes import (
    LOCAL,
    SCHEME,
    canonical,
    scheme_named,
    split_uri,
    written_places,
)
from pipelines.output.fences import Fences, is_late, parse_fences
from pipelines.output.lease_names import lease_name, newest_leases
from pipelines.output.merges import MERGE, MERGED, Merge, parse_merge
from pipelines.output.ownership import named_run, writer_of
from pipelines.output.parquet_bytes import as_parquet
from pipelines.patience import is_permanent, patiently, reason

RESULTS, ERRORS, DOCUMENTS, EVALUATION, RUNS = (
    "results",
    "errors",
    "documents",
    "evaluation",
    "_runs",
)
# written by people through the viewer: no run removes or rewrites anything there
REVIEWS = "reviews"
LEASES = f"{RUNS}/.lease"  # see `pipelines.output.lease`


_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def _checked(uri: str) -> str:
    """``uri`` in canonical form.

    Raises:
        ConfigurationError: The store would not keep written files, or no bucket is named.
    """
    # imported only once there is an output to check
    from fsspec.registry import available_protocols

    allowed = f"Use {written_places()}."
    if not uri.strip():
        raise ConfigurationError(f"--output {uri!r} is empty. {allowed}")
    match = _PROTOCOL.match(uri)
    name = match[1].lower() if match else ""
    scheme = scheme_named(name)
    # A local path may begin with a word and a colon, but not with what fsspec takes for a protocol.
    is_local = "://" not in uri and name not in ("s3a", "s3n", *available_protocols())
    if scheme is not None and scheme.name == "hf":
        allowed += (
            " `internvl-batch export --to hf --push-to-hub OWNER/NAME` publishes results on the"
            " Hub."
        )
    if "::" in uri or not (is_local or (scheme and scheme.written)):
        raise ConfigurationError(
            f"--output {safe_uri(uri)}: results cannot be kept there. {allowed}"
        )
    if is_local or scheme is LOCAL:
        return canonical(uri)
    plain = canonical(uri)
    bucket = split_uri(plain)[0] if SCHEME.match(uri) else ""
    if not bucket or re.search(r"[?#\s]", bucket):
        raise ConfigurationError(f"--output {safe_uri(uri)} names no bucket. {allowed}")
    refuse_keys("--output", plain)
    return plain


class OutputFolder:
    """Reads and writes one output folder.

    Args:
        uri: A local path, or ``s3://bucket/prefix``, or a prefix in another store that keeps files;
            see `internvl_ops.stores.schemes`.

    Raises:
        ConfigurationError: No store keeps files there, or its package is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = _checked(uri).rstrip("/") or "/"
        self.store = store_of(self.uri)
        self.local = self.store.scheme.name == "file"
        self._base = os.path.abspath(self.uri) if self.local else self.uri
        # fences of runs that were taken over; read when first needed
        self.fences: Fences | None = None
        # may wait; raises if no change is allowed
        self.before_change: Callable[[], None] | None = None

    @property
    def fs(self) -> Any:
        """The folder's file system, as fsspec has it."""
        import fsspec

        return fsspec.filesystem("file") if self.local else self.store.fs  # type: ignore[attr-defined]

    @property
    def root(self) -> str:
        """The folder's path in `fs`."""
        return self._base if self.local else str(self.fs._strip_protocol(self._base))

    def check_writable(self) -> None:
        """Writes and removes a small file.

        Raises:
            ConfigurationError: It failed; the message contains the store's own reason.
        """
        probe = self._path(f"{RUNS}/.probe-{secrets.token_hex(8)}")
        try:
            self.store.write(probe, b"")
            self.store.delete(probe)
        except Exception as error:
            raise ConfigurationError(
                f"--output {safe_uri(self.uri)}: not writable: {reason(error)}"
            ) from None

    def check_listable(self, said: str = "") -> None:
        """Refuses a local path that cannot be a folder (a file, a place below a file, a name that
        is too long), and a store without credentials, which nobody needs to wait for.

        Args:
            said: What the user wrote; ``--output`` and the path by default.

        Raises:
            ConfigurationError: With the system's own reason.
        """
        said = said or f"--output {safe_uri(self.uri):.300}"
        try:
            self.list_names(RESULTS)
        except Exception as error:
            if self.local and isinstance(error, OSError) and is_permanent(error):
                why = error.strerror or reason(error)
                raise ConfigurationError(f"{said}: {why}. Give a folder.") from None
            if self.store.is_locked(error):
                raise ConfigurationError(f"{said}: {reason(error)}.") from None

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
        """The run that wrote a Parquet file; None if that is not proven. See
        `pipelines.output.ownership`."""
        if named_run(name) is None:
            return None

        def read() -> pq.FileMetaData:
            with self.store.open(self._path(name)) as file:
                return pq.read_metadata(file)

        try:
            return writer_of(
                name, patiently(read, f"{safe_uri(self.uri)}/{name} could not be read")
            )
        except (pa.ArrowInvalid, FileNotFoundError):
            return None

    def files(self, folder: str) -> list[str]:
        """Names of the finished Parquet files in ``results`` or ``errors``, relative to the output,
        sorted.

        Late files of a run that was taken over are left out, see `pipelines.output.fences`, and so
        are files whose rows stand in another one already, see `pipelines.output.merges`.
        """
        names = patiently(
            lambda: self.list_names(folder), f"{safe_uri(self.uri)}/{folder} could not be listed"
        )
        finished = (
            f"{folder}/{name}"
            for name in names
            if name.endswith(".parquet") and not name.startswith(".")
        )
        merged = self._merged()
        return sorted(
            name
            for name in finished
            if name not in merged and not is_late(self._known_fences(), name)
        )

    def merge_there(self) -> Merge | None:
        """The merge of files that was begun and not ended; None if there is none."""
        try:
            text = patiently(
                lambda: self.read_bytes(MERGE), f"{safe_uri(self.uri)}/{MERGE} could not be read"
            )
        except FileNotFoundError:
            return None
        return parse_merge(text)

    def is_merged(self, merge: Merge) -> bool:
        """Whether the rows of the sources stand in the target."""
        try:
            return self.read_metadata(merge.target).get(MERGED) == merge.id.encode()
        except FileNotFoundError:
            return False

    def _merged(self) -> Collection[str]:
        """Files of a merge that was begun, whose rows stand in its target."""
        merge = self.merge_there()
        return merge.sources if merge is not None and self.is_merged(merge) else ()

    def _known_fences(self) -> Fences:
        if self.fences is None:
            self.fences = patiently(
                self._read_fences, f"{safe_uri(self.uri)}/{LEASES} could not be read"
            )
        return self.fences

    def _read_fences(self) -> Fences:
        fences: dict[str, Mapping[str, int] | None] = {}
        for shard, number in newest_leases(self.list_names(LEASES)).items():
            # its holder ended, and the next holder has removed it
            with contextlib.suppress(FileNotFoundError):
                fences |= parse_fences(self.read_bytes(f"{LEASES}/{lease_name(shard, number)}"))
        return fences

    def read_table(
        self, name: str, columns: list[str] | None = None, optional: Collection[str] = ()
    ) -> pa.Table:
        """Reads one Parquet file, or some of its columns; retries while the store fails
        temporarily.

        Args:
            name: Name of the file, relative to the output.
            columns: Columns that every file has; None reads all.
            optional: Columns that are read where the file has them.
        """

        def read() -> pa.Table:
            with self.store.open(self._path(name)) as file:
                if not optional or columns is None:
                    return pq.read_table(file, columns=columns)
                parquet = pq.ParquetFile(file)
                return parquet.read(
                    [*columns, *(one for one in optional if one in parquet.schema_arrow.names)]
                )

        try:
            return patiently(read, f"{safe_uri(self.uri)}/{name} could not be read")
        except pa.ArrowInvalid as error:
            said = str(error).split(" Location", 1)[0].splitlines()[0]
            raise ConfigurationError(
                f"{safe_uri(self.uri)}/{name} is no whole file of a run: {said:.200}. Move it out"
                " of this folder; units whose rows were in it run again."
            ) from None

    def read_metadata(self, name: str) -> dict[bytes, bytes]:
        """The metadata in the schema of one Parquet file."""
        return self.read_schema(name).metadata or {}

    def read_schema(self, name: str) -> pa.Schema:
        """The columns of one Parquet file."""

        def read() -> pa.Schema:
            with self.store.open(self._path(name)) as file:
                return pq.read_schema(file)

        return patiently(read, f"{safe_uri(self.uri)}/{name} could not be read")

    def size(self, name: str) -> int:
        """The size of a file, in bytes."""
        found = patiently(
            lambda: self.store.stat(self._path(name)),
            f"{safe_uri(self.uri)}/{name} could not be read",
        )
        return found.size or 0

    def read_tables(
        self,
        folder: str,
        columns: list[str],
        threads: int = 16,
        *,
        passed_over: Collection[str] = (),
        optional: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Iterator[tuple[str, pa.Table]]:
        """Reads some columns of the files in ``folder``, a few files in parallel.

        Args:
            folder: ``results`` or another folder of Parquet files.
            columns: Columns that every file has.
            threads: Files that are read at once.
            passed_over: Files to leave out.
            optional: Columns that are read where a file has them.
            only: Files to read; None reads all.
        """
        names = [
            name
            for name in self.files(folder)
            if name not in passed_over and (only is None or name in only)
        ]
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(names), threads * 4):
                chunk = names[start : start + threads * 4]
                yield from zip(
                    chunk,
                    pool.map(lambda name: self.read_table(name, columns, optional), chunk),
                    strict=True,
                )

    def write_table(self, name: str, table: pa.Table) -> int:
        """Writes ``table`` as the Parquet file ``name``; see `write_bytes`. Returns its size in
        bytes."""
        data = as_parquet(table)
        self.write_bytes(name, data)
        return len(data)

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
        return self.store.read(self._path(name))

    def list_names(self, folder: str) -> list[str]:
        """Names of the entries in ``folder``, without their path; empty if there is no such
        folder."""
        return self.store.names(self._path(folder))

    def remove_quietly(self, name: str) -> None:
        """Removes a file; does nothing if it is gone already."""
        self.store.delete(self._path(name))

    def create_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file unless there is one of that name.

        To learn whether it was written, read it back: if the answer was lost, the store itself
        cannot tell.
        """
        self.store.create(self._path(name), data)

    def replace_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file."""
        self.store.write(self._path(name), data)

    def _ask(self) -> None:
        if self.before_change is not None:
            self.before_change()

    def _path(self, name: str) -> str:
        return posixpath.join(self._base, name)
