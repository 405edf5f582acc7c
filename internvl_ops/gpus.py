"""Data sheet figures of GPUs, to estimate the time that a job takes on them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from internvl_ops.errors import ConfigurationError, keyword


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        name: Its name, such as ``h100``.
        flops: Dense bf16 operations per second, with a multiply-add as two.
        bandwidth: Memory bandwidth, in bytes per second.
        memory: In bytes.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float


def _gpu(name: str, teraflops: float, gigabytes_per_s: float, gigabytes: float) -> Gpu:
    return Gpu(name, teraflops * 1e12, gigabytes_per_s * 1e9, gigabytes * 1e9)


# From NVIDIA's data sheets. If a sheet gives only the rate "with sparsity", this is half of it:
# these rates are dense.
GPUS = {
    gpu.name: gpu
    for gpu in (
        # HGX B200: eight have 36 PFLOP/s with sparsity, 62 TB/s, 1,440 GB
        _gpu("b200", 2250, 7700, 180),
        _gpu("h200", 989.5, 4800, 141),  # H200 SXM: 1,979 with sparsity
        _gpu("h100", 989.5, 3350, 80),  # H100 SXM: 1,979 with sparsity
        _gpu("h100-pcie", 756, 2000, 80),  # H100 PCIe: 1,513 with sparsity
        _gpu("h20", 148, 4000, 96),  # H20: 148 dense
        _gpu("a100", 312, 2039, 80),  # A100 80GB SXM
        _gpu("a100-40g", 312, 1555, 40),  # A100 40GB SXM
        _gpu("l40s", 362, 864, 48),  # L40S
        _gpu("l4", 121, 300, 24),  # L4: 242 with sparsity
        _gpu("a10", 125, 600, 24),  # A10
        _gpu("a10g", 70, 600, 24),  # A10G, the one of AWS G5
        _gpu("rtx4090", 165.2, 1008, 24),  # Ada whitepaper, bf16 with fp32 accumulation
    )
}
DEFAULT_GPU = "h100"


def find_gpu(name: str) -> Gpu:
    """The GPU with this name: a key of `GPUS`, or the name in the driver or in Ray, such as
    ``NVIDIA H100 80GB HBM3``.

    Raises:
        ConfigurationError: The name is unknown.
    """
    plain = re.sub(r"[^a-z0-9]+", " ", name.lower())
    words = plain.replace("geforce rtx ", "rtx").split()
    if name.lower() in GPUS:
        return GPUS[name.lower()]
    known = next((GPUS[word] for word in words if word in GPUS), None)
    if known is None:
        raise ConfigurationError(
            f"{keyword('gpu', name)}: not a known GPU. Known are {', '.join(GPUS)}."
        )
    for word, suffix in (("pcie", "pcie"), ("40gb", "40g")):
        if word in words:
            return GPUS.get(f"{known.name}-{suffix}", known)
    return known


def gpu_here() -> str | None:
    """The driver's name of this machine's first GPU; None if there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    said = subprocess.run(query, capture_output=True, text=True, check=False)
    return (
        said.stdout.splitlines()[0].strip()
        if said.returncode == 0 and said.stdout.strip()
        else None
    )
