"""Random weights under their published names."""

from __future__ import annotations

import torch

Named = list[tuple[str, torch.Tensor]]


class Noise:
    """Weights in float32, drawn in order from one generator.

    Gains are of order one, so that every part shows in the answer: a test that compares answers
    notices when tiles are swapped or a layer is left out.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def normal(self, *shape: int, scale: float) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator) * scale

    def linear(self, name: str, outputs: int, inputs: int, *, bias: bool = True) -> Named:
        weights = [(f"{name}.weight", self.normal(outputs, inputs, scale=inputs**-0.5))]
        return [*weights, (f"{name}.bias", self.normal(outputs, scale=0.1))] if bias else weights

    def rms_norm(self, name: str, width: int) -> Named:
        return [(f"{name}.weight", 1 + self.normal(width, scale=0.1))]

    def layer_norm(self, name: str, width: int) -> Named:
        return [*self.rms_norm(name, width), (f"{name}.bias", self.normal(width, scale=0.1))]
