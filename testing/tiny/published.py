"""The family's own layout: config, tokenizer and weights under their published names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from testing.tiny.language import LANGUAGES
from testing.tiny.noise import Noise
from testing.tiny.tokenizers import write_byte_level, write_sentencepiece
from testing.tiny.vision import PATCH, VISIONS

# Published checkpoints bring Python code. Here it must never run.
REMOTE_CODE = 'raise RuntimeError("code of the checkpoint was run")\n'


def make_tiny_checkpoint(
    out: str | Path,
    *,
    tile_size: int = 112,
    layers: int = 2,
    hidden: int = 128,
    vision: str = "300m",
    language: str = "qwen2",
    template: str | None = None,
    select_layer: int = -1,
    seed: int = 7,
) -> Path:
    """Writes the checkpoint into the folder `out` and returns it; takes a second or two.

    Args:
        out: Folder to write into; made if absent, files in it are replaced.
        tile_size: Side of a tile in pixels, a multiple of 28. The published checkpoints have 448
            (256 tokens a tile); the default of 112 has 16 tokens a tile and keeps tests quick.
        layers: Of the vision model and of the language model, each.
        hidden: Width of both models; a multiple of 64, the width of a head.
        vision: A key of `VISIONS`: ``300m`` or ``6b``, the two types of InternViT.
        language: A key of `LANGUAGES`: the family's backbones, each with the tokenizer it is
            published with.
        template: Value of the config's `template`; by default what is published with the language
            model.
        select_layer: Value of the config's `select_layer`: which of the vision model's layers is
            the last used.
        seed: Of the weights: the same seed writes the same bytes.
    """
    if tile_size <= 0 or tile_size % (2 * PATCH):
        raise ValueError(
            f"tile_size {tile_size}: must be a positive multiple of {2 * PATCH}, such as 112, 224"
            " or 448"
        )
    if hidden <= 0 or hidden % 64:
        raise ValueError(f"hidden {hidden}: must be a positive multiple of 64, such as 128")
    backbone, tower = LANGUAGES[language], VISIONS[vision]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if backbone.sentencepiece is None:
        vocabulary, eos, pad = write_byte_level(out)
    else:
        vocabulary, eos, pad = write_sentencepiece(out, **backbone.sentencepiece)
    language_config = backbone.config(hidden, layers, vocabulary) | {
        "bos_token_id": pad,
        "eos_token_id": eos,
    }
    write_json(
        out / "config.json",
        {
            "architectures": ["InternVLChatModel"],
            "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
            "model_type": "internvl_chat",
            "downsample_ratio": 0.5,
            "dynamic_image_size": True,
            "force_image_size": tile_size,
            "max_dynamic_patch": 12,
            "min_dynamic_patch": 1,
            "ps_version": "v2",
            "select_layer": select_layer,
            "template": template or backbone.template,
            "use_thumbnail": True,
            "torch_dtype": "bfloat16",
            "llm_config": language_config,
            "vision_config": tower.config(tile_size, hidden, layers),
        },
    )
    for module in ("configuration_internvl_chat", *backbone.code):
        (out / f"{module}.py").write_text(REMOTE_CODE)
    write_json(out / "generation_config.json", {"eos_token_id": [eos, pad]})
    noise = Noise(torch.Generator().manual_seed(seed))
    named = [
        *tower.weights(noise, tile_size, hidden, layers),
        *_projector(noise, hidden),
        *backbone.weights(noise, hidden, layers, vocabulary),
    ]
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in named}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def _projector(noise: Noise, hidden: int) -> list[tuple[str, torch.Tensor]]:
    """From the vision model to the language model; pixel shuffle by 0.5 puts four patches side by
    side."""
    return [
        *noise.layer_norm("mlp1.0", 4 * hidden),
        *noise.linear("mlp1.1", hidden, 4 * hidden),
        *noise.linear("mlp1.3", hidden, hidden),
    ]


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
