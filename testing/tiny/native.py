"""The same checkpoints in the layout of transformers' own class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.checkpoints.native import native_config, native_weights
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from testing.tiny.published import make_tiny_checkpoint, write_json


def make_tiny_native_checkpoint(out: str | Path, **options: Any) -> Path:
    """The checkpoint that `make_tiny_checkpoint` writes with the same options, in transformers' own
    layout.

    Weights and tokenizer are the same, so that both give the same answers.
    """
    out = make_tiny_checkpoint(out, **options)
    config = read_json(out / "config.json")
    native = native_config(config, str(out))
    native["image_token_id"] = Tokenizer(load_checkpoint(str(out))).image_context_id
    weights = {
        name: tensor.contiguous()
        for name, tensor in native_weights(config, load_file(out / "model.safetensors").items())
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    write_json(out / "config.json", native | {"dtype": "bfloat16"})
    size = config["force_image_size"]
    images = {
        "crop_to_patches": True,
        "min_patches": 1,
        "max_patches": 12,
        "size": {"height": size, "width": size},
    }
    write_json(
        out / "preprocessor_config.json",
        {"image_processor_type": "GotOcr2ImageProcessorFast", **images},
    )
    write_json(
        out / "tokenizer_config.json",
        read_json(out / "tokenizer_config.json")
        | {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
        },
    )
    return out
