"""vLLM's InternVL, taking uint8 tiles and normalising them on the device."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Mapping
from typing import Any

import torch
from vllm.inputs.engine import MultiModalInput
from vllm.multimodal import MULTIMODAL_REGISTRY

from internvl_ops.models.pixels import normalised
from internvl_ops.models.vllm_plugin.inputs import image_input


def _import_internvl() -> types.ModuleType:
    """vLLM's module, also where torchvision is not installed.

    The module imports torchvision for its own preprocessing, which never runs here: tiles come ready. Empty modules
    stand in during the import only, so that nobody else takes torchvision for installed.
    """
    stand_ins: dict[str, types.ModuleType] = {}
    if importlib.util.find_spec("torchvision") is None:
        stand_ins = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.transforms")}
        stand_ins["torchvision"].transforms = stand_ins["torchvision.transforms"]  # type: ignore[attr-defined]
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("vllm.model_executor.models.internvl")
    finally:
        for name in stand_ins:
            del sys.modules[name]


_internvl = _import_internvl()


class TiledProcessingInfo(_internvl.InternVLProcessingInfo):  # type: ignore[name-defined,misc]
    """What vLLM asks about image inputs, answered from the checkpoint's config, with no tokenizer and no image."""

    ctx_video_token = None  # a video comes as images

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {"image": min(seq_len, self.max_tiles() * self.tokens_per_tile())}

    def max_tiles(self) -> int:
        """Of one image, thumbnail included. A job that asks for more sets `max_dynamic_patch` through hf_overrides."""
        config = self.get_hf_config()
        tiles = config.max_dynamic_patch if config.dynamic_image_size else 1
        return tiles + 1 if config.use_thumbnail and tiles > 1 else tiles

    def tokens_per_tile(self) -> int:
        config = self.get_hf_config()
        return int((self.tile_size() // config.vision_config.patch_size) ** 2 * config.downsample_ratio**2)

    def tile_size(self) -> int:
        config = self.get_hf_config()
        return config.force_image_size or config.vision_config.image_size


class TiledMultiModalProcessor(_internvl.InternVLMultiModalProcessor):  # type: ignore[name-defined,misc]
    """Gives memory profiling the biggest image there can be, as tiles: nothing is drawn, resized or tokenised."""

    requires_tokenizer = False

    def get_dummy_mm_inputs(self, mm_counts: Mapping[str, int], **_: Any) -> MultiModalInput:
        info: TiledProcessingInfo = self.info
        seq_len = info.ctx.model_config.max_model_len
        length = info.get_mm_max_tokens_per_item(seq_len, mm_counts)["image"]
        num_tiles = max(1, length // info.tokens_per_tile())
        count = mm_counts.get("image", 0)
        tiles = torch.zeros(num_tiles * count, 3, info.tile_size(), info.tile_size(), dtype=torch.uint8)
        return image_input(
            [0] * max(seq_len, length * count),
            tiles,
            spans=[(length * index, length, num_tiles) for index in range(count)],
            hashes=[f"profiling {index}" for index in range(count)],
            context_id=0,
        )


@MULTIMODAL_REGISTRY.register_processor(
    TiledMultiModalProcessor, info=TiledProcessingInfo, dummy_inputs=_internvl.InternVLDummyInputsBuilder
)
class TiledInternVLChatModel(_internvl.InternVLChatModel):  # type: ignore[name-defined,misc]
    """InternVL that takes tiles as uint8, a quarter of the bytes of float32 on the way to the device."""

    def extract_feature(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Features of tiles.

        Args:
            pixel_values: uint8 of shape (tiles, 3, S, S), RGB; or floats that are normalised already.

        Returns:
            Shape (tiles, tokens per tile, width of the language model).
        """
        if pixel_values.dtype == torch.uint8:
            dtype = self.vision_model.embeddings.patch_embedding.weight.dtype
            pixel_values = normalised(pixel_values).to(dtype)
        return super().extract_feature(pixel_values)
