"""Checkpoints of the published sizes without weights, for vLLM's ``load_format: dummy``."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from internvl_ops.models.family.registry import REGISTRY
from testing.tiny import LANGUAGES, make_tiny_checkpoint

LAYOUTS = {"internlm2": "internlm2", "qwen2": "qwen2"}  # backbone -> key of LANGUAGES


def make_shape(folder: Path, name: str, layers: int | None = None) -> str:
    """Writes config and tokenizer of a published checkpoint, with 448-pixel tiles, and a weight
    file of nothing.

    The tokenizer is a small one of this project: prompts are some tokens longer than the published
    one makes them.

    Args:
        folder: To write into.
        name: As in the registry, such as ``InternVL2_5-8B``.
        layers: Of vision and language model each, instead of the published number.
    """
    entry = next(entry for entry in REGISTRY if entry.name == name)
    vision, language = entry.architecture.vision, entry.architecture.language
    make_tiny_checkpoint(folder, tile_size=vision.image_size, layers=1, hidden=64)
    config = json.loads((folder / "config.json").read_text())
    own = LANGUAGES[LAYOUTS[language.model_type]].extra
    same = (
        "bos_token_id",
        "eos_token_id",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "hidden_act",
    )
    config["template"] = entry.template
    config["llm_config"] = {
        key: config["llm_config"][key] for key in (*same, "torch_dtype", "tie_word_embeddings")
    }
    config["llm_config"] |= own | {
        "hidden_size": language.hidden,
        "intermediate_size": language.intermediate,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.kv_heads,
        "num_hidden_layers": layers or language.layers,
        "vocab_size": language.vocabulary,
    }
    config["vision_config"] |= {
        "hidden_size": vision.hidden,
        "intermediate_size": vision.intermediate,
        "num_attention_heads": vision.heads,
        "num_hidden_layers": layers or vision.layers,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file({"nothing": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)
