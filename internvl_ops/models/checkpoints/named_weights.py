"""Reads the weights of a checkpoint, or those of some names without the rest, which may be a
language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open

from internvl_ops.models.checkpoints.weights import files_and_index


def read_weights(
    folder: Path, wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, weight) pairs of a checkpoint.

    Args:
        folder: The checkpoint's folder.
        wanted: Whether a weight of this name is needed; all are by default.
    """
    for path in files_and_index(folder)[0]:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield from (
                    (name, file.get_tensor(name)) for name in filter(wanted, list(file.keys()))
                )
        else:
            stored = torch.load(path, mmap=True, weights_only=True)
            yield from ((name, weight) for name, weight in stored.items() if wanted(name))
