"""An output in DuckDB: names and texts as SQL spells them, and the Parquet files of a folder as a
table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.output.folder import OutputFolder


def quoted(name: str) -> str:
    """A name as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL spells it."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Texts as a list in SQL."""
    return f"[{', '.join(map(literal, texts))}]"


def register_store(connection: Any, folder: OutputFolder) -> None:
    """Lets a DuckDB connection read an output that lies in a store."""
    import duckdb

    if folder.local:
        return
    try:
        connection.register_filesystem(folder.fs)
    except duckdb.InvalidInputException:  # another output in the same store has registered it
        return


def address(folder: OutputFolder, name: str) -> str:
    """Where DuckDB finds a file of an output."""
    base = folder.root if folder.local else folder.uri
    return f"{base.rstrip('/')}/{name}"


def parquet_table(folder: OutputFolder, names: Iterable[str]) -> str:
    """Files of an output as one table; a column that a file lacks is null there."""
    return (
        f"read_parquet({literals(address(folder, name) for name in names)}, union_by_name = true)"
    )
