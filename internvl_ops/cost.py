"""What a unit costs a device: operations and bytes by a checkpoint's own sizes, and the least time they take.

Counted are matrix products and attention, a multiply-add being two operations, as in PaLM's model FLOP utilisation
(arXiv:2204.02311, appendix B), but with attention causal, as the kernels compute it. Norms, activations and softmax are
left out: under one percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from internvl_ops.gpus import Gpu
from internvl_ops.models.architecture import GPU_UTILIZATION, WORKSPACE, Architecture, Bits
from internvl_ops.models.config import Checkpoint

Count = TypeVar("Count", int, float, np.ndarray)  # of tokens or tiles; arrays count many units at once


@dataclass(frozen=True)
class Cost:
    """Operations of a checkpoint.

    Args:
        architecture: Of the checkpoint.
        tokens_per_tile: Length of a tile in the prompt.
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
        tokens = patches + 1  # and the class token
        embedding = patches * 3 * vision.patch_size**2 * vision.hidden
        linear = tokens * vision.layers * vision.hidden * (4 * vision.hidden + 2 * vision.intermediate)
        attention = 2 * tokens**2 * vision.hidden * vision.layers  # scores, and their sum of values
        return 2 * (embedding + linear + attention)

    @property
    def projector_per_tile(self) -> int:
        """FLOP of the projector for one tile."""
        width, hidden = 4 * self.architecture.vision.hidden, self.architecture.language.hidden
        return 2 * self.tokens_per_tile * hidden * (width + hidden)

    @property
    def linear_per_token(self) -> int:
        """FLOP of the language model's layers for a token, attention and the output layer left out."""
        return 2 * self.architecture.language.active_linear_parameters

    @property
    def output_per_token(self) -> int:
        """FLOP of the output layer: for each token of an answer, and none of a prompt."""
        return 2 * self.architecture.language.hidden * self.architecture.language.vocabulary

    @property
    def attention_per_pair(self) -> int:
        """FLOP of all layers' attention for each pair of a token and one that it looks back at."""
        language = self.architecture.language
        return 4 * language.layers * language.heads * language.head_dim

    def vision(self, tiles: Count) -> Count:
        """FLOP of vision encoder and projector."""
        return tiles * (self.vision_per_tile + self.projector_per_tile)

    def prompt(self, tokens: Count) -> Count:
        """FLOP of reading a prompt (prefill); each token looks at itself and those before it."""
        return tokens * self.linear_per_token + self.attention_per_pair * tokens * (tokens + 1) // 2

    def answer(self, prompt_tokens: Count, tokens: Count) -> Count:
        """FLOP of an answer (decode). Its first token comes out of the prompt's last, its last is not read again."""
        read = tokens - (tokens > 0)
        pairs = read * prompt_tokens + read * (read + 1) // 2
        return tokens * self.output_per_token + read * self.linear_per_token + self.attention_per_pair * pairs

    def unit(self, tiles: Count, prompt_tokens: Count, tokens: Count) -> Count:
        """FLOP of a unit with one prompt and one answer, as if nothing of it were cached."""
        return self.vision(tiles) + self.prompt(prompt_tokens) + self.answer(prompt_tokens, tokens)


@dataclass(frozen=True)
class Efficiency:
    """Shares of the data sheet's figures that are reached. Assumptions, until a run has said (``run.json``).

    Args:
        compute: Of the operations a second, while tiles are encoded and prompts read.
        bandwidth: Of the memory's bandwidth, while answers are generated.
    """

    compute: float = 0.4
    bandwidth: float = 0.6


FLOOR = Efficiency(1.0, 1.0)  # the least time there can be


@dataclass(frozen=True)
class Seconds:
    """What a unit takes of a GPU, part by part."""

    vision: float
    prompt: float
    answer: float

    @property
    def total(self) -> float:
        return self.vision + self.prompt + self.answer


@dataclass(frozen=True)
class Roofline:
    """How long a unit takes of a GPU, by its operations and by the bytes that have to come from memory.

    Args:
        cost: Of the checkpoint.
        gpu: The kind.
        gpus: How many the model is spread over; times are of one of them.
        in_flight: Units that an engine holds at once, at most.
        bits: Of the weights of the linear layers: 16, 8 or 4. Operations are counted at the speed of bf16 all the same,
            which is that of AWQ, and below that of fp8.
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
        """Units of ``context`` tokens that are generated side by side: as many as there is room for."""
        architecture = self.cost.architecture
        room = GPU_UTILIZATION * self.gpu.memory - architecture.weight_bytes(self.bits, self.gpus) - WORKSPACE
        return int(max(1, min(self.in_flight, room / (context * architecture.kv_bytes_per_token(self.gpus)))))

    def answer_bytes(self, prompt_tokens: float, tokens: float) -> float:
        """Bytes from memory for an answer: of each token's step its share of the weights, and all that it looks at."""
        architecture = self.cost.architecture
        context = prompt_tokens + tokens / 2
        weights = self.weight_bytes_per_step / self.batch(prompt_tokens + tokens)
        return max(0.0, tokens - 1) * (weights + context * architecture.language.kv_bytes_per_token)

    @property
    def weight_bytes_per_step(self) -> float:
        """The language model's weights, which every step of decoding reads once."""
        language = self.cost.architecture.language
        return language.linear_parameters * self.bits / 8 + 2 * language.hidden * language.vocabulary

    def seconds(self, tiles: float, prompt_tokens: float, tokens: float, efficiency: Efficiency = FLOOR) -> Seconds:
        """Of one unit, in seconds of one GPU; the GPUs of an engine share the work evenly."""
        cost, flops = self.cost, self.gpu.flops * efficiency.compute
        answer = cost.answer(float(prompt_tokens), float(tokens)) / flops
        moved = self.answer_bytes(prompt_tokens, tokens) / (self.gpu.bandwidth * efficiency.bandwidth)
        return Seconds(
            vision=cost.vision(float(tiles)) / flops,
            prompt=cost.prompt(float(prompt_tokens)) / flops,
            answer=max(answer, moved),
        )
