"""The tables of the outputs in DuckDB, which reads the Parquet files in place and streams them."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import pyarrow as pa

from pipelines.output.folder import REVIEWS
from pipelines.output.reviews import REVIEWED
from pipelines.output.sql import address, literals, parquet_table, quoted, register_store
from pipelines.viewer.outputs import TABLES, Table, ViewedOutput

QUERY_SECONDS = 30.0
MEMORY = "4GB"
_DERIVED = 8  # tables of samples and comparisons that are kept
Rows = list[dict[str, Any]]
ColumnKind = Literal["text", "number", "boolean", "time", "boxes", "other"]
_NUMBERS = re.compile(
    r"(TINY|SMALL|BIG|HUGE|U|UTINY|USMALL|UBIG|UHUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)"
)
_TIMES = re.compile(r"DATE|TIME.*|INTERVAL")
_CORNERS = ("x1", "y1", "x2", "y2")


class QueryError(Exception):
    """A query that cannot be answered; the message is for the person who asked."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: Its name.
        type: Its type in DuckDB.
        kind: How the page shows it.
        answer: Whether it is the task's answer.
    """

    name: str
    type: str
    kind: ColumnKind
    answer: bool = False


class Database:
    """One DuckDB database over all outputs; safe to use from several threads.

    It can read the outputs' own folders and nothing else: a condition in SQL that a person types
    reaches no other file.

    Args:
        outputs: The outputs; the tables of the first are results_1, errors_1, documents_1,
            reviews_1.
        scratch: Folder for what does not fit memory.
    """

    def __init__(self, outputs: Sequence[ViewedOutput], scratch: str) -> None:
        self._outputs = list(outputs)
        self._write = threading.Lock()
        self._derived: list[str] = []
        self._connection = duckdb.connect(
            config={"memory_limit": MEMORY, "temp_directory": scratch}
        )
        for output in outputs:
            register_store(self._connection, output.folder)
        self._execute("SET parquet_metadata_cache = true")
        folders = [address(output.folder, f"{table}/") for output in outputs for table in TABLES]
        self._execute(f"SET allowed_directories = {literals(folders)}")
        for setting in ("enable_external_access = false", "lock_configuration = true"):
            self._execute(f"SET {setting}")
        self.columns: dict[tuple[int, str], list[Column]] = {}
        self.rows: dict[tuple[int, str], int] = {}
        for number in range(len(outputs)):
            self.open(number)

    def open(self, number: int) -> None:
        """Makes the views of an output, from the files that it has now."""
        with self._write:
            self._forget_derived()
            self._execute(
                f"CREATE TABLE IF NOT EXISTS {REVIEWS}_{number + 1} ({_columns_of(REVIEWED)})"
            )
            for table in TABLES:
                self._open_table(number, table)

    def _open_table(self, number: int, table: Table) -> None:
        output, name = self._outputs[number], view(number, table)
        files = output.files[table]
        if not files:
            self.columns[number, table], self.rows[number, table] = [], 0
            self._execute(f"DROP VIEW IF EXISTS {name}")
            return
        source = parquet_table(output.folder, files)
        try:
            there = self._execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        except duckdb.Error as error:
            raise QueryError(
                f"{output.name}/{table} cannot be read: {_first_line(error)}"
            ) from None
        answers = self._answers(number, table)
        reviewed = [
            Column(field.name, _duckdb(field.type), _kind(_duckdb(field.type)))
            for field in REVIEWED
            if field.name != "id"
        ]
        names = {column.name for column in reviewed}
        own = [
            Column(column, type_, _kind(type_), column in answers)
            for column, type_, *_ in there
            if column not in names
        ]
        shown = [f"rows.{quoted(column.name)}" for column in own] + [
            f"reviews.{name}" for name in names
        ]
        self._execute(
            f"CREATE OR REPLACE VIEW {name} AS SELECT {', '.join(shown)} FROM {source} AS rows "
            f"LEFT JOIN {REVIEWS}_{number + 1} AS reviews ON rows.id = reviews.id"
        )
        self.columns[number, table] = own + reviewed
        # From the footers alone; a count over the view would look up the review of each row.
        self.rows[number, table] = self._execute(f"SELECT count(*) FROM {source}").fetchall()[0][0]

    def _answers(self, number: int, table: Table) -> set[str]:
        """The columns that hold the answer: those of the task, which the schema of a result
        marks."""
        output = self._outputs[number]
        if table != "results":
            return {"text"} if table == "documents" else {"message"}
        schema = output.folder.read_schema(output.files[table][-1])
        return {field.name for field in schema if b"task" in (field.metadata or {})} or {"response"}

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """The rows of one SELECT.

        Raises:
            QueryError: It is not one SELECT, DuckDB refuses it, or it takes longer than
                `QUERY_SECONDS`.
        """
        with self._asking(sql) as cursor:
            found = cursor.execute(sql, list(parameters))
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def derive(self, name: str, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Makes a table from a SELECT, unless there is one of that name.

        The oldest of more than `_DERIVED` tables is forgotten, and all of them when an output is
        read again.

        Raises:
            QueryError: As `query`.
        """
        with self._write:
            if name in self._derived:
                return
            with self._asking(sql) as cursor:
                cursor.execute(f"CREATE TABLE {quoted(name)} AS {sql}", list(parameters))
            self._derived.append(name)
            self._forget_derived(_DERIVED)

    @contextlib.contextmanager
    def _asking(self, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one SELECT, which is stopped when it takes too long."""
        cursor = self._connection.cursor()
        stop = threading.Timer(QUERY_SECONDS, cursor.interrupt)
        stop.start()
        try:
            statements = cursor.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryError("the condition is not one expression in SQL")
            yield cursor
        except duckdb.InterruptException:
            raise QueryError(
                f"the query took longer than {QUERY_SECONDS:g} s and was stopped"
            ) from None
        except duckdb.Error as error:
            raise QueryError(_first_line(error)) from None
        finally:
            stop.cancel()
            cursor.close()

    def put_reviews(self, number: int, reviews: pa.Table, *, all_of_them: bool) -> None:
        """Takes over the reviews of an output, or of the units in ``reviews`` alone."""
        table = f"{REVIEWS}_{number + 1}"
        with self._write, self._transaction() as cursor:
            cursor.register("fresh", reviews)
            cursor.execute(
                f"DELETE FROM {table}"
                + ("" if all_of_them else " WHERE id IN (SELECT id FROM fresh)")
            )
            cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh WHERE reviewers > 0")
            cursor.unregister("fresh")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")
        finally:
            cursor.close()

    def _forget_derived(self, kept: int = 0) -> None:
        while len(self._derived) > kept:
            self._execute(f"DROP TABLE {quoted(self._derived.pop(0))}")

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql, list(parameters))

    def close(self) -> None:
        self._connection.close()


def view(number: int, table: str) -> str:
    """The name of a table in SQL: ``results_1`` of the first output."""
    return f"{table}_{number + 1}"


def _kind(type_: str) -> ColumnKind:
    if type_ == "VARCHAR":
        return "text"
    if type_ == "BOOLEAN":
        return "boolean"
    if _NUMBERS.fullmatch(type_):
        return "number"
    if _TIMES.fullmatch(type_):
        return "time"
    is_boxes = (
        type_.startswith("STRUCT(")
        and type_.count("STRUCT(") == 1  # the corners are its own, not those of a box in it
        and type_.endswith("[]")
        and all(f"{one} " in type_ for one in _CORNERS)
    )
    return "boxes" if is_boxes else "other"


def _duckdb(type_: pa.DataType) -> str:
    """The type of a review's column in DuckDB."""
    return {pa.string(): "VARCHAR", pa.int32(): "INTEGER"}.get(type_, "TIMESTAMP WITH TIME ZONE")


def _columns_of(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {_duckdb(field.type)}" for field in schema)


def _first_line(error: duckdb.Error) -> str:
    """What DuckDB says, without its sketch of the place and without paths of this machine."""
    lines = str(error).strip().split("\n\n")[0].splitlines()
    hint = next(
        (
            line
            for line in str(error).splitlines()
            if line.startswith(("Candidate", "Did you mean"))
        ),
        "",
    )
    return " ".join([lines[0] if lines else type(error).__name__, hint]).strip()[:500]
