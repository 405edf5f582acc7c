"""A tiny InternVL checkpoint with random weights, in the published file layout.

    python -m internvl_ops.models.tiny OUT [--tile-size 112]

Tests and trials use it wherever a real checkpoint would be too big: config, tokenizer and weight names are those of
the published 2.x family (InternViT, pixel shuffle, MLP, Qwen2), so it takes the same code path. Its answers are noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models

from internvl_ops.models.json_files import read_json
from internvl_ops.models.native import native_config, native_weights

# In the order in which the family added them to its backbones' vocabularies.
INTERNVL_TOKENS = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PAD, EOS = 0, 2  # positions in QWEN_TOKENS

PATCH = 14
CONTEXT = 8192

# Like the published ones, it disagrees with the template the model was trained on: another system message.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

CORPUS = [
    "system user assistant Frame1: Frame2: Image-1: Image-2:",
    "Provide a one-sentence caption for the provided image.",
    "Please describe the image in detail. Answer the question using a single word or phrase.",
    "Please provide the bounding box coordinates of the region this sentence describes:",
    "a photo of a red square and a blue circle on a white background",
]


def make_tiny_checkpoint(
    out: str | Path,
    *,
    tile_size: int = 112,
    layers: int = 2,
    hidden: int = 128,
    template: str = "internvl2_5",
    seed: int = 7,
) -> Path:
    """Writes the checkpoint into the folder `out` and returns it; takes a second or two.

    Args:
        out: Folder to write into; made if absent, files in it are replaced.
        tile_size: Side of a tile in pixels, a multiple of 28. The published checkpoints have 448 (256 tokens a tile);
            the default of 112 has 16 tokens a tile and keeps tests quick.
        layers: Of the vision model and of the language model, each.
        hidden: Width of both models; a multiple of 64, the width of a head.
        template: Value of the config's `template`.
        seed: Of the weights: the same seed writes the same bytes.
    """
    if tile_size <= 0 or tile_size % (2 * PATCH):
        raise ValueError(f"tile_size {tile_size}: must be a positive multiple of {2 * PATCH}, such as 112, 224 or 448")
    if hidden <= 0 or hidden % 64:
        raise ValueError(f"hidden {hidden}: must be a positive multiple of 64, such as 128")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(out)
    _write_json(out / "config.json", _config(tile_size, layers, hidden, template, vocabulary))
    _write_json(out / "generation_config.json", {"eos_token_id": [EOS, PAD]})
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in _weights(generator, tile_size, layers, hidden, vocabulary)
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def make_tiny_native_checkpoint(out: str | Path, **options: Any) -> Path:
    """The checkpoint that `make_tiny_checkpoint` writes with the same options, in transformers' own layout.

    Weights and tokenizer are the same, so that both give the same answers.
    """
    out = make_tiny_checkpoint(out, **options)
    config = read_json(out / "config.json")
    native = native_config(config, str(out))
    native["image_token_id"] = Tokenizer.from_file(str(out / "tokenizer.json")).token_to_id("<IMG_CONTEXT>")
    weights = {
        name: tensor.contiguous()
        for name, tensor in native_weights(config, load_file(out / "model.safetensors").items())
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    _write_json(out / "config.json", native | {"dtype": "bfloat16"})
    size = config["force_image_size"]
    images = {"crop_to_patches": True, "min_patches": 1, "max_patches": 12, "size": {"height": size, "width": size}}
    _write_json(out / "preprocessor_config.json", {"image_processor_type": "GotOcr2ImageProcessorFast", **images})
    _write_json(
        out / "tokenizer_config.json",
        read_json(out / "tokenizer_config.json")
        | {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"},
    )
    return out


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tokenizer(out: Path) -> int:
    """A byte-level BPE tokenizer with the family's special tokens; returns the size of its vocabulary."""
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
    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "additional_special_tokens": INTERNVL_TOKENS}
    _write_json(out / "special_tokens_map.json", special)
    _write_json(
        out / "tokenizer_config.json",
        {
            **special,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": CHAT_TEMPLATE,
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
        },
    )
    return tokenizer.get_vocab_size()


