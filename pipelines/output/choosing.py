"""``--only``: units of an output, chosen by a condition in SQL on all that is known of them.

The condition sees one row a unit: the columns of its result, or of its error if it has none; those
of the reviews; and those of other outputs about the same units, such as scores or verdicts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.scratch import ScratchFolder
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.remote import first_line
from pipelines.extras import library
from pipelines.ledger.finished import unit_keys
from pipelines.ledger.wanted import Wanted
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.overwrite import replaced_files
from pipelines.output.redo_note import Before
from pipelines.output.result_columns import ERROR_SCHEMA
from pipelines.output.reviews import read_reviews
from pipelines.output.sql import address, literals, parquet_table, quoted, register_store
from pipelines.sources.condition import said
from pipelines.sources.sql_tree import columns_in

# columns that mean the same of a result and of an error
_SHARED = ("id", "run_id", "source_version", "attempts")
_BATCH = 100_000  # ids


@dataclass(frozen=True)
class Choice:
    """Which units of an output are chosen.

    Args:
        condition: In SQL.
        output: The output.
        joined: Name -> another output about the same units.
        replaced: Whether the rows of the chosen units are to be replaced: rows in files that no run
            wrote are then not chosen, since no run rewrites these files.
    """

    condition: str
    output: OutputFolder
    joined: Mapping[str, OutputFolder] = field(default_factory=dict)
    replaced: bool = True

    def check(self) -> None:
        """Refuses a condition that cannot be evaluated on the columns of the newest and the oldest
        files.

        Raises:
            ConfigurationError: With DuckDB's message; or there is no output.
        """
        with self._opened(quickly=True):
            pass

    def units(self, before: Before | None = None) -> Wanted:
        """The chosen units, without those that were gone over `before`.

        Raises:
            ConfigurationError: The condition cannot be evaluated, on the columns or on a value.
        """
        before = before or Before()
        units: list[bytes] = []
        files: dict[bytes, None] = {}
        with self._opened() as (connection, columns):
            parent = '"parent"' if "parent" in columns else "NULL::VARCHAR"
            connection.register(
                "runs_before", pa.table({"run_id": pa.array(before.runs, pa.string())})
            )
            connection.register(
                "failed_before", pa.table({"id": pa.array(before.failed, pa.string())})
            )
            again = f"coalesce(list_contains({literals(before.retried)}::VARCHAR[], __kind), false)"
            query = (
                f"SELECT id, {parent} AS parent FROM units WHERE (({self.condition}\n)) AND "
                f"(run_id IS NULL OR run_id NOT IN (SELECT run_id FROM runs_before) OR {again}) "
                "AND id NOT IN (SELECT id FROM failed_before)"
            )
            try:
                for batch in connection.sql(query).to_arrow_reader(_BATCH):
                    rows = pa.Table.from_batches([batch])
                    units.append(unit_keys(rows["id"]))
                    parents = unit_keys(rows["parent"].drop_null().unique())
                    files |= dict.fromkeys(
                        parents[at : at + 16] for at in range(0, len(parents), 16)
                    )
            except library("duckdb", "sql", "--only").Error as error:
                raise self._refusal(said(error)) from None
        return Wanted(b"".join(units), b"".join(files))

    @contextlib.contextmanager
    def _opened(self, *, quickly: bool = False) -> Iterator[tuple[Any, list[str]]]:
        """DuckDB with the view ``units``, and the names of its columns."""
        duckdb = library("duckdb", "sql", "--only")
        with ScratchFolder() as scratch:
            connection = duckdb.connect(config={"temp_directory": str(scratch)})
            try:
                columns = self._make_view(connection, quickly)
                self._check(connection, columns)
                yield connection, columns
            finally:
                connection.close()

    def _make_view(self, connection: Any, quickly: bool) -> list[str]:
        results, errors = (
            self._files(self.output, RESULTS, quickly),
            self._files(self.output, ERRORS, quickly),
        )
        if not results and not errors:
            raise ConfigurationError(
                f"{'--output' if self.replaced else '--only-in'} {safe_uri(self.output.uri)} holds"
                " no results and no errors for --only to choose from. Name the output of an"
                " earlier run."
            )
        folders = [self.output, *self.joined.values()]
        for folder in folders:
            register_store(connection, folder)
        places = [address(folder, f"{name}/") for folder in folders for name in (RESULTS, ERRORS)]
        connection.execute(f"SET allowed_directories = {literals(places)}")
        connection.execute(
            "SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration ="
            " true"
        )
        with self._reading(self.output):
            there = _own_view(connection, self.output, results, errors)
        chosen, tables = ["own.*"], ["own"]
        connection.register("review_rows", read_reviews(self.output))
        connection.execute("CREATE VIEW reviews AS SELECT * FROM review_rows")
        for name, folder in self.joined.items():
            files = self._files(folder, RESULTS, quickly)
            if not files:
                raise ConfigurationError(f"--join {name}={safe_uri(folder.uri)} holds no results.")
            with self._reading(folder):
                connection.execute(
                    f"CREATE VIEW {quoted(name)} AS SELECT * FROM {parquet_table(folder, files)}"
                )
        for name in ("reviews", *self.joined):
            more = [
                column for column in _columns(connection, name) if column.casefold() not in there
            ]
            there |= {column.casefold() for column in more}
            chosen += [quoted(name)] if name.casefold() not in there else []
            chosen += [f"{quoted(name)}.{quoted(column)}" for column in more]
            tables.append(f"LEFT JOIN {quoted(name)} ON own.id = {quoted(name)}.id")
        connection.execute(
            f"CREATE VIEW units AS SELECT {', '.join(chosen)} FROM {' '.join(tables)}"
        )
        return _columns(connection, "units")

    def _files(self, folder: OutputFolder, name: str, quickly: bool) -> list[str]:
        passed_over = set(replaced_files(folder))
        files = [file for file in folder.files(name) if file not in passed_over]
        # all files of an output have the same columns, unless its user wanted it otherwise
        if quickly:
            return list(dict.fromkeys([*files[:1], *files[-1:]]))
        if self.replaced and folder is self.output:
            writers = folder.writers(name)
            return [file for file in files if writers.get(file) is not None]
        return files

    @contextlib.contextmanager
    def _reading(self, folder: OutputFolder) -> Iterator[None]:
        try:
            yield
        except library("duckdb", "sql", "--only").Error as error:
            raise ConfigurationError(f"{safe_uri(folder.uri)}: {first_line(error)}") from None

    def _check(self, connection: Any, columns: Sequence[str]) -> None:
        """Refuses what is no condition on one unit."""
        duckdb = library("duckdb", "sql", "--only")
        text = f"SELECT ({self.condition}\n) AS chosen FROM units"
        try:
            if len(connection.extract_statements(text)) != 1:
                raise self._refusal("it is more than one expression")
            kind = connection.execute(f"DESCRIBE {text}").fetchall()[0][1]
            connection.execute(f"EXPLAIN SELECT id FROM units WHERE ({self.condition}\n)")
        except duckdb.Error as error:
            raise self._refusal(_explained(error, columns)) from None
        if kind != "BOOLEAN":
            raise self._refusal(f"it is {kind}, not true or false. Compare it, as in attempts > 1")
        if not columns_in(self.condition, columns):
            raise self._refusal(
                "it names no column. To do all units again, leave it out and add --overwrite"
            )

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"--only {self.condition!r:.300}: {why.rstrip('.')}.")


def _explained(error: Exception, columns: Sequence[str]) -> str:
    """What DuckDB says, without the statement around the condition, and what is likely to mend
    it."""
    text = said(error).partition(" LINE 1:")[0]
    lacks = "Referenced column" in text
    hint = (
        "A text stands in single quotes, as in review = 'bad'. "
        if lacks or "unterminated" in text
        else ""
    )
    shown = ", ".join(name for name in columns if not name.startswith("__"))
    return f"{text.rstrip('.!')}. {hint}{f'Columns there: {shown:.600}.' if lacks else ''}".rstrip()


def _own_view(
    connection: Any, output: OutputFolder, results: Sequence[str], errors: Sequence[str]
) -> set[str]:
    """Makes the view ``own``: one row a unit, of its result or of its error. Returns its columns,
    in lower case."""
    parts = []
    there: list[str] = []
    if results:
        connection.execute(f"CREATE VIEW results AS SELECT * FROM {parquet_table(output, results)}")
        there = _columns(connection, "results")
        parts.append("SELECT *, NULL::VARCHAR AS __kind FROM results")
    if errors:
        connection.execute(
            f"CREATE VIEW error_rows AS SELECT * FROM {parquet_table(output, errors)}"
        )
        columns = ", ".join(
            _error_columns(_columns(connection, "error_rows"), {name.casefold() for name in there})
        )
        without = "ANTI JOIN results USING (id)" if results else ""
        parts.append(
            f"SELECT {columns}, kind AS __kind FROM error_rows {without} WHERE kind <>"
            " 'duplicate_id' "
            # Until the end of a run that tries errors again, a unit may have an older and a newer
            # error.
            "QUALIFY row_number() OVER (PARTITION BY id ORDER BY run_id DESC) = 1"
        )
    else:  # so that a condition on errors holds for no unit, and is not refused
        named = [
            name
            for name in ERROR_SCHEMA.names
            if name.casefold() not in {one.casefold() for one in there}
        ]
        nulls = ", ".join(
            f"NULL::{'BOOLEAN' if name == 'retriable' else 'VARCHAR'} AS {name}" for name in named
        )
        fields = ", ".join(f"{name} := NULL::VARCHAR" for name in ERROR_SCHEMA.names)
        errors_struct = "" if "errors" in there else f", struct_pack({fields}) AS errors"
        parts = [
            f"SELECT *, NULL::VARCHAR AS __kind{errors_struct}{', ' + nulls if nulls else ''} FROM"
            " results"
        ]
    connection.execute(f"CREATE VIEW own AS {' UNION ALL BY NAME '.join(parts)}")
    return {name.casefold() for name in _columns(connection, "own")}


def _error_columns(errors: Sequence[str], results: Collection[str]) -> Iterator[str]:
    """Columns of errors as `own` has them: a manifest's column of one name in both folders stays
    one column."""
    own = {name.casefold() for name in ERROR_SCHEMA.names}
    for name in errors:
        plain, ours = name.removeprefix("manifest_"), name.casefold() in own
        if name != plain and plain.casefold() in own & set(results):
            yield f"{quoted(name)} AS {quoted(plain)}"
        elif name in _SHARED or not ours or name.casefold() not in results:
            yield quoted(name)
    if "errors" not in results:
        fields = ", ".join(
            f"{quoted(name)} := {quoted(name)}" for name in errors if name.casefold() in own
        )
        yield f"struct_pack({fields}) AS errors"


def _columns(connection: Any, table: str) -> list[str]:
    return [row[0] for row in connection.execute(f"DESCRIBE {quoted(table)}").fetchall()]
