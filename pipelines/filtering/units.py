"""The units of an output as a DuckDB table, with the columns of other outputs joined by id."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.remote import first_line
from pipelines.output.folder import RESULTS, REVIEWS, OutputFolder
from pipelines.output.reviews import read_reviews
from pipelines.output.sql import literal, parquet_table, quoted, register_store


def open_units(
    output: OutputFolder, joined: Mapping[str, OutputFolder], scratch: Path
) -> tuple[Any, int]:
    """Opens the results of an output as the view ``units``.

    Args:
        output: The output whose units are judged.
        joined: Name -> an output with more columns of the same units. Its columns are there by
            their own names, where the first output has none of that name, and as ``name.column``.
            So are those of the output's reviews.
        scratch: A folder for what does not fit into memory.

    Returns:
        The connection, and the number of units.

    Raises:
        ConfigurationError: An output holds no results.
    """
    import duckdb

    connection = duckdb.connect(str(scratch / "units.duckdb"))
    connection.execute(f"SET temp_directory = {literal(str(scratch / 'spilled'))}")
    connection.execute("SET preserve_insertion_order = false")
    _view(connection, "results", output)
    columns = columns_of(connection, "results")
    chosen, tables = ["results.*"], ["results"]
    connection.register("review_rows", read_reviews(output))
    connection.execute(f"CREATE TABLE {REVIEWS} AS SELECT * FROM review_rows")
    connection.unregister("review_rows")
    for name, folder in joined.items():
        _view(connection, name, folder)
    for name in (REVIEWS, *joined):
        more = [column for column in columns_of(connection, name) if column not in columns]
        columns += more
        chosen += [quoted(name), *(f"{quoted(name)}.{quoted(column)}" for column in more)]
        tables.append(f"LEFT JOIN {quoted(name)} ON results.id = {quoted(name)}.id")
    connection.execute(f"CREATE VIEW units AS SELECT {', '.join(chosen)} FROM {' '.join(tables)}")
    counted = connection.execute("SELECT count(*) FROM results").fetchall()
    return connection, counted[0][0]


def _view(connection: Any, name: str, folder: OutputFolder) -> None:
    folder.check_listable(safe_uri(folder.uri))
    files = folder.files(RESULTS)
    if not files:
        raise ConfigurationError(
            f"{safe_uri(folder.uri)} holds no results. Name the --output of a job."
        )
    register_store(connection, folder)
    try:
        connection.execute(
            f"CREATE VIEW {quoted(name)} AS SELECT * FROM {parquet_table(folder, files)}"
        )
    except Exception as error:
        raise ConfigurationError(f"{safe_uri(folder.uri)}: {first_line(error)}") from None


def names_of(connection: Any, joined: Collection[str]) -> list[str]:
    """What a rule may call the columns of the units: by their names, or as ``name.column`` of a
    joined output."""
    inner = [
        f"{name}.{column}" for name in (REVIEWS, *joined) for column in columns_of(connection, name)
    ]
    return [*columns_of(connection, "units"), *inner]


def columns_of(connection: Any, table: str) -> list[str]:
    """Names of a table's columns."""
    return [row[0] for row in connection.execute(f"DESCRIBE {quoted(table)}").fetchall()]
