"""Sizes of a checkpoint's two models, and what follows from them: parameters, memory,
tensor-parallel sizes.

Everything is read from config.json, so it also works for checkpoints that this project does not
list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Bits = Literal[16, 8, 4]

GIB = 1 << 30
# Memory that a device needs besides weights and key-value cache: activations, vLLM's own buffers,
# the CUDA context.
WORKSPACE = 2 * GIB
GPU_UTILIZATION = 0.92  # share of a GPU's memory that vLLM takes by default
# Shortest context worth starting with: one image of 12 tiles and its thumbnail with room for a long
# answer.
LEAST_CONTEXT = 4096
# 4-bit weights come in groups of 128 with a scale of 16 bits and a zero point of 4 bits each.
GROUP_OVERHEAD = 20 / 128


@dataclass(frozen=True)
class VisionTower:
    """Sizes of an InternViT."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    image_size: int = 448
    patch_size: int = 14
    qkv_bias: bool = True
    qk_norm: bool = False

    @property
    def attention_parameters(self) -> int:
        """Parameters of the attention's linear layers in the whole tower."""
        qkv = 3 * self.hidden * (self.hidden + self.qkv_bias)
        return self.layers * (qkv + self.hidden * (self.hidden + 1))

    @property
    def mlp_parameters(self) -> int:
        """Parameters of the MLPs in the whole tower."""
        return self.layers * (2 * self.hidden * self.intermediate + self.intermediate + self.hidden)

    @property
    def other_parameters(self) -> int:
        """Parameters of embeddings, norms and layer scales."""
        positions = (self.image_size // self.patch_size) ** 2 + 1
        embeddings = self.hidden * (2 + positions + 3 * self.patch_size**2)
        # A LayerNorm has weight and bias. An RMSNorm has a weight alone; a tower with qk norm uses
        # it throughout.
        norms = 2 + 2 if self.qk_norm else 2 * 2
        return embeddings + self.layers * self.hidden * (norms + 2)


@dataclass(frozen=True)
class LanguageModel:
    """Sizes of a language model. `model_type` is transformers' name for its class, such as
    ``qwen2``."""

    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    context: int
    head_dim: int = 0
    tied: bool = False
    experts: int = 0
    active_experts: int = 0  # experts that process each token

    def __post_init__(self) -> None:
        if not self.head_dim:
            object.__setattr__(self, "head_dim", self.hidden // self.heads)

    @property
    def linear_parameters(self) -> int:
        """Parameters of the layers' matrices, which quantisation makes smaller."""
        return self._linear(max(1, self.experts))

    @property
    def active_linear_parameters(self) -> int:
        """Parameters of the matrices that process one token, including routers but without the
        output layer."""
        return self._linear(max(1, self.active_experts)) + self.layers * self.hidden * self.experts

    def _linear(self, mlps: int) -> int:
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + mlps * 3 * self.hidden * self.intermediate)

    @property
    def other_parameters(self) -> int:
        """Parameters of embeddings, the output layer, norms, biases and routers."""
        layer = 2 * self.hidden + self.hidden * self.experts
        if self.model_type in ("qwen2", "gpt_oss"):
            layer += self.head_dim * (self.heads + 2 * self.kv_heads)
        if self.model_type in ("qwen3", "qwen3_moe"):
            layer += 2 * self.head_dim
        if self.model_type == "gpt_oss":
            layer += (
                self.hidden + self.heads + self.experts * (2 * self.intermediate + self.hidden + 1)
            )
        return self.hidden * (self.vocabulary * (1 if self.tied else 2) + 1) + self.layers * layer

    @property
    def kv_bytes_per_token(self) -> int:
        """Size of the keys and values of one token, at 16 bits per value."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Architecture:
    """Both models and the projector between them."""

    vision: VisionTower
    language: LanguageModel

    @property
    def projector_parameters(self) -> int:
        width = 4 * self.vision.hidden
        return (
            2 * width
            + self.language.hidden * (width + 1)
            + self.language.hidden * (self.language.hidden + 1)
        )

    @property
    def parameters(self) -> int:
        """Parameters of the whole checkpoint."""
        vision, language = self.vision, self.language
        return (
            vision.attention_parameters
            + vision.mlp_parameters
            + vision.other_parameters
            + self.projector_parameters
            + language.linear_parameters
            + language.other_parameters
        )

    def weight_bytes(self, bits: Bits = 16, tensor_parallel: int = 1) -> int:
        """Size of the weights on each of `tensor_parallel` devices, in bytes.

        Args:
            bits: 16: not quantised. 8: all linear layers, as quantised by vLLM on load (fp8) or by
                bitsandbytes. 4: the language model's linear layers, as in AWQ.
            tensor_parallel: Number of devices. vLLM keeps the projector and the tower's embeddings
                whole on each of them, and also the tower's attention if the number does not divide
                its heads.
        """
        vision, language = self.vision, self.language
        language_bits = bits + GROUP_OVERHEAD if bits == 4 else bits
        vision_bits = 8 if bits == 8 else 16
        split = language.linear_parameters * language_bits + language.other_parameters * 16
        split += vision.mlp_parameters * vision_bits
        whole = (vision.other_parameters + self.projector_parameters) * 16
        if vision.heads % tensor_parallel:
            whole += vision.attention_parameters * vision_bits
        else:
            split += vision.attention_parameters * vision_bits
        return int(split / tensor_parallel + whole) // 8

    def kv_bytes_per_token(self, tensor_parallel: int = 1) -> int:
        """Key-value cache of one token on each device. With more devices than heads, heads are
        replicated."""
        heads = max(1, self.language.kv_heads // tensor_parallel)
        return self.language.kv_bytes_per_token * heads // self.language.kv_heads

    def refuses_tensor_parallel(self, size: int, group: int = 1) -> str | None:
        """Why the model cannot be spread over `size` devices; None if it can.

        The tower's heads never prevent it: if `size` does not divide them, such as the 25 of
        InternViT-6B, vLLM keeps the tower's attention whole on every device.

        Args:
            size: Number of devices.
            group: Number of the language model's weights that share a scale and so must stay
                together.
        """
        language = self.language
        if language.heads % size:
            return (
                f"the language model has {language.heads} attention heads, which {size} does not"
                " divide"
            )
        if language.kv_heads % size and size % language.kv_heads:
            return (
                f"the language model has {language.kv_heads} key-value heads, which do not spread"
                f" evenly over {size}"
            )
        for name, width in (
            ("language model", language.intermediate),
            ("vision model", self.vision.intermediate),
        ):
            if width % size:
                return f"the {name}'s MLPs are {width} wide, which {size} does not divide"
        if size > 1 and language.intermediate // size % group:
            return (
                f"the language model's MLPs are quantised in groups of {group}, and"
                f" {language.intermediate} / {size} is no multiple of it"
            )
        return None

    def tensor_parallel_sizes(self, most: int = 16, group: int = 1) -> list[int]:
        """Numbers of devices up to `most` that the model can be spread over."""
        return [
            size for size in range(1, most + 1) if self.refuses_tensor_parallel(size, group) is None
        ]

    def needed_bytes(self, weights: int, tensor_parallel: int = 1) -> int:
        """Memory that each device must have free at the start, including `weights` bytes of
        weights."""
        context = min(LEAST_CONTEXT, self.language.context)
        return weights + WORKSPACE + context * self.kv_bytes_per_token(tensor_parallel)

    def devices_needed(self, device_bytes: int, bits: Bits = 16) -> int | None:
        """Fewest devices with this much usable memory that hold the model; None if even 16 do
        not."""
        for size in self.tensor_parallel_sizes():
            if self.needed_bytes(self.weight_bytes(bits, size), size) <= device_bytes:
                return size
        return None


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes, in the family's own layout or in
    transformers'.

    Raises:
        KeyError, TypeError, ValueError, ZeroDivisionError: The config is not as published.
    """
    vision = config["vision_config"]
    language = config["llm_config"] if "llm_config" in config else config["text_config"]
    experts = int(language.get("num_experts") or language.get("num_local_experts") or 0)
    active = int(
        language.get("num_experts_per_tok") or language.get("experts_per_token") or experts
    )
    heads = int(language["num_attention_heads"])
    tied = bool(language.get("tie_word_embeddings", False))
    return Architecture(
        VisionTower(
            hidden=int(vision["hidden_size"]),
            layers=int(vision["num_hidden_layers"]),
            heads=int(vision["num_attention_heads"]),
            intermediate=int(vision["intermediate_size"]),
            image_size=side(vision["image_size"]),
            patch_size=side(vision["patch_size"]),
            qkv_bias=bool(vision.get("qkv_bias", vision.get("attention_bias", False))),
            qk_norm=bool(vision.get("qk_normalization", vision.get("use_qk_norm", False))),
        ),
        LanguageModel(
            model_type=str(language.get("model_type", "unknown")),
            hidden=int(language["hidden_size"]),
            layers=int(language["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(language.get("num_key_value_heads") or heads),
            intermediate=int(
                (experts and language.get("moe_intermediate_size")) or language["intermediate_size"]
            ),
            vocabulary=int(language["vocab_size"]),
            context=int(language["max_position_embeddings"]),
            head_dim=int(language.get("head_dim") or 0),
            tied=tied,
            experts=experts,
            active_experts=active if experts else 0,
        ),
    )


def side(size: int | list[int]) -> int:
    """A side in pixels. The family's own layout writes ``448``, transformers' layout ``[448,
    448]``."""
    return int(size[0] if isinstance(size, list) else size)
