"""GPT-OSS thinks in one channel and answers in another: the answer is what the final one says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from internvl_ops.engines.answers import completion
from internvl_ops.models.config import load_checkpoint
from internvl_ops.models.tokenizer import Tokenizer

TOKENS = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>"]
FINAL = "<|channel|>final<|message|>A <ref>red panda</ref>."
THOUGHT = "<|channel|>analysis<|message|>A final guess?<|end|><|start|>assistant"
ANSWERS = [
    (FINAL, "A <ref>red panda</ref>."),
    (FINAL + "<|return|>", "A <ref>red panda</ref>."),
    (THOUGHT + FINAL + "<|return|>", "A <ref>red panda</ref>."),
    (THOUGHT + FINAL + "<|end|>", "A <ref>red panda</ref>."),
    ("<|channel|>analysis<|message|>Let me", ""),
    ("A <ref>red panda</ref>.", "A <ref>red panda</ref>."),
]


@pytest.fixture
def tokenizer(tiny_checkpoint: Path, tmp_path: Path) -> Tokenizer:
    from tokenizers import Tokenizer as Rust

    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    rust = Rust.from_file(str(folder / "tokenizer.json"))
    rust.add_special_tokens(TOKENS)
    rust.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text()) | {"template": "internvl3_5_gpt_oss"}
    (folder / "config.json").write_text(json.dumps(config))
    return Tokenizer(load_checkpoint(str(folder)))


@pytest.mark.parametrize(("said", "answer"), ANSWERS)
def test_the_answer_is_the_final_part(tokenizer: Tokenizer, said: str, answer: str) -> None:
    ids = tokenizer.encode(said, start=False).tolist()
    assert tokenizer.decode(ids, keep_special=True) == answer
    assert tokenizer.decode(ids) == answer.replace("<ref>", "").replace("</ref>", "")
    choice = {"message": {"content": said}, "finish_reason": "stop"}
    assert completion({"choices": [choice]}).text == answer


def test_generation_ends_at_return_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.stop_ids == {tokenizer.token_id("<|return|>")}
