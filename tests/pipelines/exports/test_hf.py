"""The folder opens with `datasets`, with the images in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Image, List, load_dataset
from PIL import Image as Pillow

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.tasks import ask, caption
from testing.corpus_documents import Document, make
from tests.pipelines.exports.outputs import exported, tree, write_output, write_pages

IMAGE = pa.schema([("image", pa.string())])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(6):
        Pillow.new("RGB", (10 + number, 8), (40 * number, 0, 0)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def rows(media: Path, *numbers: int) -> list[dict[str, Any]]:
    with Fetcher(ReadPolicy(str(media))) as fetcher:
        versions = fetcher.versions_now([f"{number}.png" for number in numbers])
    return [
        {
            "id": f"row{number}",
            "image": f"{number}.png",
            "response": "x",
            "caption": f"picture {number}",
        }
        | {"source_version": version}
        for number, version in zip(numbers, versions, strict=True)
    ]


def opened(folder: Path, tmp_path: Path, **options: Any) -> Any:
    return load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), **options)


def test_load_dataset_shows_images_and_answers(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, 0, 1, 2), manifest=IMAGE, base=media)
    assert exported(tmp_path / "out", tmp_path / "hf", "hf").rows_out == 3
    os.rename(media, tmp_path / "elsewhere")  # the images are in the folder
    dataset = opened(tmp_path / "hf", tmp_path, split="train")
    assert dataset.features["image"] == Image()
    assert dataset["caption"][:] == ["picture 0", "picture 1", "picture 2"]
    assert [image.size for image in dataset["image"][:]] == [(10, 8), (11, 8), (12, 8)]
    assert set(dataset.column_names) >= {"id", "model", "run_id", "finish_reason"}


def test_splits_and_columns(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, *range(6)), manifest=IMAGE, base=media)
    exported(
        tmp_path / "out", tmp_path / "hf", "hf", split="train=0.5,test=0.5", columns="image,caption"
    )
    found = opened(tmp_path / "hf", tmp_path)
    assert set(found) == {"train", "test"}
    assert found["train"].column_names == ["id", "image", "caption"]
    assert found["train"].num_rows + found["test"].num_rows == 6


def test_pages_of_documents_are_images_beside_their_address(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(make(Document(pages=2, size=(360, 720))))
    given = [
        {"id": f"a#page={page}", "document": "a.pdf", "page": page, "text": "x", "response": "x"}
        for page in (1, 2, 3)
    ]
    write_pages(tmp_path / "out", given, base=tmp_path)
    counts = exported(tmp_path / "out", tmp_path / "hf", "hf")
    assert (counts.out, counts.left_out) == ({"train": 2}, {"render_bad_row": 1})
    dataset = opened(tmp_path / "hf", tmp_path, split="train")
    assert dataset.features["image"] == Image()
    assert [image.size for image in dataset["image"][:]] == [(1000, 2000)] * 2
    assert dataset["document"][:] == ["a.pdf", "a.pdf"]
    assert dataset["page"][:] == [1, 2]
    assert exported(tmp_path / "out", tmp_path / "as", "hf", media="reference").rows_out == 3
    addresses = opened(tmp_path / "as", tmp_path, split="train")
    assert "image" not in addresses.column_names
    assert exported(tmp_path / "out", tmp_path / "few", "hf", columns="text").rows_out == 3


def test_several_images_of_a_row_are_a_list(tmp_path: Path, media: Path) -> None:
    turns = [{"question": "Same?", "answer": "no"}]
    row = {"id": "a", "image": ["0.png", "3.png"], "response": "no", "answer": "no", "turns": turns}
    write_output(
        tmp_path / "out",
        ask(),
        [row],
        manifest=pa.schema([("image", pa.list_(pa.string()))]),
        base=media,
    )
    exported(tmp_path / "out", tmp_path / "hf", "hf")
    dataset = opened(tmp_path / "hf", tmp_path, split="train")
    assert dataset.features["image"] == List(Image())
    assert [image.size for image in dataset[0]["image"]] == [(10, 8), (13, 8)]


def test_media_that_changed_or_are_gone_are_left_out(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, 0, 1, 2), manifest=IMAGE, base=media)
    Pillow.new("RGB", (99, 99)).save(media / "1.png")
    (media / "2.png").unlink()
    counts = exported(tmp_path / "out", tmp_path / "hf", "hf")
    assert counts.left_out == {"changed": 1, "fetch_not_found": 1}
    assert opened(tmp_path / "hf", tmp_path, split="train")["id"][:] == ["row0"]


def test_large_images_are_row_groups_of_their_own(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.exports.hf._GROUP_BYTES", 1)
    write_output(tmp_path / "out", caption(), rows(media, 0, 1, 2), manifest=IMAGE, base=media)
    exported(tmp_path / "out", tmp_path / "hf", "hf")
    (file,) = (tmp_path / "hf" / "data").iterdir()
    assert pa.parquet.ParquetFile(file).num_row_groups == 3
    assert opened(tmp_path / "hf", tmp_path, split="train")["id"][:] == ["row0", "row1", "row2"]


def test_addresses_instead_of_images(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, 4), manifest=IMAGE, base=media)
    exported(tmp_path / "out", tmp_path / "hf", "hf", media="reference")
    dataset = opened(tmp_path / "hf", tmp_path, split="train")
    assert dataset[0]["image"].size == (14, 8)
    (file,) = (tmp_path / "hf" / "data").iterdir()
    assert pa.parquet.read_table(file)["image"].to_pylist() == [
        {"bytes": None, "path": f"{media}/4.png"}
    ]


def test_files_of_earlier_rows_are_kept_as_the_output_grows(tmp_path: Path, media: Path) -> None:
    for run in (1, 2):
        part = rows(media, *range(3 * run - 3, 3 * run))
        write_output(
            tmp_path / "out",
            caption(),
            part,
            manifest=IMAGE,
            base=media,
            run=run,
            rows_per_file=1000,
        )
        if run == 1:
            exported(tmp_path / "out", tmp_path / "hf", "hf")
    before = tree(tmp_path / "hf")
    exported(tmp_path / "out", tmp_path / "hf", "hf")
    assert opened(tmp_path / "hf", tmp_path, split="train").num_rows == 6
    exported(tmp_path / "out", tmp_path / "fresh" / "hf", "hf")
    fresh, grown = tree(tmp_path / "fresh" / "hf"), tree(tmp_path / "hf")
    assert fresh == grown
    assert before.keys() == grown.keys()  # both nights are one part


def test_a_part_that_is_there_is_not_fetched_again(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.exports.hf.PART_BYTES", 1)
    write_output(
        tmp_path / "out",
        caption(),
        rows(media, 0, 1, 2),
        manifest=IMAGE,
        base=media,
        rows_per_file=1,
    )
    exported(tmp_path / "out", tmp_path / "hf", "hf")
    for number in range(3):
        (media / f"{number}.png").unlink()
    write_output(tmp_path / "out", caption(), rows(media, 3), manifest=IMAGE, base=media, run=2)
    assert exported(tmp_path / "out", tmp_path / "hf", "hf").rows_out == 4
    assert opened(tmp_path / "hf", tmp_path, split="train")["id"][:] == [
        "row0",
        "row1",
        "row2",
        "row3",
    ]


def test_the_card_says_what_is_there_and_an_edited_one_stays(tmp_path: Path, media: Path) -> None:
    write_output(tmp_path / "out", caption(), rows(media, 0, 1), manifest=IMAGE, base=media)
    exported(tmp_path / "out", tmp_path / "hf", "hf", name="red-pictures")
    card = tmp_path / "hf" / "README.md"
    for said in (
        "# red-pictures",
        caption().prompt,
        "`tiny`",
        "| train | 2 |",
        "# license:",
        "image-to-text",
    ):
        assert said in card.read_text()
    card.write_text(card.read_text().replace("# license:", "license: mit  #"))
    write_output(tmp_path / "out", caption(), rows(media, 2), manifest=IMAGE, base=media, run=2)
    exported(tmp_path / "out", tmp_path / "hf", "hf", name="red-pictures")
    assert "license: mit" in card.read_text()
    assert opened(tmp_path / "hf", tmp_path, split="train").num_rows == 3
    assert json.loads((tmp_path / "hf" / "export.json").read_text())["rows_out"] == 3


def test_media_that_may_not_be_read_end_the_export_at_once(tmp_path: Path, media: Path) -> None:
    row = rows(media, 0)[0] | {"image": "/etc/hostname"}
    write_output(tmp_path / "out", caption(), [row], manifest=IMAGE, base=media)
    with pytest.raises(ConfigurationError, match="allow"):
        exported(tmp_path / "out", tmp_path / "hf", "hf")
    assert not (tmp_path / "hf").exists()
