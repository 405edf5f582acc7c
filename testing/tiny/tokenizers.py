"""The two kinds of tokenizer that the family is published with, small."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models

# In the order in which the family added them to its backbones' vocabularies.
INTERNVL_TOKENS = [
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
QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PAD, EOS = 0, 2  # positions in QWEN_TOKENS

# The backbones' own, added to their SentencePiece models.
INTERNLM2_SPECIAL = ("<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>",
                     "<|im_end|>", "<|im_start|>")  # fmt: skip
PHI3_SPECIAL = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
YI_SPECIAL = ("<|im_start|>", "<|im_end|>")

# Like the published ones, it disagrees with the template the model was trained on: another system
# message.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful"
    " assistant.<|im_end|>\n{% endif %}{% for message in messages %}<|im_start|>{{ message['role']"
    " }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt"
    " %}<|im_start|>assistant\n{% endif %}"
)

CORPUS = [
    "system user assistant Frame1: Frame2: Image-1: Image-2:",
    "Provide a one-sentence caption for the provided image.",
    "Please describe the image in detail. Answer the question using a single word or phrase.",
    "Please provide the bounding box coordinates of the region this sentence describes:",
    "a photo of a red square and a blue circle on a white background",
]


def write_byte_level(out: Path) -> tuple[int, int, int]:
    """A byte-level BPE tokenizer in ``tokenizer.json``, as Qwen2's and Llama 3's.

    Returns:
        Size of the vocabulary, id of the token that ends a turn, id of the padding token.
    """
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(QWEN_TOKENS) + len(alphabet) + 200,
        special_tokens=QWEN_TOKENS,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    tokenizer.add_special_tokens(INTERNVL_TOKENS)  # after the vocabulary, as published
    tokenizer.save(str(out / "tokenizer.json"))
    special = {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": INTERNVL_TOKENS,
    }
    _write_json(out / "special_tokens_map.json", special)
    _write_json(
        out / "tokenizer_config.json",
        {
            **special,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": CHAT_TEMPLATE,
            "model_max_length": 8192,
            "clean_up_tokenization_spaces": False,
        },
    )
    return tokenizer.get_vocab_size(), EOS, PAD


def write_sentencepiece(
    out: Path,
    *,
    tokenizer_class: str,
    special: Sequence[str],
    rstrip: Sequence[str] = (),
    **settings: Any,
) -> tuple[int, int, int]:
    """A SentencePiece BPE model in ``tokenizer.model`` without ``tokenizer.json``.

    Args:
        out: Folder to write into.
        tokenizer_class: As published: ``InternLM2Tokenizer``, which is code beside it, or
            ``LlamaTokenizer``.
        special: The backbone's own tokens, before the family's.
        rstrip: Those of them that swallow the blanks after them.
        settings: Further keys of ``tokenizer_config.json``.

    Returns:
        Size of the vocabulary, id of the token that ends a turn, id of the padding token.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (out / "tokenizer.model").write_bytes(model.getvalue())
    size = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    added = [*special, *INTERNVL_TOKENS]
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2} | {
        content: size + place for place, content in enumerate(added)
    }
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    named |= {"additional_special_tokens": added}  # type: ignore[dict-item]
    _write_json(out / "special_tokens_map.json", named)
    _write_json(out / "added_tokens.json", {content: ids[content] for content in added})
    decoder = {
        str(number): {
            "content": content,
            "lstrip": False,
            "rstrip": content in rstrip,
            "special": True,
        }
        for content, number in ids.items()
    }
    chat = {
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
    }
    config = {
        **named,
        "tokenizer_class": tokenizer_class,
        "added_tokens_decoder": decoder,
        **chat,
        **settings,
    }
    _write_json(out / "tokenizer_config.json", config)
    end = next(token for token in ("<|im_end|>", "<|end|>", "</s>") if token in ids)
    return size + len(added), ids[end], 2


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
