"""InternVL-14B-224px in plain torch: InternVL-C and InternVL-G, which put pictures and texts into
one space.

Pictures go through InternViT-6B. InternVL-C pools its tokens by attention. InternVL-G lets 96
queries read them through QLLaMA, a LLaMA with cross attention in every other layer, pools those
too, and adds both vectors. Texts go through the same QLLaMA without its cross attention. The
modules have the names of the published weights.

Source: the model card and the modelling code that the checkpoint is published with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from internvl_ops.models.checkpoints.named_weights import read_weights
from internvl_ops.models.checkpoints.native import native_vision_config, native_weights
from internvl_ops.models.encoders.config import Encoder, Pooling
from internvl_ops.models.encoders.tower import Tower, put_weights

POOL_EPS = 1e-5  # of the attention pooling's norms; no key of the config
ROTARY_BASE = 10_000.0


class Attention(nn.Module):
    """Attention of several heads without biases.

    Args:
        width: Width of the queries.
        heads: Number of heads.
        source: Width of what the keys and values are made of.
    """

    def __init__(self, width: int, heads: int, source: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(source, width, bias=False)
        self.v_proj = nn.Linear(source, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def attend(
        self,
        queries: torch.Tensor,
        source: torch.Tensor,
        turn: tuple[torch.Tensor, torch.Tensor] | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Reads ``source`` by ``queries``, both of shape (batch, tokens, width).

        Args:
            queries: What asks.
            source: What is read.
            turn: Cosines and sines of the rotary positions, if there are any.
            mask: Which tokens may be read, bool of shape (batch or 1, 1, queries, tokens); None
                allows all.
        """
        query, key, value = (
            layer(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, given in (
                (self.q_proj, queries),
                (self.k_proj, source),
                (self.v_proj, source),
            )
        )
        if turn is not None:
            query, key = _turned(query, *turn), _turned(key, *turn)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        found: torch.Tensor = self.o_proj(read.transpose(1, 2).flatten(2))
        return found


class CrossAttention(Attention):
    """The queries' look at the picture, with a norm before each side."""

    def __init__(self, width: int, heads: int, source: int, eps: float) -> None:
        super().__init__(width, heads, source)
        self.norm1, self.norm2 = nn.RMSNorm(width, eps), nn.RMSNorm(source, eps)

    def forward(self, queries: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        return self.attend(self.norm1(queries), self.norm2(picture))


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.down_proj(
            functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden)
        )
        return found


class Layer(nn.Module):
    """A layer of QLLaMA; every `cross_attention_frequency`-th has cross attention."""

    def __init__(self, config: Mapping[str, Any], source: int, *, looks: bool) -> None:
        super().__init__()
        width, heads, eps = (
            config["hidden_size"],
            config["num_attention_heads"],
            config["rms_norm_eps"],
        )
        self.input_layernorm = nn.RMSNorm(width, eps)
        self.self_attn = Attention(width, heads, width)
        self.cross_attn = CrossAttention(width, heads, source, eps) if looks else None
        self.post_attention_layernorm = nn.RMSNorm(width, eps)
        self.mlp = Mlp(width, config["intermediate_size"])

    def forward(
        self,
        hidden: torch.Tensor,
        turn: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None,
        picture: torch.Tensor | None,
        looking: int,
    ) -> torch.Tensor:
        normed = self.input_layernorm(hidden)
        hidden = hidden + self.self_attn.attend(normed, normed, turn, mask)
        if self.cross_attn is not None and picture is not None:
            queries = hidden[:, :looking]
            hidden = torch.cat(
                [queries + self.cross_attn(queries, picture), hidden[:, looking:]], 1
            )
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class QLlama(nn.Module):
    """QLLaMA without its output layer."""

    def __init__(self, config: Mapping[str, Any], source: int) -> None:
        super().__init__()
        every = int(config.get("cross_attention_frequency", 2))
        width = int(config["hidden_size"])
        self._half = width // int(config["num_attention_heads"]) // 2
        self.embed_tokens = nn.Embedding(config["vocab_size"], width)
        self.layers = nn.ModuleList(
            Layer(config, source, looks=number % every == 0)
            for number in range(config["num_hidden_layers"])
        )
        self.norm = nn.RMSNorm(width, config["rms_norm_eps"])

    def forward(
        self,
        embedded: torch.Tensor,
        mask: torch.Tensor | None,
        picture: torch.Tensor | None = None,
        looking: int = 0,
    ) -> torch.Tensor:
        """The last hidden state, of shape (batch, tokens, width).

        Args:
            embedded: The tokens, of the same shape.
            mask: Which tokens each may read; as in `Attention.attend`.
            picture: Tokens of the picture, of shape (batch, tokens, source width).
            looking: How many tokens, from the first, look at the picture.
        """
        turn = _rotary(embedded, self._half)
        hidden = embedded
        for layer in self.layers:
            hidden = layer(hidden, turn, mask, picture, looking)
        found: torch.Tensor = self.norm(hidden)
        return found


class AttentionPool(nn.Module):
    """Reads all tokens by their mean."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.norm1_q, self.norm1_k, self.norm1_v = (nn.LayerNorm(width, POOL_EPS) for _ in range(3))
        self.cross_attn = _PoolAttention(width, heads, size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mean = self.norm1_q(tokens.mean(1, keepdim=True))
        found: torch.Tensor = self.cross_attn(mean, self.norm1_k(tokens), self.norm1_v(tokens))
        return found[:, 0]


class _PoolAttention(nn.Module):
    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.q_bias, self.k_bias, self.v_bias = (nn.Parameter(torch.zeros(width)) for _ in range(3))
        self.proj = nn.Linear(width, size)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        parts = [
            (layer(given) + bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, bias, given in (
                (self.q, self.q_bias, query),
                (self.k, self.k_bias, key),
                (self.v, self.v_bias, value),
            )
        ]
        read = functional.scaled_dot_product_attention(*parts)
        found: torch.Tensor = self.proj(read.transpose(1, 2).flatten(2))
        return found


class Dual(nn.Module):
    """Both encoders of InternVL-14B-224px.

    Args:
        config: The published ``config.json``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        qllama, vision = config["qllama_config"], config["vision_config"]
        width, source = int(qllama["hidden_size"]), int(vision["hidden_size"])
        size, heads = int(config["clip_embed_dim"]), int(config["attn_pool_num_heads"])
        self.queries = int(config["num_query_token"])
        self.tower = Tower(native_vision_config(vision))
        self.qllama = QLlama(qllama, source)
        self.lm_head = nn.Linear(width, qllama["vocab_size"], bias=False)
        self.query_tokens = nn.Parameter(torch.zeros(1, self.queries, width))
        self.text_projection = nn.Parameter(torch.zeros(width, size))
        self.logit_scale = nn.Parameter(torch.zeros([]))
        self.clip_projector = AttentionPool(source, heads, size)
        self.clip_projector2 = AttentionPool(width, heads, size)

    def pooled(self, tiles: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        """One vector for each picture.

        Args:
            tiles: uint8 of shape (pictures, 3, S, S).
            pooling: ``c``, as InternVL-C; ``g``, as InternVL-G; ``class`` and ``mean``, those of
                the vision model.

        Returns:
            float32 of shape (pictures, size); ``g`` is the sum of two vectors of length one.
        """
        if pooling in ("class", "mean"):
            return self.tower.pooled(tiles, pooling)
        picture = self.tower(tiles)
        contrastive: torch.Tensor = self.clip_projector(picture).float()
        if pooling == "c":
            return contrastive
        queries = self.query_tokens.expand(len(tiles), -1, -1)
        generative = self.clip_projector2(self.qllama(queries, None, picture, self.queries)).float()
        return functional.normalize(generative, dim=1) + functional.normalize(contrastive, dim=1)

    def pooled_texts(self, texts: Sequence[torch.Tensor]) -> torch.Tensor:
        """One vector for each text.

        Args:
            texts: Token ids of each, int64 of shape (tokens,), with the end token last.

        Returns:
            float32 of shape (texts, size).
        """
        lengths = torch.tensor([len(text) for text in texts], device=self.text_projection.device)
        # Each token reads only those before it, so what stands behind the end of a text has no part
        # in it.
        ids = nn.utils.rnn.pad_sequence(list(texts), batch_first=True).to(lengths.device)
        hidden = self.qllama(self.qllama.embed_tokens(ids), _causal(ids.shape[1], 0, ids.device))
        last = hidden[torch.arange(len(texts), device=lengths.device), lengths - 1]
        return (last @ self.text_projection).float()

    def next_logits(self, picture: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Logits of the token after a prompt about a picture, as InternVL-G writes captions.

        The 96 queries stand before the prompt and read each other in both directions.

        Args:
            picture: The vision model's tokens, of shape (1, tokens, width).
            ids: Token ids of the prompt, without an end token, int64 of shape (1, tokens).

        Returns:
            float32 of shape (1, vocabulary).
        """
        embedded = torch.cat([self.query_tokens, self.qllama.embed_tokens(ids)], 1)
        mask = _causal(embedded.shape[1], self.queries, ids.device)
        hidden = self.qllama(embedded, mask, picture, self.queries)
        logits: torch.Tensor = self.lm_head(hidden[:, -1]).float()
        return logits


def load_dual(encoder: Encoder) -> Dual:
    """Loads InternVL-14B-224px.

    Args:
        encoder: The checkpoint.

    Raises:
        ConfigurationError: A weight is missing, or has another shape than config.json says.
    """
    with torch.device("meta"):
        dual = Dual(encoder.config)
    weights = {_renamed(name): weight for name, weight in _published(encoder.whole())}
    # The matching head has no part in vectors or captions; the buffers are computed.
    put_weights(
        dual,
        {name: one for name, one in weights.items() if "rotary_emb" not in name},
        encoder.model,
        ("itm_head.",),
    )
    return dual.to(getattr(torch, encoder.dtype)).eval()


def _published(folder: Path) -> list[tuple[str, torch.Tensor]]:
    return list(native_weights({"llm_config": {}}, read_weights(folder)))


def _renamed(name: str) -> str:
    if name.startswith("model.vision_tower."):
        return f"tower.vision.{name.removeprefix('model.vision_tower.')}"
    if name.startswith("qllama.model."):
        return f"qllama.{name.removeprefix('qllama.model.')}"
    return name.removeprefix("qllama.") if name.startswith("qllama.lm_head.") else name


def _causal(length: int, together: int, device: torch.device) -> torch.Tensor:
    """bool of shape (1, 1, length, length): each token reads those before it, the first
    ``together`` all of these."""
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    mask[:together, :together] = True
    return mask[None, None]


def _rotary(hidden: torch.Tensor, half: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the positions, of shape (tokens, head width)."""
    rates = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float32, device=hidden.device) / half)
    angles = (
        torch.arange(hidden.shape[1], dtype=torch.float32, device=hidden.device)[:, None] * rates
    )
    angles = torch.cat([angles, angles], -1)
    return angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)


def _turned(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, -1)
    return heads * cosines + torch.cat([-second, first], -1) * sines
