"""The cost of a unit on a device: operations and bytes, from a checkpoint's own sizes, and the
minimum time they take.

It counts matrix products and attention, with a multiply-add as two operations, like PaLM's model
FLOP utilisation (arXiv:2204.02311, appendix B), but with causal attention, as the kernels compute
it. Norms, activations and softmax are left out: under one percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from internvl_ops.gpus import Gpu
from internvl_ops.models.checkpoints.architecture import (
    GPU_UTILIZATION,
    WORKSPACE,
    Architecture,
    Bits,
)
from internvl_ops.models.checkpoints.config import Checkpoint

# a number of tokens or tiles; arrays count many units at once
Count = TypeVar("Count", int, float, np.ndarray)


@dataclass(frozen=True)
class Cost:
    """Operations of a checkpoint.

    Args:
        architecture: The checkpoint's architecture.
        tokens_per_tile: Number of tokens of a tile in the prompt.
    """

    architecture: Architecture
    tokens_per_tile: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Cost:
        return cls(checkpoint.architecture, checkpoint.tokens_per_tile)

    @property
    def vision_per_tile(self) -> int:
        """FLOP of the vision encoder for one tile."""
        vision = self.architecture.vision
        patches = (vision.image_size // vision.patch_size) ** 2
        tokens = patches + 1  # plus the class token
        embedding = patches * 3 * vision.patch_size**2 * vision.hidden
        linear = (
            tokens * vision.layers * vision.hidden * (4 * vision.hidden + 2 * vision.intermediate)
        )
        # scores, and the weighted sum of values
        attention = 2 * tokens**2 * vision.hidden * vision.layers
        return 2 * (embedding + linear + attention)

    @property
    def projector_per_tile(self) -> int:
        """FLOP of the projector for one tile."""
        width, hidden = 4 * self.architecture.vision.hidden, self.architecture.language.hidden
        return 2 * self.tokens_per_tile * hidden * (width + hidden)

    @property
    def linear_per_token(self) -> int:
        """FLOP of the language model's layers for a token, without attention and the output
        layer."""
        return 2 * self.architecture.language.active_linear_parameters

    @property
    def output_per_token(self) -> int:
        """FLOP of the output layer, which runs for each token of an answer, but not for the
        prompt."""
        return 2 * self.architecture.language.hidden * self.architecture.language.vocabulary

    @property
    def attention_per_pair(self) -> int:
        """FLOP of all layers' attention for each pair of a token and a token that it attends to."""
        language = self.architecture.language
        return 4 * language.layers * language.heads * language.head_dim

    def vision(self, tiles: Count) -> Count:
        """FLOP of vision encoder and projector."""
        return tiles * (self.vision_per_tile + self.projector_per_tile)

    def prompt(self, tokens: Count) -> Count:
        """FLOP of reading a prompt (prefill); each token attends to itself and to earlier
        tokens."""
        return tokens * self.linear_per_token + self.attention_per_pair * tokens * (tokens + 1) // 2

    def answer(self, prompt_tokens: Count, tokens: Count) -> Count:
        """FLOP of an answer (decode). Its first token comes from the prompt's last; its last is not
        read again."""
        read = tokens - (tokens > 0)
        pairs = read * prompt_tokens + read * (read + 1) // 2
        return (
            tokens * self.output_per_token
            + read * self.linear_per_token
            + self.attention_per_pair * pairs
        )

    def unit(self, tiles: Count, prompt_tokens: Count, tokens: Count) -> Count:
        """FLOP of a unit with one prompt and one answer, without any caching."""
        return self.vision(tiles) + self.prompt(prompt_tokens) + self.answer(prompt_tokens, tokens)


@dataclass(frozen=True)
class Efficiency:
    """Achieved shares of the data sheet's figures. These are assumptions until a run has measured
    them (``run.json``).

    Args:
        compute: Share of the operations per second, while tiles are encoded and prompts read.
        bandwidth: Share of the memory's bandwidth, while answers are generated.
    """

    compute: float = 0.4
    bandwidth: float = 0.6


FLOOR = Efficiency(1.0, 1.0)  # the minimum possible time


@dataclass(frozen=True)
class Seconds:
    """The time that a unit takes on a GPU, by part."""

    vision: float
    prompt: float
    answer: float

    @property
    def total(self) -> float:
        return self.vision + self.prompt + self.answer


@dataclass(frozen=True)
class Roofline:
    """Computes how long a unit takes on a GPU, from its operations and from the bytes read from
    memory.

    Args:
        cost: The checkpoint's cost.
        gpu: The kind of GPU.
        gpus: Number of GPUs that the model is spread over; times are for one of them.
        in_flight: Maximum number of units that an engine holds at once.
        bits: Bits of the weights of the linear layers: 16, 8 or 4. Operations always count at the
            speed of bf16, which is right for AWQ and too slow for fp8.
    """

    cost: Cost
    gpu: Gpu
    gpus: int = 1
    in_flight: int = 512
    bits: Bits = 16

    @property
    def fits(self) -> bool:
        """Whether each GPU has room for its part of the model and a short context."""
        architecture = self.cost.architecture
        weights = architecture.weight_bytes(self.bits, self.gpus)
        return architecture.needed_bytes(weights, self.gpus) <= GPU_UTILIZATION * self.gpu.memory

    def batch(self, context: float) -> int:
        """Number of units of ``context`` tokens that are generated in parallel: as many as fit in
        memory."""
        architecture = self.cost.architecture
        room = (
            GPU_UTILIZATION * self.gpu.memory
            - architecture.weight_bytes(self.bits, self.gpus)
            - WORKSPACE
        )
        return int(
            max(
                1,
                min(self.in_flight, room / (context * architecture.kv_bytes_per_token(self.gpus))),
            )
        )

    def answer_bytes(self, prompt_tokens: float, tokens: float) -> float:
        """Bytes read from memory for an answer: each step reads the token's share of the weights
        and its context."""
        architecture = self.cost.architecture
        context = prompt_tokens + tokens / 2
        weights = self.weight_bytes_per_step / self.batch(prompt_tokens + tokens)
        return max(0.0, tokens - 1) * (weights + context * architecture.language.kv_bytes_per_token)

    @property
    def weight_bytes_per_step(self) -> float:
        """Bytes of the language model's weights, which every step of decoding reads once."""
        language = self.cost.architecture.language
        return (
            language.linear_parameters * self.bits / 8 + 2 * language.hidden * language.vocabulary
        )

    def seconds(
        self, tiles: float, prompt_tokens: float, tokens: float, efficiency: Efficiency = FLOOR
    ) -> Seconds:
        """Seconds of one GPU for one unit; the GPUs of an engine share the work evenly."""
        cost, flops = self.cost, self.gpu.flops * efficiency.compute
        answer = cost.answer(float(prompt_tokens), float(tokens)) / flops
        moved = self.answer_bytes(prompt_tokens, tokens) / (
            self.gpu.bandwidth * efficiency.bandwidth
        )
        return Seconds(
            vision=cost.vision(float(tiles)) / flops,
            prompt=cost.prompt(float(prompt_tokens)) / flops,
            answer=max(answer, moved),
        )
