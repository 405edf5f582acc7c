"""The last stage: writes finished rows to whole Parquet files, each unit once."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import RETRIABLE, ConfigurationError
from internvl_ops.stores.redaction import safe_text
from pipelines import columns as c
from pipelines.failures import errors_with, outcomes
from pipelines.ledger.ledger import Book, State
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.result_columns import ERROR_SCHEMA, error_schema
from pipelines.output.totals import Totals


def retried_by(kind: str) -> str:
    """The option with which the same command runs a unit with this error again."""
    return "--retry-errors" if kind in RETRIABLE else f"--retry-errors {kind}"


def _carried(rows: pa.Table, name: str, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """A column of failed rows: null if the column is missing or a value does not have the type."""
    if name not in rows.column_names:
        return pa.nulls(len(rows), type_)
    try:
        return rows[name].cast(type_)
    except Exception:
        if len(rows) == 1:
            return pa.nulls(1, type_)
    return pa.chunked_array(
        [
            chunk
            for row in range(len(rows))
            for chunk in _chunks(_carried(rows.slice(row, 1), name, type_))
        ],
        type_,
    )


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


class Writer:
    """Collects finished rows and writes them as whole files, in a thread of its own.

    A file is written when it is full or when its oldest row has waited ``commit_seconds``. It is
    full by its size, as the last file suggests it, by the memory that its rows take, or by their
    number. Before it is written, the writer asks the ledger which rows are still to be written;
    afterwards, it books them as written.

    Args:
        output: The output.
        book: The ledger.
        schema: Schema of ``results/``; see `result_schema`.
        run_id: Written into file names and into every row.
        model: Written into every result.
        unparsed: Column that is null if the task found nothing in the answer.
        file_bytes: Size of a full file. In memory its rows take at most twice as much.
        rows_per_file: Rows of a full file; None: however many.
        commit_seconds: Longest wait of a finished row.
        metadata: Written into the schema of every file.
        token: Number of the lease that the run holds; written into every file.
        absent: Columns of ``schema`` for which this run has no values; null in every row.
        folders: Where results and errors are written, if not in the folders of that name.

    Attributes:
        totals: Totals of the rows in finished files.
        counting: Who holds it finds the same rows in `totals` and in the ledger.
    """

    def __init__(
        self,
        output: OutputFolder,
        book: Book,
        schema: pa.Schema,
        *,
        run_id: str,
        model: str,
        unparsed: str | None = None,
        file_bytes: int = 128 << 20,
        rows_per_file: int | None = None,
        commit_seconds: float = 60,
        metadata: Mapping[bytes, bytes] | None = None,
        token: int = 0,
        absent: Collection[str] = (),
        folders: Mapping[str, str] | None = None,
    ) -> None:
        self._folders = folders or {RESULTS: RESULTS, ERRORS: ERRORS}
        self.totals = Totals()
        self.counting = threading.Lock()
        self._absent = {c.MORE, *absent}
        self._output, self._book, self._schema = output, book, schema
        self._error_schema, self._error_columns = error_schema(schema)
        self._run_id, self._model, self._unparsed = run_id, model, unparsed
        self._file_bytes, self._commit_seconds = file_bytes, commit_seconds
        self._rows_per_file = rows_per_file or 1 << 62
        # size of the last file by the memory that its rows took
        self._packed = {RESULTS: 1.0, ERRORS: 1.0}
        self._metadata = {**(metadata or {}), **mark(run_id, token)}
        self._buffers: dict[str, list[tuple[list[bytes], pa.Table]]] = {RESULTS: [], ERRORS: []}
        self._rows: Counter[str] = Counter()  # in the buffers
        self._bytes: Counter[str] = Counter()
        self._oldest: dict[str, float] = {}
        self._files: Counter[str] = Counter()
        # Bounded: if the store is slower than the engines, the run waits for it instead of filling
        # memory.
        self._queue: queue.Queue[pa.Table | None] = queue.Queue(maxsize=64)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="writer")
        self._thread.start()

    def add(self, rows: pa.Table) -> None:
        """Accepts finished rows; may wait for the store.

        Raises:
            OSError: An earlier file could not be written.
        """
        self._put(rows)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes the remaining rows.

        Raises:
            OSError: A file could not be written.
        """
        self._put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _put(self, rows: pa.Table | None) -> None:
        while self._failure is None:
            try:
                return self._queue.put(rows, timeout=1)
            except queue.Full:
                continue
        if rows is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while True:
                try:
                    rows = self._queue.get(timeout=min(1.0, self._commit_seconds))
                except queue.Empty:
                    self._flush_old()
                    continue
                if rows is None:
                    for folder in (RESULTS, ERRORS):
                        self._flush(folder)
                    return
                self._take(rows)
                self._flush_old()
        except BaseException as failure:
            self._failure = failure

    def _take(self, rows: pa.Table) -> None:
        failed = pc.is_valid(rows[c.ERROR])
        try:
            results = self._as_results(rows.filter(pc.invert(failed)))
        except ConfigurationError:
            raise  # every other row would fail in the same way
        except Exception:  # the value of some row does not fit the schema; that row fails alone
            rows = c.set_errors(rows, errors_with(rows, outcomes(rows, "write", self._as_results)))
            failed = pc.is_valid(rows[c.ERROR])
            results = self._as_results(rows.filter(pc.invert(failed)))
        keys = rows[c.KEY]
        if len(results):
            self._buffer(RESULTS, keys.filter(pc.invert(failed)).to_pylist(), results)
        if len(results) < len(rows):
            self._buffer(
                ERRORS, keys.filter(failed).to_pylist(), self._as_errors(rows.filter(failed))
            )

    def _as_results(self, rows: pa.Table) -> pa.Table:
        constants = {"model": self._model, "run_id": self._run_id}
        arrays = []
        for name, type_ in zip(self._schema.names, self._schema.types, strict=True):
            if name in constants:
                arrays.append(pa.repeat(pa.scalar(constants[name], type_), len(rows)))
            elif name in self._absent and name not in rows.column_names:
                arrays.append(pa.nulls(len(rows), type_))
            else:
                arrays.append(rows[name].cast(type_))
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _as_errors(self, rows: pa.Table) -> pa.Table:
        errors = [
            {
                "id": unit_id,
                "source": source,
                **error,
                "message": safe_text(error["message"]),
                "run_id": self._run_id,
                "retry": retried_by(error["kind"]),
            }
            for unit_id, source, error in zip(
                *(rows[name].to_pylist() for name in (c.ID, c.SOURCE, c.ERROR)), strict=True
            )
        ]
        table = pa.Table.from_pylist(errors, ERROR_SCHEMA)
        columns = [
            _carried(rows, self._error_columns[field.name], field.type)
            if field.name in self._error_columns
            else table[field.name]
            for field in self._error_schema
        ]
        return pa.Table.from_arrays(columns, schema=self._error_schema)

    def _buffer(self, folder: str, keys: list[bytes], rows: pa.Table) -> None:
        self._buffers[folder].append((keys, rows))
        self._oldest.setdefault(folder, time.monotonic())
        self._rows[folder] += len(rows)
        self._bytes[folder] += rows.nbytes
        most = min(2.0, 1 / max(self._packed[folder], 1e-9)) * self._file_bytes
        if self._rows[folder] >= self._rows_per_file or self._bytes[folder] >= most:
            self._flush(folder)

    def _flush_old(self) -> None:
        for folder, since in list(self._oldest.items()):
            if time.monotonic() - since >= self._commit_seconds:
                self._flush(folder)

    def _flush(self, folder: str) -> None:
        if not self._buffers[folder]:
            return
        keys = [key for keys, _ in self._buffers[folder] for key in keys]
        rows = pa.concat_tables(rows for _, rows in self._buffers[folder])
        self._buffers[folder] = []
        self._rows[folder] = self._bytes[folder] = 0
        self._oldest.pop(folder, None)
        pending = self._book.pending(keys)
        # a copy, of a whole file
        rows = rows if all(pending) else rows.filter(pa.array(pending, pa.bool_()))
        if not len(rows):
            return
        rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), **self._metadata})
        name = parquet_name(self._run_id, self._files[folder])
        size = self._output.write_table(f"{self._folders[folder]}/{name}", rows)
        self._packed[folder] = size / max(1, rows.nbytes)
        self._files[folder] += 1
        written = [key for key, new in zip(keys, pending, strict=True) if new]
        with self.counting:
            self._book.written(written, State.RESULT if folder == RESULTS else State.ERROR)
            self._count(folder, rows)

    def _count(self, folder: str, rows: pa.Table) -> None:
        totals = self.totals
        if folder == RESULTS:
            totals.add_results(rows, self._unparsed)
            return
        columns = (rows[name].to_pylist() for name in ("kind", "message", "id", "source", "media"))
        for kind, message, *names, media in zip(*columns, strict=True):
            totals.add_error(kind, message, [*filter(None, names), *(media or ())])
