"""Prompts equal the strings that the model cards' `chat()` builds, and so do their token ids."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.models.templates.conversation_template import TEMPLATES
from tests.internvl_ops.models.prompts.golden_prompts import GOLDEN, OWN_SYSTEM

TOKENS = [
    "</s>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|start|>",
    "<|message|>",
    "<|return|>",
]
PER_TILE = 16  # context tokens, of the tiny checkpoint

# What a user of the cards passes: question, tiles of each image, history, kind of media.
CASES: dict[str, dict[str, Any]] = {
    "text": {"question": "Hello, who are you?"},
    "one image": {
        "question": "<image>\nPlease describe the image shortly.",
        "num_tiles_per_image": [7],
    },
    # Two pictures of seven and three tiles, given as one.
    "combined images": {
        "question": "<image>\nDescribe the two images in detail.",
        "num_tiles_per_image": [10],
    },
    "separate images": {
        "question": "Image-1: <image>\nImage-2: <image>\nDescribe the two images in detail.",
        "num_tiles_per_image": [7, 3],
    },
    "video": {
        "question": "What is the red panda doing?",
        "num_tiles_per_image": [1, 1, 1],
        "media": "video",
    },
    "second turn": {
        "question": "Please write a poem according to the image.",
        "num_tiles_per_image": [7],
        "history": [("<image>\nPlease describe the image in detail.", "A red panda.")],
    },
}
# The tags may be left out, which gives the same.
UNTAGGED = ["one image", "combined images", "separate images", "second turn"]


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, whose tokenizer knows the special tokens of every template."""
    copy = Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("golden") / "model"))
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.add_special_tokens(TOKENS)
    tokenizer.save(str(copy / "tokenizer.json"))
    return copy


def renderer(folder: Path, **config: Any) -> Renderer:
    path = folder / "config.json"
    original = path.read_text()
    path.write_text(json.dumps(json.loads(original) | config))
    try:
        return Renderer(load_checkpoint(str(folder)))
    finally:
        path.write_text(original)


def check(rendering: Renderer, golden: str, case: dict[str, Any]) -> None:
    """The whole text, as `chat()` builds it, has the ids that are rendered."""
    contexts = re.sub(
        r"\[(\d+)\]", lambda n: f"<img>{'<IMG_CONTEXT>' * PER_TILE * int(n[1])}</img>", golden
    )
    rendered = rendering.render(**case)
    assert np.array_equal(rendered.token_ids, rendering.tokenizer.encode(contexts))
    assert [image.num_tiles for image in rendered.images] == case.get("num_tiles_per_image", [])
    tagged = rendering.text(
        case["question"],
        len(case.get("num_tiles_per_image", [])),
        case.get("history", []),
        media=case.get("media", "images"),
    )
    assert tagged == re.sub(r"\[\d+\]", "<image>", golden)


def test_every_template_and_case_is_written_out() -> None:
    assert GOLDEN.keys() == {(template, case) for template in TEMPLATES for case in CASES}
    assert OWN_SYSTEM.keys() == TEMPLATES.keys()


@pytest.mark.parametrize(("template", "case"), GOLDEN)
def test_prompt(folder: Path, template: str, case: str) -> None:
    check(renderer(folder, template=template), GOLDEN[template, case], CASES[case])


@pytest.mark.parametrize("template", TEMPLATES)
def test_prompt_with_the_checkpoints_own_system_message(folder: Path, template: str) -> None:
    own = renderer(folder, template=template, system_message="You answer in one word.")
    check(own, OWN_SYSTEM[template], CASES["one image"])


@pytest.mark.parametrize("case", UNTAGGED)
def test_tags_may_be_left_out(folder: Path, case: str) -> None:
    def untagged(text: str) -> str:
        return re.sub(r"(Image-\d+: )?<image>\n", "", text)

    given = dict(CASES[case], question=untagged(CASES[case]["question"]))
    if history := given.get("history"):
        given["history"] = [(untagged(asked), answered) for asked, answered in history]
    expected = renderer(folder, template="internvl2_5")
    check(expected, GOLDEN["internvl2_5", case], given)
