"""``--where``: a condition in SQL, evaluated by DuckDB on each batch of rows."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.extras import library

_of_thread = threading.local()


@dataclass(frozen=True)
class Condition:
    """A condition on rows. Rows for which it is null are not wanted.

    Args:
        expression: SQL, such as ``finish_reason = 'stop' AND len(caption) > 20``.
        table: What SQL calls the rows.
    """

    expression: str
    table: str = "results"

    def check(self, schema: pa.Schema) -> None:
        """Refuses a condition that cannot be evaluated on these columns.

        Raises:
            ConfigurationError: With DuckDB's message.
        """
        self.rows(schema.empty_table())

    def rows(self, rows: pa.Table) -> pa.Table:
        """The wanted rows, in their order.

        Raises:
            ConfigurationError: It cannot be evaluated, on these columns or on the values of a row.
        """
        try:
            return rows.filter(self._evaluated(rows))
        except _duckdb().Error as error:
            raise ConfigurationError(f"{self}: {said(error)}") from None

    def test(self, rows: pa.Table) -> tuple[np.ndarray, dict[int, str]]:
        """Which rows are wanted, as bool (n,), and why rows cannot be tested, by their index."""
        try:
            wanted = self._evaluated(rows)
        except _duckdb().Error as error:
            if len(rows) == 1:
                return np.zeros(1, bool), {0: f"{self}: {said(error)}"}
            half = len(rows) // 2
            first, problems = self.test(rows.slice(0, half))
            second, others = self.test(rows.slice(half))
            return np.concatenate([first, second]), problems | {
                half + row: text for row, text in others.items()
            }
        return wanted.combine_chunks().fill_null(False).to_numpy(zero_copy_only=False), {}

    def _evaluated(self, rows: pa.Table) -> pa.ChunkedArray:
        """One boolean or null a row. Raises an error of DuckDB."""
        connection = _connection()
        connection.register(self.table, rows)
        try:
            found = connection.sql(
                f"SELECT CAST(({self.expression}\n) AS BOOLEAN) AS wanted FROM {self.table}"
            )
            wanted = found.to_arrow_table()["wanted"]
        finally:
            connection.unregister(self.table)
        if len(wanted) != len(rows):
            raise ConfigurationError(f"{self}: must be a condition on one row, such as a = 1.")
        return wanted

    def __str__(self) -> str:
        return f"--where {self.expression!r}"


def _duckdb() -> Any:
    return library("duckdb", "sql", "--where")


def _connection() -> Any:
    """DuckDB in memory, one for each thread: opening it takes longer than testing some thousand
    rows."""
    connection = getattr(_of_thread, "connection", None)
    if connection is None:
        connection = _duckdb().connect(config={"threads": 1})
        # A condition is about the row: it opens no files and installs nothing. A time without a
        # zone is the same everywhere.
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        _of_thread.connection = connection
    return connection


def said(error: Exception) -> str:
    """What DuckDB says, on one line."""
    return f"{' '.join(str(error).split()):.600}"
