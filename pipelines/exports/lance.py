"""A Lance dataset. The commit of an append has the run in its properties, the configuration the key
of its content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from internvl_ops.stores.aws import object_store_options
from pipelines.exports.tables import PROGRAM, TableForm, foreign
from pipelines.exports.target import Target
from pipelines.extras import library

_RUN = f"{PROGRAM}.run."  # and the run: key of the content, in the configuration


class Lance(TableForm):
    """A Lance dataset in the folder itself."""

    def open(self, target: Target) -> bool:
        self._lance = library("lance", "lance", "--to lance")
        self._place = target.address
        self._storage = None if target.local else object_store_options()
        self._dataset: Any = None
        if "_versions" not in target.names():
            return False
        self._dataset = self._lance.dataset(self._place, storage_options=self._storage)
        if (self._dataset.schema.metadata or {}).get(PROGRAM.encode()) is None:
            raise foreign(target, "a Lance dataset")
        return True

    @property
    def schema(self) -> pa.Schema:
        return super().schema.with_metadata({PROGRAM: self.answers.task})

    def committed(self, run: str) -> str | None:
        return None if self._dataset is None else self._dataset.config().get(_RUN + run)

    def ids(self) -> Iterator[pa.Array | pa.ChunkedArray]:
        if self._dataset is not None:
            for batch in self._dataset.to_batches(columns=["id"]):
                yield batch["id"]

    def commit(self, run: str, key: str, rows: pa.RecordBatchReader, *, again: bool) -> None:
        if again:
            merge = (
                self._dataset.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
            )
            merge.execute(rows)
            self._dataset = self._lance.dataset(self._place, storage_options=self._storage)
        else:
            self._dataset = self._lance.write_dataset(
                rows,
                self._place,
                mode="create" if self._dataset is None else "append",
                storage_options=self._storage,
                commit_message=f"run {run}",
                transaction_properties={"run_id": run, "writer": PROGRAM},
            )
        # If the process dies before this second commit, the next export merges the same rows again.
        self._dataset.update_config({_RUN + run: key})
