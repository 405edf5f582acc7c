"""The registry as a table, for the terminal and for docs/models.md."""

from __future__ import annotations

from collections.abc import Sequence

from internvl_ops.errors import keyword
from internvl_ops.models.checkpoints.architecture import GIB, LEAST_CONTEXT, WORKSPACE, Bits
from internvl_ops.models.family.registry import REGISTRY, VISION_NAMES, Entry

USABLE = 0.9  # share of a device's memory that vLLM takes
DEVICES = {24: 24 * 10**9, 80: 80 * 10**9}  # bytes
PRECISIONS: tuple[Bits, ...] = (16, 8, 4)

HEADER = (
    "checkpoint", "language model", "vision", "template", "context", "parameters", "weights, GiB",
    "KiB a token", "GPUs of 24 GB", "GPUs of 80 GB", "tensor parallel", "to load",
)  # fmt: skip

TABLE_NOTES = (
    "Weights, and the GPUs that carry them, at 16, 8 and 4 bits: as published; with the engine"
    ' argument `"quantization": "fp8"` or bitsandbytes; AWQ, the language model alone. GPUs are'
    f" the fewest with room for the weights, {WORKSPACE // GIB} GiB for activations and"
    f" {LEAST_CONTEXT:,} tokens in {USABLE:.0%} of their memory, by the sizes of the architecture."
    " KiB a token is the key-value cache of one token. The 25 heads of InternViT-6B divide by no"
    " tensor-parallel size here: vLLM keeps its attention whole on every GPU, which the numbers"
    " include. Phi-3 runs with a context of 4,096 unless `max_model_len` is given, beyond which"
    " its rotary factors are others. `*`: sizes are the backbone's, not compared with the"
    " checkpoint's own config."
)


def row(entry: Entry) -> tuple[str, ...]:
    """One line of the table."""
    architecture = entry.architecture
    language = architecture.language
    names = entry.name + "".join(f", {variant}" for variant in entry.variants)
    return (
        names + ("" if entry.checked else " *"),
        entry.backbone,
        VISION_NAMES[entry.vision],
        entry.template,
        f"{language.context:,}",
        f"{architecture.parameters / 1e9:.1f} B",
        " / ".join(f"{architecture.weight_bytes(bits) / GIB:.1f}" for bits in PRECISIONS),
        f"{language.kv_bytes_per_token / 1024:.0f}",
        *(_devices(entry, size) for size in DEVICES.values()),
        ", ".join(map(str, architecture.tensor_parallel_sizes())),
        _arguments(entry),
    )


def _devices(entry: Entry, device_bytes: int) -> str:
    needed = (
        entry.architecture.devices_needed(int(device_bytes * USABLE), bits) for bits in PRECISIONS
    )
    return " / ".join("-" if count is None else str(count) for count in needed)


def _arguments(entry: Entry) -> str:
    """The arguments needed besides ``model`` for the published weights on GPUs of 80 GB."""
    count = entry.architecture.devices_needed(int(DEVICES[80] * USABLE))
    return "" if count == 1 else keyword("tensor_parallel", count)


def text() -> str:
    """The table for the terminal."""
    rows = [HEADER, *(row(entry) for entry in REGISTRY)]
    widths = [max(len(cell[place]) for cell in rows) for place in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in rows
    )


def family_markdown() -> str:
    """The table for docs/models.md."""
    lines = [
        _line(HEADER),
        _line(["---"] * len(HEADER)),
        *(_line(row(entry)) for entry in REGISTRY),
    ]
    return "\n".join([*lines, "", TABLE_NOTES])


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("*", "\\*") for cell in cells)
    return f"| {' | '.join(escaped)} |"
