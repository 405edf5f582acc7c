"""Passes a rendered prompt and its tiles to vLLM's engine, without any of vLLM's preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import BatchFeature
from vllm.inputs.engine import MultiModalInput, mm_input
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems, PlaceholderRange


def image_input(
    token_ids: list[int],
    tiles: torch.Tensor,
    *,
    spans: Sequence[tuple[int, int, int]],
    hashes: Sequence[str],
    context_id: int,
) -> MultiModalInput:
    """The engine's input for a prompt with images.

    Args:
        token_ids: The whole prompt.
        tiles: uint8, shape (tiles of all images, 3, S, S).
        spans: One triple per image: the position of its first context token, the number of its
            context tokens, and the number of its tiles.
        hashes: One hash per image. Images with equal hashes must have equal tiles; the engine
            encodes them once.
        context_id: Id of the context token.
    """
    num_tiles = torch.tensor([count for _, _, count in spans])
    values = {
        "pixel_values_flat": tiles,
        "image_num_patches": num_tiles,
        "image_token_id": torch.tensor(context_id),
    }
    items = MultiModalKwargsItems.from_hf_inputs(
        BatchFeature(values),
        {
            "pixel_values_flat": MultiModalFieldConfig.flat_from_sizes("image", num_tiles),
            "image_num_patches": MultiModalFieldConfig.batched("image", keep_on_cpu=True),
            "image_token_id": MultiModalFieldConfig.shared("image", len(spans), keep_on_cpu=True),
        },
    )
    placeholders = [PlaceholderRange(offset=offset, length=length) for offset, length, _ in spans]
    return mm_input(token_ids, items, {"image": list(hashes)}, {"image": placeholders})
