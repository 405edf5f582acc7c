"""A Delta table. A commit has the run in its metadata, and as a transaction of an application, by
which Delta itself recognises a repeated commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from internvl_ops.stores.aws import object_store_options
from pipelines.exports.table_types import held_schema
from pipelines.exports.tables import PROGRAM, TableForm, foreign
from pipelines.exports.target import Target

_APPLICATION = f"{PROGRAM}/"  # and the run


class Delta(TableForm):
    """A Delta table in the folder itself."""

    @property
    def schema(self) -> pa.Schema:
        return held_schema(super().schema)

    def open(self, target: Target) -> bool:
        from deltalake import DeltaTable

        self._place = target.address
        self._storage = None if target.local else object_store_options()
        self._table: Any = None
        if "_delta_log" not in target.names():
            return False
        self._table = DeltaTable(self._place, storage_options=self._storage)
        if not (self._table.metadata().description or "").startswith(PROGRAM):
            raise foreign(target, "a Delta table")
        return True

    def committed(self, run: str) -> str | None:
        version = (
            None if self._table is None else self._table.transaction_version(_APPLICATION + run)
        )
        return None if version is None else f"{version:015x}"

    def ids(self) -> Iterator[pa.Array | pa.ChunkedArray]:
        if self._table is None:
            return
        for batch in self._table.to_pyarrow_dataset().to_batches(columns=["id"]):
            yield batch["id"]

    def commit(self, run: str, key: str, rows: pa.RecordBatchReader, *, again: bool) -> None:
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

        told = CommitProperties(
            custom_metadata={"run_id": run, "writer": PROGRAM},
            app_transactions=[Transaction(_APPLICATION + run, int(key, 16))],
        )
        if again:
            merger = self._table.merge(
                rows,
                predicate="there.id = new.id",
                source_alias="new",
                target_alias="there",
                merge_schema=True,
                commit_properties=told,
            )
            merger.when_matched_update_all().when_not_matched_insert_all().execute()
        else:
            write_deltalake(
                self._table or self._place,
                rows,
                mode="append",
                schema_mode=None if self._table is None else "merge",
                name=self.options.dataset_name,
                description=f"{PROGRAM}: answers of {self.answers.model}",
                storage_options=self._storage,
                commit_properties=told,
            )
        self._table = DeltaTable(self._place, storage_options=self._storage)
