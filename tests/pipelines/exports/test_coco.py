"""Boxes are read back by pycocotools, in pixels."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pycocotools.coco import COCO

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import caption, ground, ocr, several
from tests.pipelines.exports.outputs import exported, write_output

IMAGE = pa.schema([("image", pa.string())])


def row(name: str, *boxes: tuple[str, float, float, float, float], **values: object) -> dict:
    named = [dict(zip(("label", "x1", "y1", "x2", "y2"), box, strict=True)) for box in boxes]
    return {"id": name, "image": f"{name}.jpg", "response": "…", "boxes": named, **values}


def test_images_boxes_and_categories(tmp_path: Path) -> None:
    rows = [
        row("a", ("dog", 10, 20, 110, 70), ("cat", 0, 0, 640, 480)),
        row("empty"),
        row("b", ("cat", 1, 2, 3, 4), ("", 5, 5, 6, 6)),
        row("unread", boxes=None),
        row("small", ("dog", 1, 1, 2, 2), width=None),
        row("url", ("dog", 1, 1, 2, 2), image="https://example.org/x/y.jpg?z=1"),
    ]
    write_output(tmp_path / "out", ground(detect=True), rows, manifest=IMAGE, base=tmp_path)
    counts = exported(tmp_path / "out", tmp_path / "coco", "coco")
    assert counts.left_out == {"no_answer": 1, "no_size": 1}
    coco = COCO(str(tmp_path / "coco" / "train.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [
        "dog",
        "cat",
        "object",
    ]
    images = coco.loadImgs(coco.getImgIds())
    assert [image["row_id"] for image in images] == ["a", "empty", "b", "url"]
    assert images[0]["file_name"] == "a.jpg"
    assert images[3]["coco_url"] == "https://example.org/x/y.jpg?z=1"
    assert images[3]["file_name"] == "y.jpg"
    first, second = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert (first["bbox"], first["area"]) == ([10, 20, 100, 50], 5000)
    assert second["category_id"] == coco.getCatIds(catNms=["cat"])[0]
    assert coco.getAnnIds(imgIds=[2]) == []


def test_categories_keep_their_numbers_over_splits_and_growth(tmp_path: Path) -> None:
    rows = [row(f"row{number}", (f"label {number % 7}", 0, 0, 9, 9)) for number in range(40)]
    write_output(tmp_path / "out", ground(detect=True), rows, manifest=IMAGE, base=tmp_path)
    exported(tmp_path / "out", tmp_path / "coco", "coco", split="train=0.5,val=0.5")

    def categories(split: str) -> list[dict]:
        return json.loads((tmp_path / "coco" / f"{split}.json").read_text())["categories"]

    before = categories("train")
    assert before == categories("val") == [{"id": n + 1, "name": f"label {n}"} for n in range(7)]
    more = [row(f"more{number}", (f"another {number}", 0, 0, 9, 9)) for number in range(5)]
    write_output(tmp_path / "out", ground(detect=True), more, manifest=IMAGE, base=tmp_path, run=2)
    exported(tmp_path / "out", tmp_path / "coco", "coco", split="train=0.5,val=0.5")
    assert categories("val")[:7] == before


def test_lines_of_text_are_one_category(tmp_path: Path) -> None:
    rows = [row("a", ("STOP", 0, 0, 9, 9), ("GO", 0, 0, 9, 9), text="STOP\nGO")]
    write_output(tmp_path / "out", ocr("boxes"), rows, manifest=IMAGE, base=tmp_path)
    exported(tmp_path / "out", tmp_path / "coco", "coco")
    coco = COCO(str(tmp_path / "coco" / "train.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["text"]
    assert [one["text"] for one in coco.loadAnns(coco.getAnnIds())] == ["STOP", "GO"]


def test_boxes_of_objects_keep_their_labels_beside_a_text(tmp_path: Path) -> None:
    task = several([ocr(), ground(detect=True)])
    rows = [row("a", ("dog", 0, 0, 9, 9), text="STOP")]
    write_output(
        tmp_path / "out",
        task,
        rows,
        manifest=IMAGE,
        base=tmp_path,
        settings={"tasks": "ocr,ground"},
    )
    exported(tmp_path / "out", tmp_path / "coco", "coco")
    coco = COCO(str(tmp_path / "coco" / "train.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["dog"]


def test_results_without_boxes_are_refused(tmp_path: Path) -> None:
    rows = [{"id": "a", "image": "a.jpg", "response": "x", "caption": "x"}]
    write_output(tmp_path / "out", caption(), rows, manifest=IMAGE, base=tmp_path)
    with pytest.raises(ConfigurationError, match="no boxes"):
        exported(tmp_path / "out", tmp_path / "coco", "coco")
