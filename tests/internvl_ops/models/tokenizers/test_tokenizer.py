"""Answers as text, the tokens that end them, and tokenizers that do not load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer

GROUNDED = "<ref>car</ref><box>[[75, 658, 120, 700]]</box>"


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    return Tokenizer(checkpoint)


class TestDecode:
    def test_ends_at_the_stop_token(self, tokenizer: Tokenizer) -> None:
        ids = tokenizer.encode(" A cat.\n<|im_end|>\n<|im_start|>user\nand")
        assert tokenizer.decode(ids.tolist()) == "A cat."

    def test_markup_is_dropped_unless_it_is_wanted(self, tokenizer: Tokenizer) -> None:
        ids = tokenizer.encode(GROUNDED + "<|im_end|>").tolist()
        assert tokenizer.decode(ids) == "car[[75, 658, 120, 700]]"
        assert tokenizer.decode(ids, keep_special=True) == GROUNDED

    @pytest.mark.parametrize(
        "text", ["plain", "图像 文字", "emoji 🐈", "a\n\nb", "tab\tand  blanks"]
    )
    def test_text_comes_back(self, tokenizer: Tokenizer, text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text).tolist()) == text

    def test_an_answer_of_nothing(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.decode([]) == ""


class TestIds:
    def test_the_nine_tokens_stand_at_the_end_in_the_published_order(
        self, tokenizer: Tokenizer
    ) -> None:
        names = [
            "<img>",
            "</img>",
            "<IMG_CONTEXT>",
            "<quad>",
            "</quad>",
            "<ref>",
            "</ref>",
            "<box>",
            "</box>",
        ]
        first = tokenizer.token_id("<img>")
        assert [tokenizer.token_id(name) for name in names] == list(range(first, first + 9))

    def test_ends_are_the_templates_and_those_of_the_generation_config(
        self, tokenizer: Tokenizer
    ) -> None:
        assert tokenizer.stop_ids == {
            tokenizer.token_id("<|im_end|>"),
            tokenizer.token_id("<|endoftext|>"),
        }


class TestLoading:
    @pytest.fixture
    def copy(self, tiny_checkpoint: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))

    def test_both_libraries_agree(self, copy: Path, tokenizer: Tokenizer) -> None:
        path = copy / "tokenizer_config.json"
        # to be found out
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": None}))
        other = Tokenizer(load_checkpoint(str(copy)))
        text = f"<|im_start|>system\n图<|im_end|>\n<img><IMG_CONTEXT></img>\n{GROUNDED} done"
        assert np.array_equal(other.encode(text), tokenizer.encode(text))
        ids = tokenizer.encode(text).tolist()
        assert other.decode(ids) == tokenizer.decode(ids)
        assert other.decode(ids, keep_special=True) == tokenizer.decode(ids, keep_special=True)

    def test_a_damaged_file(self, copy: Path) -> None:
        (copy / "tokenizer.json").write_text('{"version": "1.0"')
        with pytest.raises(ConfigurationError, match="the tokenizer does not load"):
            Tokenizer(load_checkpoint(str(copy)))

    def test_code_that_comes_with_a_checkpoint_runs_only_where_it_is_allowed(
        self, copy: Path
    ) -> None:
        path = copy / "tokenizer_config.json"
        own = {
            "tokenizer_class": "Own",
            "auto_map": {"AutoTokenizer": [None, "configuration_internvl_chat.Own"]},
        }
        path.write_text(json.dumps(json.loads(path.read_text()) | own))
        checkpoint = load_checkpoint(str(copy))
        with pytest.raises(ConfigurationError, match=r"add .`trust_remote_code`") as refused:
            Tokenizer(checkpoint)
        assert "code of the checkpoint was run" not in str(refused.value)
        with pytest.raises(ConfigurationError, match="code of the checkpoint was run"):
            Tokenizer(checkpoint, trust_remote_code=True)

    def test_the_tokenizer_of_another_model(self, copy: Path) -> None:
        content = (copy / "tokenizer.json").read_text()
        (copy / "tokenizer.json").write_text(content.replace("<IMG_CONTEXT>", "<PICTURE>"))
        with pytest.raises(ConfigurationError, match="no token '<IMG_CONTEXT>'"):
            Tokenizer(load_checkpoint(str(copy)))
