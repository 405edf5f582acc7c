"""``--refresh changed``: what was made from media that changed is taken out, and nothing else
is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.refresh import drop_changed
from pipelines.sources import SourceOptions, plan_source
from testing.faulty_server import BODY, FaultyServer


class Dataset:
    """Media and a manifest in a folder, local or in a store, and the output of a run over them."""

    def __init__(self, uri: str) -> None:
        self.uri, self.output = uri, OutputFolder(f"{uri}/out")

    def put(self, name: str, data: bytes) -> None:
        if self.uri.startswith("s3://"):
            boto3.client("s3").put_object(Bucket="outputs", Key=f"run/out/{name}", Body=data)
        else:
            path = Path(self.uri) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def manifest(self, *rows: dict) -> None:
        self.put("m.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def finish(self, name: str, *rows: dict) -> None:
        """A file of results as a run writes it now."""
        with Fetcher(ReadPolicy(self.uri)) as fetcher:
            for row in rows:
                uris = row["image"] if isinstance(row["image"], list) else [row["image"]]
                fetcher.fetch_many(uris)
                row["source_version"] = " ".join(map(fetcher.version, uris))
        table = pa.Table.from_pylist(list(rows)).replace_schema_metadata(mark(name))
        self.output.write_table(f"{RESULTS}/{parquet_name(name, 0)}", table)

    def refresh(self) -> list[str]:
        """Ids that are left."""
        plan = plan_source(SourceOptions(uri=f"{self.uri}/m.jsonl"))
        before = self.ids()
        dropped = drop_changed(self.output, plan, ReadPolicy(self.uri))
        assert dropped == len(before) - len(self.ids())
        return self.ids()

    def refresh_errors(self) -> None:
        plan = plan_source(SourceOptions(uri=f"{self.uri}/m.jsonl"))
        drop_changed(self.output, plan, ReadPolicy(self.uri))

    def ids(self) -> list[str]:
        return [
            id_
            for _, table in self.output.read_tables(RESULTS, ["id"])
            for id_ in table["id"].to_pylist()
        ]


@pytest.fixture
def dataset(uri: str) -> Dataset:
    made = Dataset(uri)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        made.put(name, name.encode())
    return made


def test_only_what_changed_goes(dataset: Dataset) -> None:
    rows = [{"id": name, "image": f"{name}.jpg"} for name in "abc"]
    dataset.manifest(*rows)
    dataset.finish("1", *rows[:2])
    dataset.finish("2", *rows[2:])
    assert dataset.refresh() == ["a", "b", "c"]
    dataset.put("b.jpg", b"another picture")
    assert dataset.refresh() == ["a", "c"]
    dataset.put("c.jpg", b"another picture")
    assert dataset.refresh() == ["a"]
    assert dataset.output.files(RESULTS) == [f"{RESULTS}/{parquet_name('1', 0)}"]


def test_rows_gone_from_the_manifest_stay_and_so_do_those_whose_media_are_gone(
    dataset: Dataset,
) -> None:
    rows = [{"id": name, "image": f"{name}.jpg"} for name in "ab"]
    dataset.manifest(rows[0])
    dataset.finish("1", *rows)
    dataset.put("b.jpg", b"another picture")
    assert dataset.refresh() == ["a", "b"]
    if not dataset.uri.startswith("s3://"):
        os.unlink(Path(dataset.uri) / "a.jpg")
        assert dataset.refresh() == ["a", "b"]


def test_one_of_several_images_of_a_row(dataset: Dataset) -> None:
    row = {"id": "both", "image": ["a.jpg", "b.jpg"]}
    dataset.manifest(row)
    dataset.finish("1", row)
    assert dataset.refresh() == ["both"]
    dataset.put("b.jpg", b"another picture")
    assert dataset.refresh() == []


def test_pages_of_a_document_that_changed(dataset: Dataset) -> None:
    dataset.manifest({"id": "doc", "image": "a.jpg"}, {"id": "other", "image": "b.jpg"})
    pages = [
        {"id": f"{doc}#page=1", "parent": doc, "image": name}
        for doc, name in (("doc", "a.jpg"), ("other", "b.jpg"))
    ]
    dataset.finish("1", *pages)
    dataset.put("a.jpg", b"another document")
    assert dataset.refresh() == ["other#page=1"]


def test_a_result_that_says_no_version_stays(dataset: Dataset) -> None:
    dataset.manifest({"id": "a", "image": "a.jpg"})
    dataset.output.write_table(
        f"{RESULTS}/old.parquet", pa.table({"id": ["a"], "image": ["a.jpg"]})
    )
    assert dataset.refresh() == ["a"]


def test_a_web_server_that_states_no_version(tmp_path: Path) -> None:
    with FaultyServer() as server, Fetcher(ReadPolicy("", (server.url(),))) as fetcher:
        assert fetcher.fetch(server.url("/a")) == BODY
        assert fetcher.version(server.url("/a")) == ""
        assert fetcher.versions_now([server.url("/a?status=404"), server.url("/b")]) == [None, ""]


def test_errors_whose_media_were_mended_or_came_go_too(dataset: Dataset) -> None:
    rows = [{"id": name, "image": f"{name}.jpg"} for name in "abc"]
    dataset.manifest(*rows)
    with Fetcher(ReadPolicy(dataset.uri)) as fetcher:
        fetcher.fetch_many(["a.jpg", "b.jpg"])
        versions = [fetcher.version("a.jpg"), fetcher.version("b.jpg"), None]
    kinds = ["corrupt", "corrupt", "not_found"]
    errors = [
        row | {"kind": kind, "source_version": version}
        for row, kind, version in zip(rows, kinds, versions, strict=True)
    ]
    dataset.put("b.jpg", b"a mended picture")
    table = pa.Table.from_pylist(errors).replace_schema_metadata(mark("1"))
    dataset.output.write_table(f"{ERRORS}/{parquet_name('1', 0)}", table)
    dataset.refresh_errors()
    assert [
        id_
        for _, left in dataset.output.read_tables(ERRORS, ["id"])
        for id_ in left["id"].to_pylist()
    ] == ["a"]


def test_media_that_stand_in_more_columns(dataset: Dataset) -> None:
    """The first manifest called them by another name."""
    rows = [{"id": name, "image": f"{name}.jpg"} for name in "ab"]
    dataset.manifest(*rows)
    dataset.finish("1", *rows)
    (name,) = dataset.output.files(RESULTS)
    table = dataset.output.read_table(name)
    beside = pa.array([json.dumps({"image": uri}) for uri in table["image"].to_pylist()])
    dataset.output.write_table(
        name, table.drop_columns(["image"]).append_column("more_columns", beside)
    )
    dataset.put("b.jpg", b"another picture")
    assert dataset.refresh() == ["a"]
    assert dataset.output.read_table(name).column_names == ["id", "source_version", "more_columns"]
    assert dataset.output.writer(name) == "1"
