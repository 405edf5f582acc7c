"""From a real job to exports, as a person would do it: pictures, boxes, training data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import load_dataset
from pycocotools.coco import COCO

from testing.commands import ROOT, run_here
from tests.pipelines.exports.internvl_loader import load_meta

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


def command(script: str, *arguments: object) -> str:
    done = run_here(script, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_boxes_of_a_job_become_training_data(tmp_path: Path) -> None:
    out = tmp_path / "boxes"
    model = ROOT / "examples" / "nano" / "checkpoint"
    command(
        "ground_dataset.py",
        "--input",
        "examples/demo/phrases.jsonl",
        "--output",
        out,
        "--model",
        model,
    )
    said = command("export_dataset.py", "--input", out, "--output", tmp_path / "sft", "--to", "sft")
    assert "rows in = " in said
    (entry,) = json.loads((tmp_path / "sft" / "meta.json").read_text()).values()
    assert entry["root"] == f"{ROOT}/examples/demo/"
    (items,) = load_meta(tmp_path / "sft" / "meta.json").values()
    assert items
    assert all("<box>[[" in item["conversations"][1]["value"] for item in items)
    command("export_dataset.py", "--input", out, "--output", tmp_path / "coco", "--to", "coco")
    coco = COCO(str(tmp_path / "coco" / "train.json"))
    sizes = {
        image["id"]: (image["width"], image["height"]) for image in coco.loadImgs(coco.getImgIds())
    }
    for box in coco.loadAnns(coco.getAnnIds()):
        x, y, width, height = box["bbox"]
        assert 0 <= x <= x + width <= sizes[box["image_id"]][0] + 0.1
        assert 0 <= y <= y + height <= sizes[box["image_id"]][1] + 0.1
    command("export_dataset.py", "--input", out, "--output", tmp_path / "hf", "--to", "hf")
    dataset = load_dataset(str(tmp_path / "hf"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(dataset) == len(sizes)
    assert {image.size for image in dataset["image"][:]} <= set(sizes.values())
