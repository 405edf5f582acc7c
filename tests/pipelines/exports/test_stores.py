"""Exports from and to an object store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fsspec
import lance
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.aws import object_store_options
from internvl_ops.tasks import caption
from pipelines.exports.target import Target
from testing.object_store import object_store
from tests.pipelines.exports.outputs import exported, write_output
from tests.pipelines.manifests import plan_of, read_plan

IMAGE = pa.schema([("image", pa.string())])


@pytest.fixture(scope="module")
def s3_environment() -> Iterator[dict[str, str]]:
    # the libraries of tables wait for it with Python's lock held
    with object_store(own_process=True) as environment:
        yield environment


@pytest.fixture
def source(bucket: str) -> str:
    rows = [
        {"id": f"row{number}", "image": "a.jpg", "response": "x", "caption": "x"}
        for number in range(5)
    ]
    write_output(
        f"{bucket}/out", caption(), rows, manifest=IMAGE, base="s3://outputs/media", rows_per_file=2
    )
    return f"{bucket}/out"


def read(uri: str) -> bytes:
    return fsspec.open(uri, "rb").open().read()


def names(uri: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(uri)
    return sorted(name.removeprefix(f"{root}/") for name in fs.find(root))


def test_files(source: str, bucket: str) -> None:
    for _ in range(2):
        assert exported(source, f"{bucket}/sft", "sft").rows_out == 5
    assert names(f"{bucket}/sft") == ["export.json", "meta.json", "train.jsonl"]
    (entry,) = json.loads(read(f"{bucket}/sft/meta.json")).values()
    assert entry["annotation"] == f"{bucket}/sft/train.jsonl"
    lines = [json.loads(line) for line in read(f"{bucket}/sft/train.jsonl").splitlines()]
    assert lines[4]["image"] == "s3://outputs/media/a.jpg"


def test_media_are_fetched_from_the_bucket_of_the_input(
    source: str, bucket: str, s3_client: Any
) -> None:
    s3_client.put_object(Bucket="outputs", Key="media/a.jpg", Body=b"\xff\xd8\xffjpeg")
    assert exported(source, f"{bucket}/web", "webdataset").rows_out == 5
    assert names(f"{bucket}/web") == ["export.json", "train-000000.tar"]
    assert exported(source, f"{bucket}/hf", "hf").rows_out == 5
    assert names(f"{bucket}/hf") == ["README.md", "data/train-00000.parquet", "export.json"]


def test_tables(source: str, bucket: str) -> None:
    for to in ("delta", "lance", "iceberg"):
        for _ in range(2):
            assert exported(source, f"{bucket}/{to}", to).rows_out == 5
    options = object_store_options()
    table = DeltaTable(f"{bucket}/delta", storage_options=options)
    assert (table.version(), len(table.to_pyarrow_table())) == (0, 5)
    assert lance.dataset(f"{bucket}/lance", storage_options=options).count_rows() == 5
    hint = read(f"{bucket}/iceberg/metadata/version-hint.text").decode()
    properties = {"s3.endpoint": options["aws_endpoint"], "s3.access-key-id": "testing"}
    properties |= {"s3.secret-access-key": "testing-secret-9f2c", "s3.region": "us-east-1"}
    place = f"{bucket}/iceberg/metadata/{hint}.metadata.json"
    assert len(StaticTable.from_metadata(place, properties).scan().to_arrow()) == 5
    for to in ("delta", "lance", "iceberg"):  # and as input again
        plan = plan_of(f"{bucket}/{to}", where="id <> 'row1'", names=("caption",))
        assert (plan.format, plan.schema.names) == (to, ["image", "caption"])
        assert sorted(read_plan(plan)["id"].to_pylist()) == ["row0", "row2", "row3", "row4"]


def test_a_file_that_fails_half_way_is_not_there(bucket: str) -> None:
    target = Target(f"{bucket}/export")

    def write(size: int) -> None:
        with target.writing("half.bin") as file:
            for _ in range(size):
                file.write(b"x" * (1 << 20))
            raise RuntimeError("the disk is full")

    for size in (1, 70):  # one request, and an upload in parts
        with pytest.raises(RuntimeError):
            write(size)
        assert names(f"{bucket}/export") == []


def test_an_export_into_its_own_input_is_refused(source: str) -> None:
    with pytest.raises(ConfigurationError, match="overlap"):
        exported(source, f"{source}/results", "sft")
