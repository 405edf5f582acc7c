"""Tiles the pictures that a server's clients send to vLLM, with this project's own tiling, in
uint8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature, PretrainedConfig
from vllm.multimodal.processing import PromptReplacement, PromptUpdateDetails

from internvl_ops.media.tiling import tile_image
from internvl_ops.models.prompts.rendering import TAG
from internvl_ops.models.tokenizers.tokenizer import IMAGE_CONTEXT, IMAGE_END, IMAGE_START


def tiled(
    images: Sequence[Image.Image],
    tile_size: int,
    config: PretrainedConfig,
    options: Mapping[str, Any],
) -> BatchFeature:
    """Pictures, tiled for the model.

    Args:
        images: Images in upright orientation.
        tile_size: Side of a tile in pixels.
        config: The checkpoint's config; the engine planned its memory by the tile limits in it.
        options: The request's own `max_dynamic_patch` and `min_dynamic_patch`.

    Raises:
        ValueError: The request asks for more tiles than were planned for.
    """
    most = config.max_dynamic_patch if config.dynamic_image_size else 1
    max_tiles = int(options.get("max_dynamic_patch", most))
    if not 1 <= max_tiles <= most:
        raise ValueError(
            f"max_dynamic_patch {max_tiles}: this server takes 1 to {most}. Ask for fewer, or start"
            f" it with hf_overrides '{{\"max_dynamic_patch\": {max_tiles}}}'."
        )
    min_tiles = int(
        options.get(
            "min_dynamic_patch", config.min_dynamic_patch if config.dynamic_image_size else 1
        )
    )
    tiles = [
        tile_image(
            image.convert("RGB"),
            tile_size=tile_size,
            min_tiles=max(1, min(min_tiles, max_tiles)),
            max_tiles=max_tiles,
            thumbnail=config.use_thumbnail,
            fit="pad" if config.pad2square and not config.dynamic_image_size else "stretch",
        )
        for image in images
    ]
    return BatchFeature(
        {
            "pixel_values_flat": torch.from_numpy(np.concatenate(tiles)),
            "image_num_patches": torch.tensor([len(part) for part in tiles]),
        }
    )


def replacements(
    tokenizer: Any, tokens_per_tile: int, num_tiles: Sequence[int]
) -> list[PromptReplacement]:
    """How a picture's placeholder becomes its context tokens.

    The placeholder consists of special tokens, as in `internvl_ops.models.prompts.jinja_template`,
    so that it does not merge with the text around it. A prompt that is written by hand may use
    `<image>` instead.
    """
    start, context, end = tokenizer.convert_tokens_to_ids([IMAGE_START, IMAGE_CONTEXT, IMAGE_END])

    def image(index: int) -> PromptUpdateDetails:
        ids = [start, *[context] * (num_tiles[index] * tokens_per_tile), end]
        return PromptUpdateDetails.select_token_id(ids, context)

    return [
        PromptReplacement("image", target=target, replacement=image)
        for target in ([start, context, end], tokenizer.encode(TAG, add_special_tokens=False))
    ]
