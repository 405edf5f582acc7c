"""Ids of SentencePiece tokenizers equal those of the slow tokenizers that the model cards load.

The reference is transformers' own slow backend, driven the way the published classes drive it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AddedToken
from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

from internvl_ops.models.tokenizers.seams import SEAM
from internvl_ops.models.tokenizers.sentencepiece_tokenizer import SPACE, SentencePieceTokenizer

TEXTS = [
    "a photo of a red square and a blue circle",
    "Describe the image. 请描述图片",
    "system user assistant\n",
]
INTERNLM2 = [
    "<|im_end|>",
    "<|im_start|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
]
PHI3 = ["<|assistant|>", "<|end|>", "<|system|>", "<|user|>", "<img>", "</img>", "<IMG_CONTEXT>"]


def make_model() -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=360,
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["[UNUSED_TOKEN_141]", "[UNUSED_TOKEN_142]"],
        minloglevel=2,
    )
    return model.getvalue()


def write(
    folder: Path, added: list[str], first: int | None = None, **config: Any
) -> dict[str, Any]:
    """A published folder: the model, and the added tokens from the id `first` on. Returns
    tokenizer_config.json."""
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(make_model())
    size = sentencepiece.SentencePieceProcessor(
        model_file=str(folder / "tokenizer.model")
    ).get_piece_size()
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2}
    ids |= {
        content: (size if first is None else first) + place for place, content in enumerate(added)
    }
    strip = config.pop("rstrip", ())
    config |= {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "added_tokens_decoder": {
            str(number): {"content": content, "special": True, "rstrip": content in strip}
            for content, number in ids.items()
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return config


class Slow:
    """What the slow tokenizer of the config's class does, on transformers' slow backend."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.config = config
        self.legacy = config["tokenizer_class"] == "InternLM2Tokenizer" or config.get(
            "legacy", True
        )
        self.backend = SentencePieceBackend(
            vocab_file=str(folder / "tokenizer.model"),
            legacy=self.legacy,
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
            additional_special_tokens=config.get("additional_special_tokens", []),
            added_tokens_decoder={
                int(number): AddedToken(
                    entry["content"],
                    special=True,
                    normalized=False,
                    rstrip=entry["rstrip"],
                    lstrip=False,
                )
                for number, entry in config["added_tokens_decoder"].items()
            },
        )

    def encode(self, text: str) -> list[int]:
        if not self.legacy and text:
            text = SPACE + text.replace(SPACE, " ")
        tokens = self.backend.tokenize(text)
        if (
            not self.legacy
            and len(tokens) > 1
            and tokens[0] == SPACE
            and tokens[1] in self.backend.all_special_tokens
        ):
            tokens = tokens[1:]
        beginning = [1] if self.config.get("add_bos_token", True) else []
        return beginning + [
            self.backend._convert_token_to_id_with_added_voc(token) for token in tokens
        ]


# As published: InternLM2's names two pieces anew and appends the rest, Phi-3's and Yi's append
# theirs.
PUBLISHED: dict[str, dict[str, Any]] = {
    "InternLM2": {"added": INTERNLM2, "tokenizer_class": "InternLM2Tokenizer"},
    "Yi": {"added": ["<|im_start|>", "<|im_end|>", *INTERNLM2[2:]],
           "tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": False},
    "Phi-3": {"added": PHI3, "tokenizer_class": "LlamaTokenizer", "legacy": False,
              "add_bos_token": True, "rstrip": PHI3[:4]},
    "Phi-3, as the family saves it": {"added": PHI3, "tokenizer_class": "LlamaTokenizer",
                                      "legacy": False, "add_bos_token": False, "rstrip": PHI3[:4],
                                      "additional_special_tokens": PHI3[4:]},
}  # fmt: skip


@pytest.fixture(scope="module", params=PUBLISHED)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Slow]:
    folder = tmp_path_factory.mktemp("tokenizer") / request.param
    config = write(folder, **PUBLISHED[request.param])
    return SentencePieceTokenizer(folder, config), Slow(folder, config)


