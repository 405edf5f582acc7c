"""``--where``: a condition in SQL, evaluated by DuckDB on each batch of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.exports.forms import library


@dataclass(frozen=True)
class Condition:
    """A condition on rows. Rows for which it is null are not wanted.

    Args:
        expression: SQL, such as ``finish_reason = 'stop' AND len(caption) > 20``.
    """

    expression: str

    def check(self, schema: pa.Schema) -> None:
        """Refuses a condition that cannot be evaluated on these columns.

        Raises:
            ConfigurationError: With DuckDB's message.
        """
        self.rows(schema.empty_table())

    def rows(self, rows: pa.Table) -> pa.Table:
        """The wanted rows, in their order."""
        duckdb = library("duckdb", "sql", "--where")
        connection: Any = duckdb.connect(config={"threads": 1})
        try:
            connection.register("results", rows)
            # A condition is about the row: it opens no files and installs nothing.
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
            found = connection.sql(f"SELECT CAST(({self.expression}\n) AS BOOLEAN) AS wanted FROM results")
            wanted = found.to_arrow_table()["wanted"]
        except duckdb.Error as error:
            said = " ".join(str(error).split())
            raise ConfigurationError(f"--where {self.expression!r}: {said:.600}") from None
        finally:
            connection.close()
        if len(wanted) != len(rows):
            raise ConfigurationError(f"--where {self.expression!r}: must be a condition on one row, such as a = 1.")
        return rows.filter(wanted)
