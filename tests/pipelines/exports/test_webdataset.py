"""Shards are read back by `webdataset`, with the media that were asked about."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import webdataset
from PIL import Image

from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.tasks import ask, caption
from pipelines.sources import SourceOptions, plan_source, read_split
from testing.corpus_documents import Document, make
from tests.pipelines.exports.outputs import exported, tree, write_output, write_pages

IMAGE = pa.schema([("image", pa.string())])
JPEG = b"\xff\xd8\xff"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(JPEG + bytes([number]) * 1000)
    return folder


def rows(media: Path, *numbers: int) -> list[dict[str, Any]]:
    with Fetcher(ReadPolicy(str(media))) as fetcher:
        versions = fetcher.versions_now([f"{number}.jpg" for number in numbers])
    return [
        {
            "id": f"a/row.{number}",
            "image": f"{number}.jpg",
            "response": "x",
            "caption": f"picture {number}",
        }
        | {"source_version": version}
        for number, version in zip(numbers, versions, strict=True)
    ]


def samples(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    shards = sorted(str(path) for path in folder.glob(f"{split}-*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False))


def test_samples_hold_media_columns_and_the_answer(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, 0, 1), manifest=IMAGE, base=media)
    assert exported(tmp_path / "out", tmp_path / "web", "webdataset").rows_out == 2
    shard = str(tmp_path / "web" / "train-000000.tar")
    first, second = webdataset.WebDataset(shard, shardshuffle=False)
    assert first["jpg"] == (media / "0.jpg").read_bytes()
    assert second["txt"] == b"picture 1"
    decoded = next(iter(webdataset.WebDataset(shard, shardshuffle=False).decode(only=["json"])))
    assert decoded["json"]["id"] == "a/row.0"
    assert decoded["json"]["model"] == "tiny"


def test_pages_of_documents_are_rendered_again(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("a.pdf", "b.pdf"):
        (folder / name).write_bytes(make(Document(pages=2, size=(360, 720))))
    with Fetcher(ReadPolicy(str(folder))) as fetcher:
        versions = fetcher.versions_now(["a.pdf", "b.pdf"])
    given = [
        {"id": f"{name}#page={page}", "document": name, "page": page, "source_version": version}
        | {"response": "text", "text": "text"}
        for name, version in zip(("a.pdf", "b.pdf"), versions, strict=True)
        for page in (1, 2, 3)
    ]
    (folder / "b.pdf").write_bytes(make(Document(pages=2, size=(360, 700))))
    write_pages(tmp_path / "out", given, base=folder)
    counts = exported(tmp_path / "out", tmp_path / "web", "webdataset")
    assert counts.out == {"train": 2}
    assert counts.left_out == {"render_bad_row": 1, "changed": 3}
    pages = samples(tmp_path / "web")
    assert [Image.open(io.BytesIO(page["jpg"])).size for page in pages] == [(1000, 2000)] * 2
    assert pages[0]["jpg"] != pages[1]["jpg"]
    assert [page["txt"] for page in pages] == [b"text"] * 2


def test_pages_of_an_encrypted_document_need_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(make(Document(pages=1, user_password="open-it")))
    row = {"id": "a#page=1", "document": "a.pdf", "page": 1, "response": "text", "text": "text"}
    write_pages(tmp_path / "out", [row], base=tmp_path)

    def export(name: str, **options: Any) -> Any:
        return exported(tmp_path / "out", tmp_path / name, "webdataset", **options)

    assert export("without").left_out == {"render_unsupported": 1}
    assert export("without", pdf_password="open-it", overwrite=True).rows_out == 1
    assert export("wrong", pdf_password="other").left_out == {"render_unsupported": 1}
    monkeypatch.setenv("INTERNVL_PDF_PASSWORD", "open-it")
    assert export("environment").rows_out == 1
    assert [page["txt"] for page in samples(tmp_path / "environment")] == [b"text"]
    for file in (tmp_path / "without").rglob("*"):
        assert file.is_dir() or b"open-it" not in file.read_bytes()


def test_several_images_and_text_alone(tmp_path: Path, media: Path) -> None:
    said = {"response": "no", "answer": "no", "turns": [{"question": "?", "answer": "no"}]}
    given = [
        {"id": "two", "image": ["0.jpg", "3.jpg"]},
        {"id": "text", "image": None, "num_tiles": 0, "width": 0},
    ]
    manifest = pa.schema([("image", pa.list_(pa.string()))])
    write_output(
        tmp_path / "out", ask(), [row | said for row in given], manifest=manifest, base=media
    )
    exported(tmp_path / "out", tmp_path / "web", "webdataset", columns="image")
    two, text = webdataset.WebDataset(
        str(tmp_path / "web" / "train-000000.tar"), shardshuffle=False
    )
    assert two["1.jpg"] == (media / "3.jpg").read_bytes()
    assert {name for name in text if not name.startswith("_")} == {"json", "txt"}
    assert text["json"] == b'{"id":"text","image":null}'


def test_media_that_changed_or_may_not_be_read_are_left_out(tmp_path: Path, media: Path) -> None:
    given = rows(media, *range(6))
    given += [given[0] | {"id": f"more{number}"} for number in range(9)]
    given.append(given[0] | {"id": "elsewhere", "image": "/etc/hostname"})
    write_output(tmp_path / "out", caption(), given, manifest=IMAGE, base=media)
    (media / "4.jpg").write_bytes(JPEG + b"another")
    (media / "5.jpg").unlink()
    counts = exported(tmp_path / "out", tmp_path / "web", "webdataset")
    assert counts.left_out == {"changed": 1, "fetch_not_found": 1, "fetch_refused": 1}
    assert counts.rows_out == 13


def test_a_full_shard_ends_and_the_same_rows_give_the_same_bytes(
    tmp_path: Path, media: Path
) -> None:
    for number in range(6):
        (media / f"{number}.jpg").write_bytes(JPEG + bytes([number]) * 400_000)
    write_output(tmp_path / "out", caption(), rows(media, *range(6)), manifest=IMAGE, base=media)
    exported(tmp_path / "out", tmp_path / "web", "webdataset", shard_mb=1)
    first = tree(tmp_path / "web")
    assert sorted(first) == ["export.json", "train-000000.tar", "train-000001.tar"]
    assert len(samples(tmp_path / "web")) == 6
    os.rename(tmp_path / "web", tmp_path / "before")
    exported(tmp_path / "out", tmp_path / "web", "webdataset", shard_mb=1)
    assert tree(tmp_path / "web") == first


def test_a_job_reads_the_shards_as_its_input(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, 0, 1, 2), manifest=IMAGE, base=media)
    exported(tmp_path / "out", tmp_path / "web", "webdataset")
    plan = plan_source(SourceOptions(str(tmp_path / "web")))
    table = pa.concat_tables(table for split in plan.splits for table in read_split(plan, split))
    assert [value[0]["bytes"] for value in table["__media"].to_pylist()] == [
        (media / f"{number}.jpg").read_bytes() for number in range(3)
    ]


@pytest.mark.slow
def test_nodes_of_a_cluster_write_the_same_shards(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.exports.webdataset.PART_BYTES", 1)
    write_output(
        tmp_path / "out",
        caption(),
        rows(media, *range(6)),
        manifest=IMAGE,
        base=media,
        rows_per_file=1,
    )
    exported(tmp_path / "out", tmp_path / "here" / "web", "webdataset")
    exported(tmp_path / "out", tmp_path / "there" / "web", "webdataset", ray_address="local")
    assert tree(tmp_path / "here" / "web") == tree(tmp_path / "there" / "web")
    assert len(tree(tmp_path / "here" / "web")) == 7
