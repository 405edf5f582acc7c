"""Small random checkpoints of the family's encoders in their published layouts: an InternViT, and
InternVL-14B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from testing.tiny.noise import Named, Noise
from testing.tiny.published import write_json
from testing.tiny.tokenizers import write_sentencepiece
from testing.tiny.vision import VISIONS

QUERIES = 96  # as published


def make_tiny_internvit(
    out: str | Path,
    *,
    vision: str = "300m",
    side: int = 56,
    hidden: int = 128,
    layers: int = 2,
    seed: int = 7,
) -> Path:
    """Writes an InternViT into the folder `out` and returns it.

    Args:
        out: Folder to write into; made if absent.
        vision: A key of `VISIONS`: ``300m`` or ``6b``.
        side: Of a picture, in pixels, a multiple of 14.
        hidden: Width, a multiple of 64.
        layers: Number of layers.
        seed: Of the weights.
    """
    out = _made(out)
    tower, noise = VISIONS[vision], Noise(torch.Generator().manual_seed(seed))
    write_json(out / "config.json", tower.config(side, hidden, layers))
    _write_processor(out, side)
    named = tower.weights(noise, side, hidden, layers)
    _write(out, [(name.removeprefix("vision_model."), weight) for name, weight in named])
    return out


def make_tiny_internvl(
    out: str | Path,
    *,
    side: int = 56,
    hidden: int = 128,
    width: int = 192,
    layers: int = 4,
    size: int = 64,
    seed: int = 7,
) -> Path:
    """Writes InternVL-14B-224px, small, into the folder `out` and returns it.

    Args:
        out: Folder to write into; made if absent.
        side: Of a picture, in pixels, a multiple of 14.
        hidden: Width of the vision model, a multiple of 64.
        width: Width of QLLaMA, a multiple of 64.
        layers: Of QLLaMA; the vision model has two.
        size: Of a vector.
        seed: Of the weights.
    """
    out = _made(out)
    vocabulary, _, _ = write_sentencepiece(out, tokenizer_class="LlamaTokenizer", special=())
    noise = Noise(torch.Generator().manual_seed(seed))
    tower = VISIONS["6b"]
    qllama = {
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_attention_heads": width // 64,
        "num_hidden_layers": layers,
        "rms_norm_eps": 1e-6,
        "vocab_size": vocabulary,
        "cross_attention_frequency": 2,
        "num_query_token": QUERIES,
    }
    write_json(
        out / "config.json",
        {
            "architectures": ["InternVLModel"],
            "model_type": "internvl",
            "clip_embed_dim": size,
            "attn_pool_num_heads": 4,
            "num_query_token": QUERIES,
            "use_backbone_lora": 0,
            "use_qllama_lora": 0,
            "force_image_size": None,
            "torch_dtype": "bfloat16",
            "qllama_config": qllama,
            "vision_config": tower.config(side, hidden, 2),
        },
    )
    _write_processor(out, side)
    _write(
        out,
        [
            *tower.weights(noise, side, hidden, 2),
            *_qllama(noise, qllama, hidden),
            ("query_tokens", noise.normal(1, QUERIES, width, scale=1)),
            ("text_projection", noise.normal(width, size, scale=width**-0.5)),
            ("logit_scale", torch.tensor(4.6)),
            *_pool(noise, "clip_projector", hidden, size),
            *_pool(noise, "clip_projector2", width, size),
            *noise.linear("itm_head", 2, width),
        ],
    )
    return out


def _qllama(noise: Noise, config: dict[str, Any], source: int) -> Named:
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    named: Named = [("qllama.model.embed_tokens.weight", noise.normal(vocabulary, width, scale=1))]
    for index in range(config["num_hidden_layers"]):
        layer = f"qllama.model.layers.{index}"
        for part in "qkvo":
            named += noise.linear(f"{layer}.self_attn.{part}_proj", width, width, bias=False)
        named += noise.rms_norm(f"{layer}.input_layernorm", width)
        named += noise.rms_norm(f"{layer}.post_attention_layernorm", width)
        named += noise.linear(f"{layer}.mlp.gate_proj", 2 * width, width, bias=False)
        named += noise.linear(f"{layer}.mlp.up_proj", 2 * width, width, bias=False)
        named += noise.linear(f"{layer}.mlp.down_proj", width, 2 * width, bias=False)
        if index % config["cross_attention_frequency"] == 0:
            named += noise.linear(f"{layer}.cross_attn.q_proj", width, width, bias=False)
            named += noise.linear(f"{layer}.cross_attn.k_proj", width, source, bias=False)
            named += noise.linear(f"{layer}.cross_attn.v_proj", width, source, bias=False)
            named += noise.linear(f"{layer}.cross_attn.o_proj", width, width, bias=False)
            named += noise.rms_norm(f"{layer}.cross_attn.norm1", width)
            named += noise.rms_norm(f"{layer}.cross_attn.norm2", source)
    named += noise.rms_norm("qllama.model.norm", width)
    return [*named, *noise.linear("qllama.lm_head", vocabulary, width, bias=False)]


def _pool(noise: Noise, name: str, width: int, size: int) -> Named:
    named: Named = []
    for part in "qkv":
        named += noise.layer_norm(f"{name}.norm1_{part}", width)
        named += noise.linear(f"{name}.cross_attn.{part}", width, width, bias=False)
        named += [(f"{name}.cross_attn.{part}_bias", noise.normal(width, scale=0.1))]
    return [*named, *noise.linear(f"{name}.cross_attn.proj", size, width)]


def _made(out: str | Path) -> Path:
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def _write_processor(out: Path, side: int) -> None:
    """As published beside these checkpoints."""
    write_json(
        out / "preprocessor_config.json",
        {
            "crop_size": side,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
            "size": side,
        },
    )


def _write(out: Path, named: Named) -> None:
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in named}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
