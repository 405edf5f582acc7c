"""Converts tiles from the uint8 in which they travel to the pixel values that the vision model
takes."""

from __future__ import annotations

import torch

# ImageNet's values, with which the whole family was trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalised(tiles: torch.Tensor) -> torch.Tensor:
    """Tiles, normalised on their device in float32, in the same order as in the model cards' code,
    with its rounding.

    Args:
        tiles: uint8, shape (tiles, 3, S, S), RGB.

    Returns:
        float32 of the same shape.
    """
    mean = torch.tensor(MEAN, device=tiles.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=tiles.device).view(1, 3, 1, 1)
    return tiles.float().div_(255).sub_(mean).div_(std)
