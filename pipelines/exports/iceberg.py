"""An Iceberg table in a folder: a catalog knows its current metadata or, without one,
``metadata/version-hint.text``.

A snapshot has the run in its summary. The keys of the runs' contents are properties of the table,
set in the same commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.aws import aws
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines.exports.table_types import held_schema
from pipelines.exports.tables import PROGRAM, TableForm, foreign
from pipelines.exports.target import Target

HINT = "metadata/version-hint.text"
_RUN = f"{PROGRAM}.run."  # and the run: key of the content
_NAME = ("exports", "results")  # in a catalog that is gone with the process
_ROWS_AT_ONCE = 5_000  # ids in one condition


class Iceberg(TableForm):
    """An Iceberg table in the folder itself."""

    @property
    def schema(self) -> pa.Schema:
        return held_schema(super().schema)

    def open(self, target: Target) -> bool:
        self._target = target
        self._location = f"file://{target.address}" if target.local else target.uri
        self._table: Any = None
        if self.options.catalog is not None:
            self._open_in_catalog(self.options.catalog)
        else:
            self._open_without_catalog()
        if self._table is None:
            return False
        if self._table.properties.get("written-by") != PROGRAM:
            raise foreign(target, "an Iceberg table")
        return True

    def _open_without_catalog(self) -> None:
        from pyiceberg.catalog.memory import InMemoryCatalog

        self._name: tuple[str, ...] = _NAME
        self._catalog: Any = InMemoryCatalog(
            "exports", warehouse=self._location, **_store(self._target)
        )
        self._catalog.create_namespace(_NAME[0])
        if "version-hint.text" in self._target.names("metadata"):
            hint = self._target.read(HINT).decode().strip()
            self._table = self._catalog.register_table(
                _NAME, f"{self._location}/metadata/{hint}.metadata.json"
            )

    def _open_in_catalog(self, given: str) -> None:
        from pyiceberg.catalog import load_catalog

        catalog, _, table = given.partition(":")
        self._name = tuple(table.split("."))
        try:
            self._catalog = load_catalog(catalog)
            there = self._catalog.table_exists(self._name)
            self._table = self._catalog.load_table(self._name) if there else None
        except Exception as error:  # each kind of catalog raises what its client raises
            said = safe_text(" ".join(str(error).split()) or type(error).__name__)
            raise ConfigurationError(
                f"--catalog {given}: pyiceberg cannot open it: {said:.300}. Describe {catalog} in"
                f" ~/.pyiceberg.yaml, or in variables PYICEBERG_CATALOG__{catalog.upper()}__URI."
            ) from None
        if self._table is not None and self._table.location().rstrip("/") != self._location.rstrip(
            "/"
        ):
            raise ConfigurationError(
                f"--catalog {given}: the catalog has this table at"
                f" {safe_uri(self._table.location())}. Give that as --output, or another table."
            )

    def committed(self, run: str) -> str | None:
        return None if self._table is None else self._table.properties.get(_RUN + run)

    def ids(self) -> Iterator[pa.Array | pa.ChunkedArray]:
        if self._table is not None:
            for batch in self._table.scan(selected_fields=("id",)).to_arrow_batch_reader():
                yield batch["id"]

    def commit(self, run: str, key: str, rows: pa.RecordBatchReader, *, again: bool) -> None:
        if self._table is None:
            self._catalog.create_namespace_if_not_exists(self._name[:-1])
            self._table = self._catalog.create_table(
                self._name,
                schema=rows.schema,
                location=self._location,
                properties={"written-by": PROGRAM},
            )
        told = {"run_id": run, "writer": PROGRAM}
        with self._table.transaction() as transaction:
            with transaction.update_schema() as update:
                update.union_by_name(rows.schema)
            if again:
                _replace(transaction, rows, told)
            else:
                transaction.append(rows, snapshot_properties=told)
            transaction.set_properties({_RUN + run: key})
        if self.options.catalog is not None:
            return
        hint = self._table.metadata_location.rpartition("/")[2].removesuffix(".metadata.json")
        self._target.write(HINT, hint.encode())


def _replace(transaction: Any, rows: pa.RecordBatchReader, told: dict[str, str]) -> None:
    """Adds rows, and deletes those with the same ids, some thousand at a time, all in one
    commit."""
    from pyiceberg.expressions import In

    pending: list[pa.RecordBatch] = []
    for batch in rows:
        pending.append(batch)
        if sum(map(len, pending)) >= _ROWS_AT_ONCE:
            _replace_some(transaction, pa.Table.from_batches(pending), In, told)
            pending = []
    if pending:
        _replace_some(transaction, pa.Table.from_batches(pending), In, told)


def _replace_some(transaction: Any, table: pa.Table, condition: Any, told: dict[str, str]) -> None:
    transaction.delete(condition("id", table["id"].to_pylist()), snapshot_properties=told)
    transaction.append(table, snapshot_properties=told)


def _store(target: Target) -> dict[str, str]:
    if target.local:
        return {}
    names = {"endpoint": "s3.endpoint", "region": "s3.region", "key": "s3.access-key-id",
             "secret": "s3.secret-access-key", "token": "s3.session-token"}  # fmt: skip
    return aws().named(names)
