"""Tokenizer and config: the files beside the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from examples.nano.model import (
    CONTEXT,
    LANGUAGE,
    MAX_TILES,
    PATCH,
    TEMPLATE,
    TILE,
    VISION,
)
from examples.nano.sample_types import (
    CAPTION,
    COLOURS,
    DIRECTIONS,
    FILM,
    GROUND,
    KINDS,
    OCR,
    SHORT,
    STEP,
)
from internvl_ops.models.templates.conversation_template import TEMPLATES

QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
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


def texts() -> Iterator[str]:
    """What is one token a word; anything else is one token a byte."""
    yield "system\n" + TEMPLATES[TEMPLATE].system_message + "\nuser\n assistant\n"
    yield from ("Frame1: \nFrame2: \n", "Image-1: \nImage-2: \n")
    yield from (
        CAPTION,
        FILM,
        OCR,
        GROUND.format("a"),
        SHORT,
    )
    yield "How many shapes are in the image? What color is the red? What shape is it?"
    yield "Which way does it move?"
    yield "What moves?"
    for name in [*KINDS, *COLOURS, *DIRECTIONS]:
        yield f"{name} {name} {name}s a {name}es an {name} moves and {name}"
    for number in range(0, 1001, STEP):
        yield f"[[{number}, {number}]]"


def build_tokenizer() -> Tokenizer:
    """Byte-level BPE without merges: a word of `texts` is one token, a letter of any other word is
    one."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = sorted({word for text in texts() for word, _ in split.pre_tokenize_str(text)})
    vocabulary = dict.fromkeys([*QWEN_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *words])
    tokenizer = Tokenizer(
        models.BPE(
            vocab={word: at for at, word in enumerate(vocabulary)}, merges=[], ignore_merges=True
        )
    )
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(QWEN_TOKENS + INTERNVL_TOKENS)
    return tokenizer


def write_files(out: Path) -> None:
    """Everything of the checkpoint but the weights."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save(str(out / "tokenizer.json"))
    special = {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": INTERNVL_TOKENS,
    }
    _write_json(out / "special_tokens_map.json", special)
    _write_json(
        out / "tokenizer_config.json",
        {**special, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT},
    )
    eos = [tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")]
    _write_json(out / "generation_config.json", {"eos_token_id": eos, "do_sample": False})
    _write_json(out / "config.json", _config(tokenizer.get_vocab_size(), eos))


def _config(vocabulary: int, eos: list[int]) -> dict[str, Any]:
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": TILE,
        "max_dynamic_patch": MAX_TILES,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": TEMPLATE,
        "use_thumbnail": True,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": LANGUAGE["width"],
            "intermediate_size": LANGUAGE["wide"],
            "num_attention_heads": LANGUAGE["heads"],
            "num_key_value_heads": LANGUAGE["heads"],
            "num_hidden_layers": LANGUAGE["layers"],
            "vocab_size": vocabulary,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "bos_token_id": eos[1],
            "eos_token_id": eos[0],
            "torch_dtype": "bfloat16",
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_size": VISION["width"],
            "intermediate_size": VISION["wide"],
            "num_attention_heads": VISION["heads"],
            "num_hidden_layers": VISION["layers"],
            "image_size": TILE,
            "patch_size": PATCH,
            "num_channels": 3,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "norm_type": "layer_norm",
            "qk_normalization": False,
            "qkv_bias": True,
            "use_flash_attn": False,
            "attention_dropout": 0.0,
            "dropout": 0.0,
            "drop_path_rate": 0.0,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "torch_dtype": "bfloat16",
        },
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
