"""Conversations as LLaVA and LLaMA-Factory read them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from datasets import load_dataset

from internvl_ops.tasks import ask
from tests.pipelines.exports.outputs import exported, write_output


def output(folder: Path) -> None:
    turns = [{"question": "Who?", "answer": "me"}, {"question": "Where?", "answer": "here"}]
    said = {"response": "me", "answer": "me", "turns": turns}
    given = {"one": ["a.jpg"], "two": ["a.jpg", "b.jpg"], "text": None}
    rows = [
        {
            "id": name,
            "image": media,
            "num_tiles": 3 if media else 0,
            "width": 64 if media else 0,
            **said,
        }
        for name, media in given.items()
    ]
    write_output(
        folder / "out",
        ask(),
        rows,
        manifest=pa.schema([("image", pa.list_(pa.string()))]),
        base=folder,
    )


def test_llava(tmp_path: Path) -> None:
    output(tmp_path)
    assert exported(tmp_path / "out", tmp_path / "llava", "llava").rows_out == 3
    one, two, text = json.loads((tmp_path / "llava" / "train.json").read_text())
    assert one["image"] == "a.jpg"
    assert one["conversations"][0] == {"from": "human", "value": "<image>\nWho?"}
    assert [turn["from"] for turn in one["conversations"]] == ["human", "gpt"] * 2
    assert two["image"] == ["a.jpg", "b.jpg"]
    assert "image" not in text
    assert json.loads((tmp_path / "llava" / "export.json").read_text())["root"] == f"{tmp_path}/"


def test_sharegpt(tmp_path: Path) -> None:
    output(tmp_path)
    exported(tmp_path / "out", tmp_path / "share", "sharegpt", name="mine")
    info = json.loads((tmp_path / "share" / "dataset_info.json").read_text())["mine_train"]
    assert info["formatting"] == "sharegpt"
    path = str(tmp_path / "share" / info["file_name"])
    rows = load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 3
    for row in rows:
        messages, images = row[info["columns"]["messages"]], row[info["columns"]["images"]]
        assert sum(turn["value"].count("<image>") for turn in messages) == len(images)
        assert [turn["from"] for turn in messages] == ["human", "gpt"] * 2
    assert rows[1]["images"] == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]


def test_copies_have_whole_addresses_in_sharegpt_and_relative_ones_in_llava(tmp_path: Path) -> None:
    output(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    exported(tmp_path / "out", tmp_path / "share", "sharegpt", media="copy")
    exported(tmp_path / "out", tmp_path / "llava", "llava", media="copy")
    (_, two, _) = json.loads((tmp_path / "share" / "train.json").read_text())
    assert [Path(path).read_bytes()[3:] for path in two["images"]] == [b"a.jpg", b"b.jpg"]
    (_, two, _) = json.loads((tmp_path / "llava" / "train.json").read_text())
    root = Path(json.loads((tmp_path / "llava" / "export.json").read_text())["root"])
    assert [(root / path).read_bytes()[3:] for path in two["image"]] == [b"a.jpg", b"b.jpg"]
