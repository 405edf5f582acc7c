"""GPT-OSS thinks in one channel and answers in another: the answer is what the final one says."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from internvl_ops.engines.answers import completion
from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from internvl_ops.generation import Generator, Retries
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.rendered import RenderedConversation, Shown

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


SAID_MORE = [False, False, True, True, True, False]


@pytest.mark.parametrize(
    ("said", "more"), [(said, more) for (said, _), more in zip(ANSWERS, SAID_MORE, strict=True)]
)
def test_whether_the_model_said_more_than_its_answer_keeps(
    tokenizer: Tokenizer, said: str, more: bool
) -> None:
    assert tokenizer.leaves_out(tokenizer.encode(said, start=False).tolist()) is more
    choice = {"message": {"content": said}, "finish_reason": "stop"}
    assert completion({"choices": [choice]}).left_out is more


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_server_may_keep_the_thoughts_apart(name: str) -> None:
    def left_out(message: dict) -> bool:
        return completion(
            {"choices": [{"message": {"content": "A cat."} | message, "finish_reason": "stop"}]}
        ).left_out

    assert left_out({name: "It has ears."})
    assert not left_out({name: ""})
    assert not left_out({name: None})


class Says:
    """An engine that answers with the same ids, and keeps what it was asked."""

    def __init__(self, token_ids: list[int]) -> None:
        self._ids, self.prompts = token_ids, list[list[int]]()

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        self.prompts.append(request.token_ids.tolist())
        return Completion(self._ids, len(request.token_ids), "stop")


@pytest.mark.parametrize("before", ["", THOUGHT])
def test_a_later_turn_sees_the_header_of_an_answer_that_a_stop_text_cut(
    tokenizer: Tokenizer, before: str
) -> None:
    header = before + "<|channel|>final<|message|>"
    engine = Says(
        tokenizer.encode(f"{header}A red panda. And more.<|return|>", start=False).tolist()
    )
    first, then = (tokenizer.encode(text) for text in ("<|start|>user", "<|end|><|start|>user"))
    asked = RenderedConversation(first, (), [then], None, Sampling())
    generator = Generator(engine, tokenizer, Retries(times=0), stop=["panda"])
    (((one, two),),) = asyncio.run(generator.answer("unit", [asked], Shown()))
    assert one.text == two.text == "A red "
    assert one.left_out is bool(before)
    said = tokenizer.encode(f"{header}A red ", start=False)
    assert engine.prompts[1] == [*first, *said, *then]
