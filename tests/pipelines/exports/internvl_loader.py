"""What InternVL's fine-tuning loader demands of its files, restated without the exporter's code.

It reads the meta file, and of each entry the annotation, line by line. It opens an image at the
root joined with its path, replaces each ``<image>`` in the questions with that image's tokens, and
fails a line where the numbers differ; of a video it replaces one ``<video>`` with a line of
``<image>`` for each frame. Turns go human, gpt, human, gpt.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

BOX = re.compile(r"<box>(.*?)</box>", re.DOTALL)


def load_meta(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every entry's items, checked as the loader would come to know them."""
    loaded = {}
    for name, entry in json.loads(path.read_text()).items():
        assert entry["annotation"].endswith("jsonl")
        assert isinstance(entry["repeat_time"], int)
        assert isinstance(entry["data_augment"], bool)
        assert 1 <= entry["max_dynamic_patch"] <= 40
        lines = Path(entry["annotation"]).read_text().splitlines()
        assert len(lines) == entry["length"]
        loaded[name] = [check_item(json.loads(line), entry["root"]) for line in lines]
    return loaded


def check_item(item: dict[str, Any], root: str) -> dict[str, Any]:
    turns = item["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
    assert turns
    assert all(turn["value"].strip() for turn in turns)
    questions = "".join(turn["value"] for turn in turns if turn["from"] == "human")
    answers = "".join(turn["value"] for turn in turns if turn["from"] == "gpt")
    images = item.get("image") or []
    images = [images] if isinstance(images, str) else images
    if item.get("video"):
        assert not images
        assert turns[0]["value"].startswith("<video>\n")
        assert questions.count("<video>") == 1
        assert "<image>" not in questions
        assert "clip" not in item or (len(item["clip"]) == 2 and item["clip"][0] < item["clip"][1])
        assert os.path.exists(os.path.join(root, item["video"]))
    else:
        assert questions.count("<image>") == len(images)
    assert "<image>" not in answers
    assert not re.search(r"</?img>|<IMG_CONTEXT>|<\|im_(start|end)\|>", questions + answers)
    for image in images:
        # Of an object on S3 the loader joins root and address as they are.
        assert os.path.exists(os.path.join(root, image)) or (not root and image.startswith("s3://"))
    for found in BOX.findall(questions + answers):
        boxes = json.loads(found)
        assert boxes
        for x1, y1, x2, y2 in boxes:
            assert all(
                isinstance(number, int) and 0 <= number <= 1000 for number in (x1, y1, x2, y2)
            )
            assert x1 <= x2
            assert y1 <= y2
    return item