class TestIds:
    @pytest.mark.parametrize(
        "text",
        [
            "<|im_start|>system\n你是InternVL<|im_end|><|im_start|>user\n<img><IMG_CONTEXT></img>\nWhat?<|im_end|>",
            (
                "<|system|>\nBe"
                " brief.<|end|><|user|>\n<img><IMG_CONTEXT></img>\nWhat?<|end|><|assistant|>\n"
            ),
            " a blank in front, two  inside, and one behind ",
            "<ref>car</ref><box>[[75, 658, 120, 700]]</box>",
            "▁ is SentencePiece's blank; émoji 🐈; tab\tline\n\nline",
            "",
            " ",
            "<img>",
        ],
    )
    def test_equal_the_slow_ones(
        self, both: tuple[SentencePieceTokenizer, Slow], text: str
    ) -> None:
        ours, slow = both
        assert ours.encode(text) == slow.encode(text)

    @settings(deadline=None, max_examples=200)
    @given(data=st.data())
    def test_of_whatever_text(
        self, both: tuple[SentencePieceTokenizer, Slow], data: st.DataObject
    ) -> None:
        ours, slow = both
        words = [
            *INTERNLM2,
            *PHI3,
            " ",
            "  ",
            "\n",
            SPACE,
            "square",
            " red",
            "图",
            "<|im_",
            "<unk>",
            "</s>",
        ]
        # The one character that the tokenizer keeps for itself, which no text contains; see
        # `seams`.
        characters = st.text(st.characters(codec="utf-8", exclude_characters=SEAM), max_size=4)
        text = "".join(
            data.draw(st.lists(st.one_of(st.sampled_from(words), characters), max_size=10))
        )
        assert ours.encode(text) == slow.encode(text)

    def test_pieces_that_were_named_anew(self, tmp_path: Path) -> None:
        """InternLM2 keeps pieces for later: ``[UNUSED_TOKEN_142]`` is ``<|im_end|>`` by its
        config."""
        folder = tmp_path / "model"
        config = write(
            folder,
            ["<|im_start|>", "<|im_end|>", "<img>"],
            first=3,
            tokenizer_class="InternLM2Tokenizer",
        )
        ours = SentencePieceTokenizer(folder, config)
        assert [ours.token_id(name) for name in ("<|im_start|>", "<|im_end|>", "<img>")] == [
            3,
            4,
            5,
        ]
        assert ours.encode("a<|im_end|>") == [*ours.encode("a"), 4]
        assert ours.decode([3, 4], keep_special=True) == "<|im_start|><|im_end|>"

    def test_older_files_list_them_apart(self, tmp_path: Path) -> None:
        config = write(tmp_path / "new", INTERNLM2, tokenizer_class="InternLM2Tokenizer")
        new = SentencePieceTokenizer(tmp_path / "new", config)
        older = write(tmp_path / "old", INTERNLM2, tokenizer_class="InternLM2Tokenizer")
        decoder = older.pop("added_tokens_decoder")
        older["additional_special_tokens"] = INTERNLM2
        listed = {
            entry["content"]: int(number) for number, entry in decoder.items() if int(number) > 2
        }
        (tmp_path / "old" / "added_tokens.json").write_text(json.dumps(listed))
        old = SentencePieceTokenizer(tmp_path / "old", older)
        text = "<s><|im_start|>user\n<img>red</img><|im_end|>"
        assert old.encode(text) == new.encode(text)
        assert (
            old.decode(old.encode(text), False)
            == new.decode(new.encode(text), False)
            == "user\nred"
        )


class TestText:
    @pytest.mark.parametrize(
        "text", ["a red square", "图像 文字", "🐈 é", "<ref>car</ref><box>[[75, 658]]</box>"]
    )
    def test_comes_back(self, both: tuple[SentencePieceTokenizer, Slow], text: str) -> None:
        ours, _ = both
        ids = ours.encode(text)
        assert ours.decode(ids, keep_special=True).removeprefix("<s>").strip() == text

    def test_special_tokens_are_left_out(self, both: tuple[SentencePieceTokenizer, Slow]) -> None:
        ours, _ = both
        assert ours.decode(ours.encode("red<img>circle</img>"), keep_special=False).split() in (
            ["redcircle"],
            ["red", "circle"],
        )

    def test_no_such_token(self, both: tuple[SentencePieceTokenizer, Slow]) -> None:
        assert both[0].token_id("<no such token>") is None
