"""Tables that are read through this package's own stores, in each of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.io import OutputFile

from internvl_ops.stores.opening import store_of
from pipelines.sources.tables.iceberg_files import StoreFiles
from tests.pipelines.manifests import plan_of, read_plan

ROWS = pa.table({"id": ["a", "b", "c"], "image": ["1.jpg", "2.jpg", "3.jpg"], "n": [1, 2, 3]})


class Uploaded(io.BytesIO):
    """A file that is written when it is closed."""

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.uri = uri

    def close(self) -> None:
        if not self.closed:
            store_of(self.uri).write(self.uri, self.getvalue())
        super().close()


class Output(OutputFile):
    def __len__(self) -> int:
        return store_of(self.location).stat(self.location).size or 0

    def exists(self) -> bool:
        return store_of(self.location).kind(self.location) is not None

    def to_input_file(self) -> Any:
        return WrittenFiles().new_input(self.location)

    def create(self, overwrite: bool = False) -> Any:
        return Uploaded(self.location)


class WrittenFiles(StoreFiles):
    """Files of a table that a test writes."""

    def new_output(self, location: str) -> OutputFile:
        return Output(location)


def test_an_iceberg_table(remote_place: str) -> None:
    catalog = InMemoryCatalog(
        "here", warehouse=remote_place, **{"py-io-impl": f"{__name__}.WrittenFiles"}
    )
    catalog._load_file_io = lambda *_, **__: WrittenFiles()  # type: ignore[method-assign]
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=ROWS.schema, location=f"{remote_place}/t")
    table.append(ROWS.slice(0, 2))
    table.append(ROWS.slice(2))
    plan = plan_of(f"{remote_place}/t", where="n > 1")
    assert (plan.format, plan.base) == ("iceberg", f"{remote_place}/t")
    assert sorted(read_plan(plan)["id"].to_pylist()) == ["b", "c"]


def test_a_saved_dataset(remote_place: str, tmp_path: Path) -> None:
    Dataset(ROWS).save_to_disk(str(tmp_path / "s"))
    store = store_of(remote_place)
    for path in (tmp_path / "s").iterdir():
        store.write(f"{remote_place}/s/{path.name}", path.read_bytes())
    plan = plan_of(f"{remote_place}/s", where="n > 1", names=("n",))
    assert (plan.format, plan.base) == ("datasets", f"{remote_place}/s")
    assert read_plan(plan).select(["id", "n"]).to_pylist() == [
        {"id": "b", "n": 2},
        {"id": "c", "n": 3},
    ]
