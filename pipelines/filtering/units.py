"""The units of an output as a DuckDB table, with the columns of other outputs joined by id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.redaction import safe_uri
from pipelines.filtering import sql
from pipelines.output.folder import RESULTS, OutputFolder


def open_units(output: OutputFolder, joined: Mapping[str, OutputFolder], scratch: Path) -> tuple[Any, int]:
    """Opens the results of an output as the view ``units``.

    Args:
        output: The output whose units are judged.
        joined: Name -> an output with more columns of the same units. Its columns are there by their own names, where
            the first output has none of that name, and as ``name.column``.
        scratch: A folder for what does not fit into memory.

    Returns:
        The connection, and the number of units.

    Raises:
        ConfigurationError: An output holds no results.
    """
    import duckdb

    connection = duckdb.connect(str(scratch / "units.duckdb"))
    connection.execute(f"SET temp_directory = {sql.text(str(scratch / 'spilled'))}")
    connection.execute("SET preserve_insertion_order = false")
    _view(connection, "results", output)
    columns = columns_of(connection, "results")
    chosen, tables = ["results.*"], ["results"]
    for name, folder in joined.items():
        _view(connection, name, folder)
        more = [column for column in columns_of(connection, name) if column not in columns]
        columns += more
        chosen += [sql.name(name), *(f"{sql.name(name)}.{sql.name(column)}" for column in more)]
        tables.append(f"LEFT JOIN {sql.name(name)} ON results.id = {sql.name(name)}.id")
    connection.execute(f"CREATE VIEW units AS SELECT {', '.join(chosen)} FROM {' '.join(tables)}")
    counted = connection.execute("SELECT count(*) FROM results").fetchall()
    return connection, counted[0][0]


def _view(connection: Any, name: str, folder: OutputFolder) -> None:
    files = folder.files(RESULTS)
    if not files:
        raise ConfigurationError(f"{safe_uri(folder.uri)} holds no results. Name the --output of a job.")
    if not folder.local:
        connection.register_filesystem(folder.fs)
    base = folder.root if folder.local else folder.uri
    listed = ", ".join(sql.text(f"{base}/{file}") for file in files)
    try:
        connection.execute(
            f"CREATE VIEW {sql.name(name)} AS SELECT * FROM read_parquet([{listed}], union_by_name = true)"
        )
    except Exception as error:
        raise ConfigurationError(f"{safe_uri(folder.uri)}: {first_line(error)}") from None


def columns_of(connection: Any, table: str) -> list[str]:
    """Names of a table's columns."""
    return [row[0] for row in connection.execute(f"DESCRIBE {sql.name(table)}").fetchall()]


def first_line(error: Exception) -> str:
    """What DuckDB says in short."""
    return str(error).strip().splitlines()[0]
