"""Checks whether a checkpoint fits its devices, before minutes of loading."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints.architecture import GIB, GPU_UTILIZATION, WORKSPACE, Bits
from internvl_ops.models.checkpoints.config import Checkpoint

# vLLM's methods to quantise 16-bit weights on load, with the resulting bits per weight.
ON_LOAD: dict[str, Bits] = {
    "fp8": 8, "fp8_per_tensor": 8, "fp8_per_channel": 8, "fp8_per_block": 8,
    "int8_per_channel_weight_only": 8, "mxfp8": 8, "bitsandbytes": 4,
}  # fmt: skip

ON_LOAD_GPU, ON_LOAD_CPU = "fp8", "int8_per_channel_weight_only"  # the recommended ones


def quantization_arguments(
    checkpoint: Checkpoint, tensor_parallel: int, engine_args: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments that vLLM needs for a checkpoint's weights, besides what it reads in config.json.

    Args:
        checkpoint: May be quantised. vLLM itself reads which modules stay unquantised
            (`modules_to_not_convert`).
        tensor_parallel: Number of devices to spread it over.
        engine_args: The user's arguments for vLLM.

    Raises:
        ConfigurationError: It cannot be loaded this way; the message says what works.
    """
    asked = engine_args.get("quantization")
    stored = checkpoint.quantization
    if stored is not None and asked in ON_LOAD and asked != stored:
        raise ConfigurationError(
            f'{keyword("engine_args")}: "quantization": "{asked}", but {checkpoint.model} is'
            f" quantised already, by {stored}. Leave it out, or name the 16-bit checkpoint."
        )
    if "bitsandbytes" not in (asked, stored):
        return {}
    if importlib.util.find_spec("vllm_bnb_plugin") is None:
        raise ConfigurationError(
            f"{checkpoint.model} with bitsandbytes: vLLM reads it with a plugin of its own, which"
            " is not installed. Install vllm-bnb-plugin (it needs a GPU), or name the 16-bit"
            f" checkpoint and add {_quantized('fp8')}, or name the AWQ one."
        )
    if stored == "bitsandbytes" and tensor_parallel > 1:
        raise ConfigurationError(
            f"{keyword('tensor_parallel', tensor_parallel)}: {checkpoint.model} is quantised by"
            " bitsandbytes, which vLLM cannot spread over several GPUs. Set 1, or name the 16-bit"
            " or AWQ checkpoint."
        )
    return {"quantization": "bitsandbytes", "load_format": "bitsandbytes"}


def check_quantization(
    checkpoint: Checkpoint, engine_args: Mapping[str, Any], *, on_cpu: bool
) -> None:
    """ConfigurationError where a CPU cannot compute with the weights. For GPUs, vLLM itself checks
    this."""
    method = engine_args.get("quantization") or checkpoint.quantization or ""
    if on_cpu and ("fp8" in method or "fp4" in method or "mxfp" in method):
        raise ConfigurationError(
            f"{checkpoint.model} with {method}: CPUs cannot compute with it. They can with AWQ"
            f" checkpoints, and with {_quantized(ON_LOAD_CPU)} on 16-bit ones."
        )


def check_memory(
    checkpoint: Checkpoint,
    device_bytes: int,
    *,
    tensor_parallel: int = 1,
    utilization: float = GPU_UTILIZATION,
    engine_args: Mapping[str, Any] | None = None,
    on_cpu: bool = False,
) -> None:
    """ConfigurationError where the weights and the shortest useful context do not fit a device.

    Args:
        checkpoint: Any checkpoint; its weights count as stored.
        device_bytes: Memory of each device.
        tensor_parallel: Number of devices to spread it over.
        utilization: Share of a device that the engine takes.
        engine_args: The user's arguments for vLLM; quantising on load makes the weights smaller.
        on_cpu: Whether the device is a CPU; the message then leaves out what only GPUs support.
    """
    usable = int(device_bytes * utilization)
    arguments = engine_args or {}

    def needed(size: int, quantization: str | None) -> tuple[int, int]:
        weights = _weights(checkpoint, size, quantization, str(arguments.get("dtype", "auto")))
        return weights, checkpoint.architecture.needed_bytes(weights, size)

    weights, total = needed(tensor_parallel, arguments.get("quantization"))
    if total <= usable:
        return
    sizes = checkpoint.architecture.tensor_parallel_sizes(group=checkpoint.quantization_group)
    enough = [
        size
        for size in sizes
        if not on_cpu and needed(size, arguments.get("quantization"))[1] <= usable
    ]
    mends = (
        [f"spread it over {enough[0]}: {keyword('tensor_parallel', enough[0])}"] if enough else []
    )
    smaller = ON_LOAD_CPU if on_cpu else ON_LOAD_GPU
    if checkpoint.quantization is None and needed(tensor_parallel, smaller)[1] <= usable:
        mends.append(f"quantise it as it loads: {_quantized(smaller)}")
    if not mends:
        mends.append("name a smaller checkpoint")
    raise ConfigurationError(
        f"{checkpoint.model} needs {total / GIB:.1f} GiB on each of {tensor_parallel} device(s):"
        f" {weights / GIB:.1f} for weights, {WORKSPACE / GIB:.0f} for activations, the rest for a"
        f" short context. There are {device_bytes / GIB:.1f} GiB, of which {utilization:.0%} are"
        f" used. Mend: {' or '.join(mends)}."
    )


def _quantized(method: str) -> str:
    """The argument that quantises 16-bit weights on load, for messages."""
    return keyword("engine_args", f'\'{{"quantization": "{method}"}}\'')


def _weights(
    checkpoint: Checkpoint, tensor_parallel: int, quantization: str | None, dtype: str
) -> int:
    """Size of the weights on each device, in bytes."""
    architecture = checkpoint.architecture
    if checkpoint.quantization is None and quantization in ON_LOAD:
        return architecture.weight_bytes(ON_LOAD[quantization], tensor_parallel)
    share = architecture.weight_bytes(16, tensor_parallel) / architecture.weight_bytes(16)
    wider = 2 if dtype in ("float32", "float") and checkpoint.dtype != "float32" else 1
    return int(checkpoint.weight_bytes * share * wider)