def _config(tile_size: int, layers: int, hidden: int, template: str, vocabulary: int) -> dict[str, Any]:
    heads = hidden // 64
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": tile_size,
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": template,
        "use_thumbnail": True,
        "torch_dtype": "bfloat16",
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_attention_heads": heads,
            "num_key_value_heads": max(1, heads // 2),
            "num_hidden_layers": layers,
            "vocab_size": vocabulary,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": PAD,
            "eos_token_id": EOS,
            "torch_dtype": "bfloat16",
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",  # also what the 300M type is called in the published files
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "image_size": tile_size,
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


def _weights(
    generator: torch.Generator, tile_size: int, layers: int, hidden: int, vocabulary: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight by its published name, in float32.

    Gains are of order one, so that every part shows in the answer: a test that compares answers notices when tiles are
    swapped or a layer is left out.
    """

    def noise(*shape: int, scale: float) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    def linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
        yield f"{name}.weight", noise(outputs, inputs, scale=inputs**-0.5)
        if bias:
            yield f"{name}.bias", noise(outputs, scale=0.1)

    def layer_norm(name: str, width: int) -> Iterator[tuple[str, torch.Tensor]]:
        yield f"{name}.weight", 1 + noise(width, scale=0.1)
        yield f"{name}.bias", noise(width, scale=0.1)

    embeddings = "vision_model.embeddings"
    positions = (tile_size // PATCH) ** 2 + 1
    yield f"{embeddings}.class_embedding", noise(1, 1, hidden, scale=1)
    yield f"{embeddings}.position_embedding", noise(1, positions, hidden, scale=0.3)
    yield f"{embeddings}.patch_embedding.weight", noise(hidden, 3, PATCH, PATCH, scale=(3 * PATCH**2) ** -0.5)
    yield f"{embeddings}.patch_embedding.bias", noise(hidden, scale=0.1)
    for index in range(layers):
        name = f"vision_model.encoder.layers.{index}"
        yield from linear(f"{name}.attn.qkv", 3 * hidden, hidden)
        yield from linear(f"{name}.attn.proj", hidden, hidden)
        yield from linear(f"{name}.mlp.fc1", 2 * hidden, hidden)
        yield from linear(f"{name}.mlp.fc2", hidden, 2 * hidden)
        yield from layer_norm(f"{name}.norm1", hidden)
        yield from layer_norm(f"{name}.norm2", hidden)
        yield f"{name}.ls1", 0.5 + noise(hidden, scale=0.1)
        yield f"{name}.ls2", 0.5 + noise(hidden, scale=0.1)

    yield from layer_norm("mlp1.0", 4 * hidden)  # pixel shuffle by 0.5 puts four patches side by side
    yield from linear("mlp1.1", hidden, 4 * hidden)
    yield from linear("mlp1.3", hidden, hidden)

    heads = hidden // 64
    keys = 64 * max(1, heads // 2)
    for index in range(layers):
        name = f"language_model.model.layers.{index}"
        yield from linear(f"{name}.self_attn.q_proj", hidden, hidden)
        yield from linear(f"{name}.self_attn.k_proj", keys, hidden)
        yield from linear(f"{name}.self_attn.v_proj", keys, hidden)
        yield from linear(f"{name}.self_attn.o_proj", hidden, hidden, bias=False)
        yield from linear(f"{name}.mlp.gate_proj", 2 * hidden, hidden, bias=False)
        yield from linear(f"{name}.mlp.up_proj", 2 * hidden, hidden, bias=False)
        yield from linear(f"{name}.mlp.down_proj", hidden, 2 * hidden, bias=False)
        yield f"{name}.input_layernorm.weight", 1 + noise(hidden, scale=0.1)
        yield f"{name}.post_attention_layernorm.weight", 1 + noise(hidden, scale=0.1)
    yield "language_model.model.norm.weight", 1 + noise(hidden, scale=0.1)
    yield "language_model.model.embed_tokens.weight", noise(vocabulary, hidden, scale=0.5)
    yield "language_model.lm_head.weight", noise(vocabulary, hidden, scale=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m internvl_ops.models.tiny",
        description="Write a tiny InternVL checkpoint with random weights, for trials of the pipeline.",
    )
    parser.add_argument("out", help="folder to write into")
    parser.add_argument("--tile-size", type=int, default=112, help="side of a tile in pixels; published ones: 448")
    parser.add_argument("--layers", type=int, default=2, help="of the vision and of the language model, each")
    parser.add_argument("--hidden", type=int, default=128, help="width of both models, a multiple of 64")
    parser.add_argument("--template", default="internvl2_5", help="conversation template named in config.json")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--native", action="store_true", help="in the layout of transformers' own InternVL class")
    options = vars(parser.parse_args())
    print((make_tiny_native_checkpoint if options.pop("native") else make_tiny_checkpoint)(**options))


if __name__ == "__main__":
    main()
