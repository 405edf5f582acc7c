"""Nano-InternVL in plain torch: vision model, projector and language model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.nano.sample_types import COLOURS, KINDS, LETTERS

TILE = 112
PATCH = 14
MAX_TILES = 6
SIDE = TILE // PATCH // 2  # visual tokens along a tile's side
CELL = TILE // SIDE  # pixels along a visual token's cell
TOKENS = SIDE * SIDE
CONTEXT = 4096
VISION = {"width": 192, "layers": 5, "heads": 3, "wide": 768}
LANGUAGE = {"width": 192, "layers": 5, "heads": 3, "wide": 512}
GUIDED = (2, 3)  # layers of the language model whose first attention head is told where to look
TEMPLATE = "internvl2_5"
IGNORED = -100
SLOTS = 4  # letters told for one cell


class VisionLayer(nn.Module):
    def __init__(self, width: int, heads: int, wide: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, wide), "fc2": nn.Linear(wide, width)})
        self.ls1, self.ls2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        # keys like queries: patches attend to near and similar ones from the first step on
        with torch.no_grad():
            q, k, _ = self.attn["qkv"].weight.chunk(3)
            k.mul_(0.7).add_(q, alpha=0.7)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.attn["qkv"](self.norm1(x))
            .unflatten(-1, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        # Attention is written out: on CPUs torch's fused one is slow in its backward pass.
        attended = (q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)).softmax(-1) @ v
        x = x + self.attn["proj"](attended.transpose(1, 2).flatten(2)) * self.ls1
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))) * self.ls2


class VisionEmbeddings(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        side = TILE // PATCH
        self.class_embedding = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.patch_embedding = nn.Conv2d(3, width, PATCH, PATCH)
        frequencies = 0.5 * torch.arange(1, width // 4 + 1) / (width // 4) * math.pi
        angles = torch.arange(side)[:, None] * frequencies
        axis = torch.cat([angles.sin(), angles.cos()], 1)
        rows, columns = axis[:, None].expand(-1, side, -1), axis[None].expand(side, -1, -1)
        places = torch.cat([torch.zeros(1, width), torch.cat([rows, columns], -1).flatten(0, 1)])
        self.position_embedding = nn.Parameter(0.5 * places[None])

    def forward(self, pixels: Tensor) -> Tensor:
        # As a matrix product: quicker here than a convolution.
        patches = (
            pixels.unflatten(2, (-1, PATCH))
            .unflatten(4, (-1, PATCH))
            .permute(0, 2, 4, 1, 3, 5)
            .flatten(3)
        )
        x = F.linear(
            patches.flatten(1, 2), self.patch_embedding.weight.flatten(1), self.patch_embedding.bias
        )
        return (
            torch.cat([self.class_embedding.expand(len(x), -1, -1), x], 1) + self.position_embedding
        )


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-6)


class LanguageLayer(nn.Module):
    def __init__(self, width: int, heads: int, wide: int) -> None:
        super().__init__()
        self.heads = heads
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(width), RMSNorm(width)
        self.self_attn = nn.ModuleDict({f"{name}_proj": nn.Linear(width, width) for name in "qkv"})
        self.self_attn["o_proj"] = nn.Linear(width, width, bias=False)
        self.mlp = nn.ModuleDict(
            {f"{name}_proj": nn.Linear(width, wide, bias=False) for name in ("gate", "up")}
        )
        self.mlp["down_proj"] = nn.Linear(wide, width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Also the first head's queries and keys, (batch, tokens, width of a head)."""
        normed = self.input_layernorm(x)
        q, k, v = (
            self.self_attn[f"{name}_proj"](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in "qkv"
        )
        q, k = _rotate(q, turns), _rotate(k, turns)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)).masked_fill(later, -torch.inf)
        attended = scores.softmax(-1) @ v
        x = x + self.self_attn["o_proj"](attended.transpose(1, 2).flatten(2))
        normed = self.post_attention_layernorm(x)
        gate = F.silu(self.mlp["gate_proj"](normed)) * self.mlp["up_proj"](normed)
        return x + self.mlp["down_proj"](gate), q[:, 0], k[:, 0]


def _turns(tokens: int, width: int) -> tuple[Tensor, Tensor]:
    angles = torch.arange(tokens)[:, None] * 10000.0 ** (-torch.arange(width // 2) / (width // 2))
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (part[: x.shape[2]].to(x.dtype) for part in turns)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class NanoInternVL(nn.Module):
    """InternViT, pixel shuffle, MLP and Qwen2, and the linear heads of training (`told`)."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        width = LANGUAGE["width"]
        self.vision_model = nn.ModuleDict({"embeddings": VisionEmbeddings(VISION["width"])})
        sizes = (VISION["width"], VISION["heads"], VISION["wide"])
        self.vision_model["encoder"] = nn.ModuleDict(
            {"layers": nn.ModuleList(VisionLayer(*sizes) for _ in range(VISION["layers"]))}
        )
        joined = 4 * VISION["width"]
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(joined), nn.Linear(joined, width), nn.GELU(), nn.Linear(width, width)
        )
        sizes = (width, LANGUAGE["heads"], LANGUAGE["wide"])
        model = {
            "embed_tokens": nn.Embedding(vocabulary, width),
            "layers": nn.ModuleList(LanguageLayer(*sizes) for _ in range(LANGUAGE["layers"])),
            "norm": RMSNorm(width),
        }
        self.language_model = nn.ModuleDict({"model": nn.ModuleDict(model)})
        nn.init.normal_(model["embed_tokens"].weight, std=0.05)
        self.told = nn.ModuleDict(
            {
                "letters": nn.Linear(width, SLOTS * (1 + len(LETTERS))),
                "kind": nn.Linear(width, 1 + len(KINDS)),
                "colour": nn.Linear(width, 1 + len(COLOURS)),
                "box": nn.Linear(width, 4 * 101),
            }
        )
        self.turns = _turns(CONTEXT, width // LANGUAGE["heads"])

    def see(self, tiles: Tensor) -> Tensor:
        """Visual tokens (tiles, TOKENS, width) of uint8 tiles (tiles, 3, TILE, TILE)."""
        dtype = self.mlp1[1].weight.dtype
        mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
        pixels = (tiles.float() * (1 / 255 / std)[:, None, None] - (mean / std)[:, None, None]).to(
            dtype
        )
        x = self.vision_model["embeddings"](pixels)
        for layer in self.vision_model["encoder"]["layers"]:
            x = layer(x)
        # pixel shuffle by 0.5, version 2
        grid = x[:, 1:].unflatten(1, (SIDE, 2, SIDE, 2)).transpose(2, 3)
        return self.mlp1(grid.flatten(3).flatten(1, 2))

    def tell(
        self, ids: Tensor, visual: Tensor, visual_at: Tensor
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Last hidden states (batch, tokens, width), and queries and keys of the guided heads.

        Args:
            ids: (batch, tokens).
            visual: (visual tokens of the whole batch, width).
            visual_at: Where they go, as positions in the flattened ids.
        """
        model = self.language_model["model"]
        x = model["embed_tokens"](ids)
        x = x.flatten(0, 1).index_put((visual_at,), visual).view_as(x)
        guided = []
        for index, layer in enumerate(model["layers"]):
            x, q, k = layer(x, self.turns)
            if index in GUIDED:
                guided.append((q, k))
        return model["norm"](x), guided

    def words(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.language_model["model"]["embed_tokens"].weight)
