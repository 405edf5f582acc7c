"""A tiny checkpoint quantised in the published AWQ layout, and the weights that it then has."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GROUP = 64
# in which eight columns are packed into an int32, lowest bits first
ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def quantise(folder: Path) -> dict[str, torch.Tensor]:
    """Turns the layers' matrices of a Qwen2 or Llama backbone into 4 bits; returns them as they are
    now, by name."""
    weights, quantised, values = load_file(folder / "model.safetensors"), {}, {}
    for name, weight in weights.items():
        if not (name.startswith("language_model.model.layers") and name.endswith("_proj.weight")):
            quantised[name] = weight
            continue
        inputs, outputs = weight.shape[1], weight.shape[0]
        groups = weight.float().t().reshape(inputs // GROUP, GROUP, outputs)
        low, high = groups.amin(1), groups.amax(1)
        scales = ((high - low) / 15).half()
        zeros = (-low / scales.float()).round().clamp(0, 15)
        steps = (groups / scales.float()[:, None] + zeros[:, None]).round().clamp(0, 15)
        base = name.removesuffix(".weight")
        quantised[f"{base}.qweight"] = _packed(steps.reshape(inputs, outputs))
        quantised[f"{base}.qzeros"] = _packed(zeros)
        quantised[f"{base}.scales"] = scales
        values[name] = (
            ((steps - zeros[:, None]) * scales.float()[:, None])
            .reshape(inputs, outputs)
            .t()
            .contiguous()
        )
    save_file(quantised, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    settings = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": GROUP,
        "zero_point": True,
        "version": "gemm",
    }
    config["llm_config"]["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config))
    return values


def _packed(steps: torch.Tensor) -> torch.Tensor:
    columns = steps.to(torch.int64).unflatten(1, (-1, 8))
    packed = sum(columns[..., column] << 4 * place for place, column in enumerate(ORDER))
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32).contiguous()
