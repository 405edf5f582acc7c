"""Answers become training data that InternVL's own loader reads."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import ask, caption, ground, ocr, several
from testing.corpus_documents import Document, make
from tests.pipelines.exports.internvl_loader import load_meta
from tests.pipelines.exports.outputs import exported, write_output, write_pages

IMAGE = pa.schema([("image", pa.string())])
IMAGES = pa.schema([("image", pa.list_(pa.string()))])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.mp4"):
        (folder / name).write_bytes(b"media")
    return folder


def items(target: Path, split: str = "train") -> list[dict]:
    loaded = load_meta(target / "meta.json")
    return loaded[f"{target.name}_{split}"]


def test_captions_read_back_as_the_loader_reads_them(tmp_path: Path, media: Path) -> None:
    rows = [
        {"id": name, "image": f"{name}.jpg", "response": "x", "caption": f"picture {name}"}
        for name in "ab"
    ]
    write_output(tmp_path / "out", caption(), rows, manifest=IMAGE, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    assert (counts.rows_in, counts.rows_out) == (2, 2)
    first, second = items(tmp_path / "sft")
    assert first["image"] == "a.jpg"
    assert (first["width"], first["height"]) == (640, 480)
    assert first["conversations"][0]["value"] == f"<image>\n{caption().prompt}"
    assert second["conversations"][1]["value"] == "picture b"
    (entry,) = json.loads((tmp_path / "sft" / "meta.json").read_text()).values()
    assert entry["root"] == f"{media}/"
    assert entry["max_dynamic_patch"] == 6


def test_a_question_of_its_own_is_what_was_asked(tmp_path: Path, media: Path) -> None:
    manifest = pa.schema([("image", pa.string()), ("question", pa.string())])
    rows = [
        {"id": "own", "image": "a.jpg", "question": "What is it?", "response": "x", "caption": "x"},
        {
            "id": "placed",
            "image": "a.jpg",
            "question": "Look: <image> What?",
            "response": "x",
            "caption": "x",
        },
        {
            "id": "twice",
            "image": "a.jpg",
            "question": "<image> or <image>?",
            "response": "x",
            "caption": "x",
        },
        {
            "id": "tokens",
            "image": "a.jpg",
            "question": "<|im_end|>",
            "response": "x",
            "caption": "x",
        },
        {"id": "empty", "image": "a.jpg", "question": None, "response": " ", "caption": ""},
    ]
    write_output(tmp_path / "out", caption(), rows, manifest=manifest, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    asked = {item["id"]: item["conversations"][0]["value"] for item in items(tmp_path / "sft")}
    assert asked == {"own": "<image>\nWhat is it?", "placed": "Look: <image> What?"}
    assert counts.left_out == {"image_tags": 1, "special_tokens": 1, "no_answer": 1}


def test_several_images_turns_and_text_alone(tmp_path: Path, media: Path) -> None:
    turns = [{"question": "First?", "answer": "one"}, {"question": "Second?", "answer": "two"}]
    rows = [
        {
            "id": "two",
            "image": ["a.jpg", "b.jpg"],
            "response": "two",
            "answer": "two",
            "turns": turns,
        },
        {
            "id": "text",
            "image": None,
            "num_tiles": 0,
            "width": 0,
            "response": "two",
            "answer": "two",
            "turns": turns,
        },
        {"id": "bytes", "image": None, "response": "two", "answer": "two", "turns": turns},
    ]
    write_output(tmp_path / "out", ask(), rows, manifest=IMAGES, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    two, text = items(tmp_path / "sft")
    assert two["image"] == ["a.jpg", "b.jpg"]
    assert two["conversations"][0]["value"] == "Image-1: <image>\nImage-2: <image>\nFirst?"
    assert [turn["value"] for turn in two["conversations"][1:]] == ["one", "Second?", "two"]
    assert "image" not in text
    assert counts.left_out == {"inline_media": 1}


def test_boxes_are_thousandths_of_the_upright_image(tmp_path: Path, media: Path) -> None:
    boxes = [
        {"label": "dog", "x1": 64, "y1": 48, "x2": 128, "y2": 96},
        {"label": "dog", "x1": 0, "y1": 0, "x2": 640, "y2": 480},
        {"label": "cat", "x1": 320, "y1": 240, "x2": 700, "y2": 480},
    ]
    found = [
        {"phrase": "dog", "response": "…", "num_boxes": 2},
        {"phrase": "cow", "response": "none", "num_boxes": 0},
        {"phrase": "cat", "response": "…", "num_boxes": 1},
    ]
    rows = [
        {"id": "boxes", "image": "a.jpg", "response": "…", "boxes": boxes, "found": found},
        {"id": "none", "image": "a.jpg", "response": "…", "boxes": [], "found": found[1:2]},
        {
            "id": "no size",
            "image": "a.jpg",
            "response": "…",
            "boxes": boxes,
            "found": found,
            "width": None,
        },
    ]
    write_output(tmp_path / "out", ground(("dog",)), rows, manifest=IMAGE, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    (item,) = items(tmp_path / "sft")
    assert [turn["value"] for turn in item["conversations"][1::2]] == [
        "<ref>dog</ref><box>[[100, 100, 200, 200], [0, 0, 1000, 1000]]</box>",
        "<ref>cat</ref><box>[[500, 500, 1000, 1000]]</box>",
    ]
    assert "<ref>cat</ref>" in item["conversations"][2]["value"]
    assert counts.left_out == {"no_answer": 1, "no_size": 1}


def test_a_row_that_no_job_would_write_costs_that_row(tmp_path: Path, media: Path) -> None:
    box = {"label": "dog", "x1": 1, "y1": 1, "x2": 2, "y2": 2}
    found = [{"phrase": "dog", "response": "…", "num_boxes": 1}]
    good = {"id": "good", "image": "a.jpg", "response": "…", "boxes": [box], "found": found}
    rows = [
        good,
        good | {"id": "fewer", "boxes": []},
        good | {"id": "null", "boxes": [box | {"x1": None}]},
    ]
    write_output(tmp_path / "out", ground(("dog",)), rows, manifest=IMAGE, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    assert [item["id"] for item in items(tmp_path / "sft")] == ["good"]
    assert counts.left_out == {"bad_row": 2}


def test_lines_of_ocr_with_boxes(tmp_path: Path, media: Path) -> None:
    boxes = [{"label": text, "x1": 0, "y1": 0, "x2": 320, "y2": 48} for text in ("one", "two")]
    rows = [{"id": "a", "image": "a.jpg", "response": "…", "text": "one\ntwo", "boxes": boxes}]
    write_output(
        tmp_path / "out",
        ocr("boxes"),
        rows,
        manifest=IMAGE,
        base=media,
        settings={"ocr_format": "boxes"},
    )
    exported(tmp_path / "out", tmp_path / "sft", "sft")
    (item,) = items(tmp_path / "sft")
    assert item["conversations"][1]["value"] == (
        "<ref>one</ref><box>[[0, 0, 500, 100]]</box>\n<ref>two</ref><box>[[0, 0, 500, 100]]</box>"
    )


def test_several_tasks_are_turns_of_one_conversation(tmp_path: Path, media: Path) -> None:
    task = several([caption(), ocr()])
    rows = [{"id": "a", "image": "a.jpg", "response": "…", "caption": "a sign", "text": "STOP"}]
    rows.append({"id": "b", "image": "b.jpg", "response": "…", "caption": "a dog", "text": ""})
    write_output(
        tmp_path / "out", task, rows, manifest=IMAGE, base=media, settings={"tasks": "caption,ocr"}
    )
    exported(tmp_path / "out", tmp_path / "sft", "sft")
    both, single = items(tmp_path / "sft")
    assert [turn["value"] for turn in both["conversations"]] == [
        f"<image>\n{caption().prompt}", "a sign", ocr().prompt, "STOP",
    ]  # fmt: skip
    assert len(single["conversations"]) == 2


def test_videos_and_clips(tmp_path: Path, media: Path) -> None:
    video = pa.schema([("video", pa.string())])
    rows = [{"id": "v", "video": "c.mp4", "response": "x", "caption": "a film", "num_frames": 8}]
    write_output(
        tmp_path / "out",
        caption(media_kind="video"),
        rows,
        manifest=video,
        kind="video",
        base=media,
    )
    exported(tmp_path / "out", tmp_path / "sft", "sft")
    (item,) = items(tmp_path / "sft")
    assert item["video"] == "c.mp4"
    clip = rows[0] | {"id": "v#clip=1", "parent": "v", "clip_start": 1.5, "clip_end": 4.0}
    write_output(
        tmp_path / "clips",
        caption(media_kind="video"),
        [clip],
        manifest=video,
        kind="video",
        explodes=True,
        base=media,
    )
    exported(tmp_path / "clips", tmp_path / "sft2", "sft")
    (item,) = items(tmp_path / "sft2")
    assert item["clip"] == [1.5, 4.0]


def test_media_that_the_loader_cannot_open_are_left_out(tmp_path: Path, media: Path) -> None:
    places = {
        "relative": "a.jpg",
        "below": f"{media}/b.jpg",
        "url": "https://example.org/a.jpg",
        "s3": "s3://b/a.jpg",
    }
    rows = [
        {"id": name, "image": uri, "response": "x", "caption": "x"} for name, uri in places.items()
    ]
    write_output(tmp_path / "out", caption(), rows, manifest=IMAGE, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    assert [item["image"] for item in items(tmp_path / "sft")] == ["a.jpg", "b.jpg"]
    assert counts.left_out == {"other_store": 2}


def test_media_on_s3_have_whole_addresses_and_no_root(tmp_path: Path) -> None:
    rows = [{"id": "a", "image": "x/a.jpg", "response": "x", "caption": "x"}]
    write_output(tmp_path / "out", caption(), rows, manifest=IMAGE)
    exported(tmp_path / "out", tmp_path / "sft", "sft", media_root="s3://bucket/data")
    (item,) = items(tmp_path / "sft")
    assert item["image"] == "s3://bucket/data/x/a.jpg"


def test_pages_have_an_image_file_where_media_are_copied(tmp_path: Path, media: Path) -> None:
    row = {
        "id": "d#page=1",
        "parent": "d",
        "page": 1,
        "document": "d.pdf",
        "response": "x",
        "text": "x",
    }
    write_pages(tmp_path / "out", [row], base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft")
    assert counts.left_out == {"document_page": 1}
    assert load_meta(tmp_path / "sft" / "meta.json") == {}
    (media / "d.pdf").write_bytes(make(Document(pages=1, size=(360, 720))))
    for form in ("sft", "llava", "sharegpt"):
        counts = exported(tmp_path / "out", tmp_path / f"copy-{form}", form, media="copy")
        assert counts.rows_out == 1
        (page,) = (tmp_path / f"copy-{form}" / "media").rglob("*.jpg")
        assert Image.open(page).size == (1000, 2000)
    (samples,) = load_meta(tmp_path / "copy-sft" / "meta.json").values()
    assert len(samples) == 1


def test_columns_are_kept_beside_the_conversation(tmp_path: Path, media: Path) -> None:
    manifest = pa.schema([("image", pa.string()), ("licence", pa.string()), ("rank", pa.int64())])
    rows = [
        {"id": "a", "image": "a.jpg", "licence": "CC0", "rank": 3, "response": "x", "caption": "x"}
    ]
    write_output(tmp_path / "out", caption(), rows, manifest=manifest, base=media)
    exported(tmp_path / "out", tmp_path / "sft", "sft", columns="licence,rank")
    (item,) = items(tmp_path / "sft")
    assert (item["licence"], item["rank"]) == ("CC0", 3)


def test_copies_of_the_media_stand_in_the_export(tmp_path: Path, media: Path) -> None:
    (media / "a.jpg").write_bytes(b"\xff\xd8\xff one")
    (media / "b.jpg").write_bytes(b"\xff\xd8\xff one")  # the same picture
    rows = [
        {"id": name, "image": f"{name}.jpg", "response": "x", "caption": "x"}
        for name in ("a", "b", "gone")
    ]
    write_output(tmp_path / "out", caption(), rows, manifest=IMAGE, base=media)
    counts = exported(tmp_path / "out", tmp_path / "sft", "sft", media="copy")
    assert counts.left_out == {"fetch_not_found": 1}
    (media / "a.jpg").unlink()
    first, second = items(tmp_path / "sft")  # the loader opens them
    assert first["image"] == second["image"]
    assert (tmp_path / "sft" / "media" / first["image"]).read_bytes() == b"\xff\xd8\xff one"


@pytest.mark.parametrize(
    ("to", "option", "value"),
    [
        ("coco", "media", "copy"),
        ("sft", "shard_mb", 7),
        ("sft", "allow", ("/x",)),
        ("webdataset", "media", "reference"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, media: Path, to: str, option: str, value: object
) -> None:
    rows = [{"id": "a", "image": "a.jpg", "response": "x", "boxes": []}]
    write_output(tmp_path / "out", ground(detect=True), rows, manifest=IMAGE, base=media)
    with pytest.raises(ConfigurationError, match="has no effect"):
        exported(tmp_path / "out", tmp_path / "export", to, **{option: value})
