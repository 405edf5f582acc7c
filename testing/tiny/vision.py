"""The two types of InternViT, small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testing.tiny.noise import Named, Noise

PATCH = 14


@dataclass(frozen=True)
class Vision:
    """What tells one type from the other.

    Attributes:
        rms_norm: RMSNorm instead of LayerNorm.
        qk_norm: Whether queries and keys are normalised, over all heads at once.
        qkv_bias: Whether their projection has a bias.
    """

    rms_norm: bool
    qk_norm: bool
    qkv_bias: bool

    def config(self, tile_size: int, hidden: int, layers: int) -> dict[str, Any]:
        return {
            "architectures": ["InternVisionModel"],
            # also what the 300M type is called in the published files
            "model_type": "intern_vit_6b",
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_attention_heads": hidden // 64,
            "num_hidden_layers": layers,
            "image_size": tile_size,
            "patch_size": PATCH,
            "num_channels": 3,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "norm_type": "rms_norm" if self.rms_norm else "layer_norm",
            "qk_normalization": self.qk_norm,
            "qkv_bias": self.qkv_bias,
            "use_flash_attn": False,
            "attention_dropout": 0.0,
            "dropout": 0.0,
            "drop_path_rate": 0.0,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "torch_dtype": "bfloat16",
        }

    def weights(self, noise: Noise, tile_size: int, hidden: int, layers: int) -> Named:
        norm = noise.rms_norm if self.rms_norm else noise.layer_norm
        embeddings = "vision_model.embeddings"
        positions = (tile_size // PATCH) ** 2 + 1
        named = [
            (f"{embeddings}.class_embedding", noise.normal(1, 1, hidden, scale=1)),
            (f"{embeddings}.position_embedding", noise.normal(1, positions, hidden, scale=0.3)),
            (
                f"{embeddings}.patch_embedding.weight",
                noise.normal(hidden, 3, PATCH, PATCH, scale=(3 * PATCH**2) ** -0.5),
            ),
            (f"{embeddings}.patch_embedding.bias", noise.normal(hidden, scale=0.1)),
        ]
        for index in range(layers):
            name = f"vision_model.encoder.layers.{index}"
            named += noise.linear(f"{name}.attn.qkv", 3 * hidden, hidden, bias=self.qkv_bias)
            if self.qk_norm:
                named += noise.rms_norm(f"{name}.attn.q_norm", hidden) + noise.rms_norm(
                    f"{name}.attn.k_norm", hidden
                )
            named += noise.linear(f"{name}.attn.proj", hidden, hidden)
            named += noise.linear(f"{name}.mlp.fc1", 2 * hidden, hidden)
            named += noise.linear(f"{name}.mlp.fc2", hidden, 2 * hidden)
            named += norm(f"{name}.norm1", hidden)
            named += norm(f"{name}.norm2", hidden)
            named += [(f"{name}.ls1", 0.5 + noise.normal(hidden, scale=0.1))]
            named += [(f"{name}.ls2", 0.5 + noise.normal(hidden, scale=0.1))]
        return named


VISIONS = {
    "300m": Vision(rms_norm=False, qk_norm=False, qkv_bias=True),
    "6b": Vision(rms_norm=True, qk_norm=True, qkv_bias=False),
}
