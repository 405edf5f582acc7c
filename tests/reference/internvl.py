"""InternVL in plain torch, slow and in full view, to compare with: nothing of the project and
nothing of vLLM in it.

Written from the published config, weight names and model description. Each deviation that a wrong
implementation might have is a setting of `Variant`, so that a test can show that it would be
noticed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F


@dataclass(frozen=True)
class Variant:
    """How the reference differs from the published model; by default not at all."""

    channels: tuple[int, int, int] = (0, 1, 2)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    thumbnail: str = "last"  # or first, none
    tile_order: str = "rows"  # or columns
    pixel_shuffle: str = "v2"  # or v1
    keeps_class_token_instead_of_last: bool = False


AS_PUBLISHED = Variant()


@dataclass(frozen=True)
class Names:
    """What a language model calls its parts."""

    embeddings: str = "model.embed_tokens"
    logits: str = "lm_head"
    attention_norm: str = "input_layernorm"
    mlp_norm: str = "post_attention_layernorm"
    output: str = "self_attn.o_proj"
    down: str = "mlp.down_proj"


NAMES = {"qwen2": Names(), "llama": Names(), "phi3": Names()}
NAMES["internlm2"] = Names(
    "model.tok_embeddings",
    "output",
    "attention_norm",
    "ffn_norm",
    "attention.wo",
    "feed_forward.w2",
)


def tile(image: Image.Image, columns: int, rows: int, size: int, variant: Variant) -> np.ndarray:
    """uint8 tiles (tiles, 3, size, size) of an RGB image for a given grid."""
    resized = image.resize((columns * size, rows * size), Image.Resampling.BICUBIC)
    places = [(column, row) for row in range(rows) for column in range(columns)]
    if variant.tile_order == "columns":
        places.sort()
    parts = [resized.crop((x * size, y * size, (x + 1) * size, (y + 1) * size)) for x, y in places]
    if columns * rows > 1 and variant.thumbnail != "none":
        small = image.resize((size, size), Image.Resampling.BICUBIC)
        parts = [*parts, small] if variant.thumbnail == "last" else [small, *parts]
    return np.stack([np.asarray(part) for part in parts]).transpose(0, 3, 1, 2)[
        :, list(variant.channels)
    ]


class ReferenceInternVL:
    """The whole model, run from the first token at every step.

    Args:
        folder: A checkpoint with either type of InternViT, and Qwen2, Llama, InternLM2 or Phi-3.
        dtype: To compute in.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {
            name: value.to(dtype) for name, value in load_file(folder / "model.safetensors").items()
        }
        self.dtype = dtype

    @torch.inference_mode()
    def logprobs(
        self,
        prompt: np.ndarray,
        answer: list[int],
        tiles: np.ndarray | None,
        context_id: int,
        variant: Variant = AS_PUBLISHED,
    ) -> torch.Tensor:
        """Log-probabilities of what follows the prompt, what follows its first answer token, and so
        on.

        Args:
            prompt: Token ids.
            answer: Token ids after the prompt.
            tiles: uint8, shape (tiles, 3, S, S).
            context_id: Where the tiles' features go.

        Returns:
            float32, shape (answer + 1, vocabulary).
        """
        ids = torch.tensor([*prompt.tolist(), *answer])
        names = NAMES[self.config["llm_config"]["model_type"]]
        hidden = self.weights[f"language_model.{names.embeddings}.weight"][ids]
        if tiles is not None:
            hidden = hidden.clone()
            # not in the answer, where it is a token
            places = torch.from_numpy(np.flatnonzero(prompt == context_id))
            hidden[places] = self.features(tiles, variant).flatten(0, 1)
        logits = self.language_model(hidden)[len(prompt) - 1 :]
        return logits.float().log_softmax(-1)

    def greedy(
        self, prompt: np.ndarray, count: int, tiles: np.ndarray | None, context_id: int
    ) -> list[int]:
        answer: list[int] = []
        for _ in range(count):
            answer.append(int(self.logprobs(prompt, answer, tiles, context_id)[-1].argmax()))
        return answer

    def features(self, tiles: np.ndarray, variant: Variant) -> torch.Tensor:
        """What the language model sees: (tiles, tokens per tile, width)."""
        pixels = torch.tensor(tiles).float() / 255
        pixels = (pixels - torch.tensor(variant.mean)[:, None, None]) / torch.tensor(variant.std)[
            :, None, None
        ]
        seen = self.vision_model(pixels.to(self.dtype))
        patches = seen[:, :-1] if variant.keeps_class_token_instead_of_last else seen[:, 1:]
        side = round(patches.shape[1] ** 0.5)
        grid = patches.unflatten(1, (side, side))
        top, bottom = grid[:, 0::2], grid[:, 1::2]
        joined = torch.cat(
            [top[:, :, 0::2], top[:, :, 1::2], bottom[:, :, 0::2], bottom[:, :, 1::2]], dim=-1
        )
        if variant.pixel_shuffle == "v1":
            joined = joined.transpose(1, 2)
        x = self._layer_norm("mlp1.0", joined.flatten(1, 2), 1e-5)
        return self._linear("mlp1.3", F.gelu(self._linear("mlp1.1", x)))

    def vision_model(self, pixels: torch.Tensor) -> torch.Tensor:
        """InternViT: (tiles, 1 + patches, width), the class token first."""
        config, weights = self.config["vision_config"], self.weights
        name = "vision_model.embeddings"
        patches = F.conv2d(
            pixels,
            weights[f"{name}.patch_embedding.weight"],
            weights[f"{name}.patch_embedding.bias"],
            stride=config["patch_size"],
        )
        patches = patches.flatten(2).transpose(1, 2)
        first = weights[f"{name}.class_embedding"].expand(len(patches), -1, -1)
        x = torch.cat([first, patches], dim=1) + weights[f"{name}.position_embedding"]
        eps = config["layer_norm_eps"]
        # The last of the hidden states, the embeddings counted first, is `select_layer` -1.
        for layer in range(config["num_hidden_layers"] + 1 + self.config["select_layer"]):
            name = f"vision_model.encoder.layers.{layer}"
            normed = self._vision_norm(f"{name}.norm1", x)
            q, k, v = self._linear(f"{name}.attn.qkv", normed).chunk(3, dim=-1)
            if config["qk_normalization"]:  # over all heads at once
                q, k = (
                    self._rms_norm(f"{name}.attn.q_norm", q, eps),
                    self._rms_norm(f"{name}.attn.k_norm", k, eps),
                )
            q, k, v = (
                part.unflatten(-1, (config["num_attention_heads"], -1)).transpose(1, 2)
                for part in (q, k, v)
            )
            attended = _attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self._linear(f"{name}.attn.proj", attended) * weights[f"{name}.ls1"]
            normed = self._vision_norm(f"{name}.norm2", x)
            wide = F.gelu(self._linear(f"{name}.mlp.fc1", normed))
            x = x + self._linear(f"{name}.mlp.fc2", wide) * weights[f"{name}.ls2"]
        return x

    def _vision_norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        config = self.config["vision_config"]
        norm = {"rms_norm": self._rms_norm, "layer_norm": self._layer_norm}[config["norm_type"]]
        return norm(name, x, config["layer_norm_eps"])

    def language_model(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (tokens, vocabulary) of embeddings (tokens, width)."""
        config = self.config["llm_config"]
        eps, heads, groups = (
            config["rms_norm_eps"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
        )
        mask = torch.full((len(x), len(x)), -torch.inf).triu(1)
        names = NAMES[config["model_type"]]
        for layer in range(config["num_hidden_layers"]):
            name = f"language_model.model.layers.{layer}"
            normed = self._rms_norm(f"{name}.{names.attention_norm}", x, eps)
            q, k, v = (part.transpose(0, 1) for part in self._queries_keys_values(name, normed))
            q, k = self._rotate(q), self._rotate(k)
            k, v = (part.repeat_interleave(heads // groups, dim=0) for part in (k, v))
            attended = _attention(q, k, v, mask).transpose(0, 1).flatten(1)
            x = x + self._linear(f"{name}.{names.output}", attended)
            gate, up = self._gate_and_up(name, self._rms_norm(f"{name}.{names.mlp_norm}", x, eps))
            x = x + self._linear(f"{name}.{names.down}", F.silu(gate) * up)
        return self._linear(
            f"language_model.{names.logits}", self._rms_norm("language_model.model.norm", x, eps)
        )

    def _queries_keys_values(
        self, name: str, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Each of shape (tokens, heads, width of a head)."""
        config = self.config["llm_config"]
        heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
        # for each key head: its queries, its key, its value
        if config["model_type"] == "internlm2":
            every = self._linear(f"{name}.attention.wqkv", x).unflatten(
                -1, (groups, heads // groups + 2, -1)
            )
            return every[:, :, :-2].flatten(1, 2), every[:, :, -2], every[:, :, -1]
        if config["model_type"] == "phi3":
            every = self._linear(f"{name}.self_attn.qkv_proj", x).unflatten(
                -1, (heads + 2 * groups, -1)
            )
            return every[:, :heads], every[:, heads:-groups], every[:, -groups:]
        counts = {"q": heads, "k": groups, "v": groups}
        q, k, v = (
            self._linear(f"{name}.self_attn.{p}_proj", x).unflatten(-1, (n, -1))
            for p, n in counts.items()
        )
        return q, k, v

    def _gate_and_up(self, name: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.config["llm_config"]["model_type"] == "internlm2":
            return self._linear(f"{name}.feed_forward.w1", x), self._linear(
                f"{name}.feed_forward.w3", x
            )
        if self.config["llm_config"]["model_type"] == "phi3":
            gate, up = self._linear(f"{name}.mlp.gate_up_proj", x).chunk(2, dim=-1)
            return gate, up
        return self._linear(f"{name}.mlp.gate_proj", x), self._linear(f"{name}.mlp.up_proj", x)

    def _rotate(self, x: torch.Tensor) -> torch.Tensor:
        """Rotary positions on (heads, tokens, width of a head), first half against second."""
        config, half, scale = self.config["llm_config"], x.shape[-1] // 2, 1.0
        frequencies = config["rope_theta"] ** (-torch.arange(half) / half)
        rope = config.get("rope_scaling") or {}
        # Phi-3's; within the context that it was first trained with, the short factors
        if rope.get("type") == "su":
            trained = config["original_max_position_embeddings"]
            frequencies = frequencies / torch.tensor(rope["short_factor"])
            scale = math.sqrt(
                1 + math.log(config["max_position_embeddings"] / trained) / math.log(trained)
            )
        # `dynamic` changes nothing within the context
        angles = torch.arange(x.shape[1])[:, None] * frequencies
        cos, sin = (scale * angles.cos()).to(x.dtype), (scale * angles.sin()).to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _layer_norm(self, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
        return F.layer_norm(
            x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], eps
        )

    def _rms_norm(self, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.float()
        scale = (wide.square().mean(-1, keepdim=True) + eps).rsqrt()
        return (wide * scale).to(x.dtype) * self.weights[f"{name}.weight"]


def _attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    scores = (q @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1).to(v.dtype) @ v
