"""From tiles as they travel to pixels as the vision model takes them."""

from __future__ import annotations

import torch

# ImageNet's, which all of the family was trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalised(tiles: torch.Tensor) -> torch.Tensor:
    """Tiles on their device, normalised as the cards' code does it: in this order in float32, whose rounding it shares.

    Args:
        tiles: uint8, shape (tiles, 3, S, S), RGB.

    Returns:
        float32 of the same shape.
    """
    mean = torch.tensor(MEAN, device=tiles.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=tiles.device).view(1, 3, 1, 1)
    return tiles.float().div_(255).sub_(mean).div_(std)
