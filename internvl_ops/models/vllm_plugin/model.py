"""vLLM's InternVL, which here takes uint8 tiles and normalises them on the device."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers import BatchFeature
from vllm.inputs.engine import MultiModalInput
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing import PromptReplacement
from vllm.platforms import current_platform

from internvl_ops.models.checkpoints.pixels import normalised
from internvl_ops.models.prompts.jinja_template import PLACEHOLDER
from internvl_ops.models.tokenizers.tokenizer import IMAGE_CONTEXT
from internvl_ops.models.vllm_plugin import cpu_draws
from internvl_ops.models.vllm_plugin.inputs import image_input
from internvl_ops.models.vllm_plugin.processor import replacements, tiled


def _import_internvl() -> types.ModuleType:
    """vLLM's module; the import also works if torchvision is not installed.

    The module imports torchvision for its own preprocessing, which never runs here, because the
    tiles are ready. Empty modules replace it during the import only, so that no other code finds a
    torchvision that is not there.
    """
    stand_ins: dict[str, types.ModuleType] = {}
    if importlib.util.find_spec("torchvision") is None:
        stand_ins = {
            name: types.ModuleType(name) for name in ("torchvision", "torchvision.transforms")
        }
        stand_ins["torchvision"].transforms = stand_ins["torchvision.transforms"]  # type: ignore[attr-defined]
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("vllm.model_executor.models.internvl")
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _compile_nothing() -> None:
    """Lets this worker compile nothing. Where the model is eager, vLLM still compiles functions of
    its sampler once a request needs them, as for the first log-probability, with a C++ compiler
    that a node may lack."""
    torch._dynamo.config.disable = True


_internvl = _import_internvl()


class TiledProcessingInfo(_internvl.InternVLProcessingInfo):  # type: ignore[name-defined]
    """Answers vLLM's questions about image inputs from the checkpoint's config, without a tokenizer
    or an image."""

    ctx_video_token = None  # a video is passed as images

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        return {"image": min(seq_len, self.max_tiles() * self.tokens_per_tile())}

    def max_tiles(self) -> int:
        """Tiles of one image, including the thumbnail. A job that needs more sets
        `max_dynamic_patch` in hf_overrides."""
        config = self.get_hf_config()
        tiles = config.max_dynamic_patch if config.dynamic_image_size else 1
        return tiles + 1 if config.use_thumbnail and tiles > 1 else tiles

    def tokens_per_tile(self) -> int:
        config = self.get_hf_config()
        return int(
            (self.tile_size() // config.vision_config.patch_size) ** 2 * config.downsample_ratio**2
        )

    def tile_size(self) -> int:
        config = self.get_hf_config()
        return config.force_image_size or config.vision_config.image_size


class TiledMultiModalProcessor(_internvl.InternVLMultiModalProcessor):  # type: ignore[name-defined]
    """Tiles the pictures that a server's clients send; rendered inputs bypass it.

    For memory profiling it returns the largest possible image, as tiles: nothing is drawn, resized
    or tokenised.
    """

    requires_tokenizer = False

    def _call_hf_processor(
        self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        info: TiledProcessingInfo = self.info
        options = info.ctx.get_merged_mm_kwargs(hf_kwargs)
        return tiled(hf_data["images"], info.tile_size(), info.get_hf_config(), options)

    def _postprocess_hf_mm_data(
        self,
        mm_data: Mapping[str, object],
        hf_processor_mm_kwargs: Mapping[str, object],
        processed_data: BatchFeature,
    ) -> BatchFeature:
        context_id = self.info.get_tokenizer().convert_tokens_to_ids(IMAGE_CONTEXT)
        processed_data["image_token_id"] = torch.tensor(context_id)
        return processed_data

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> list[PromptReplacement]:
        num_tiles = (
            out_mm_kwargs.get_data()
            .get("image_num_patches", torch.empty(0, dtype=torch.int64))
            .tolist()
        )
        return replacements(self.info.get_tokenizer(), self.info.tokens_per_tile(), num_tiles)

    def get_dummy_mm_inputs(self, mm_counts: Mapping[str, int], **_: Any) -> MultiModalInput:
        info: TiledProcessingInfo = self.info
        seq_len = info.ctx.model_config.max_model_len
        length = info.get_mm_max_tokens_per_item(seq_len, mm_counts)["image"]
        num_tiles = max(1, length // info.tokens_per_tile())
        count = mm_counts.get("image", 0)
        tiles = torch.zeros(
            num_tiles * count, 3, info.tile_size(), info.tile_size(), dtype=torch.uint8
        )
        return image_input(
            [0] * max(seq_len, length * count),
            tiles,
            spans=[(length * index, length, num_tiles) for index in range(count)],
            hashes=[f"profiling {index}" for index in range(count)],
            context_id=0,
        )


@MULTIMODAL_REGISTRY.register_processor(
    TiledMultiModalProcessor,
    info=TiledProcessingInfo,
    dummy_inputs=_internvl.InternVLDummyInputsBuilder,
)
class TiledInternVLChatModel(_internvl.InternVLChatModel):  # type: ignore[name-defined]
    """InternVL with uint8 tiles: a quarter of the bytes of float32 on the way to the device."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        # only a worker makes a model, so its runner is already imported
        if current_platform.is_cpu():
            cpu_draws.reset_generator()
            if vllm_config.model_config.enforce_eager:
                _compile_nothing()

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return PLACEHOLDER if modality.startswith("image") else None

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Loads the weights of existing layers: with a `select_layer` below the last, the files
        hold more layers."""
        used = len(self.vision_model.encoder.layers)
        return super().load_weights(
            (name, weight) for name, weight in weights if _vision_layer(name) < used
        )

    def extract_feature(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Features of tiles.

        Args:
            pixel_values: uint8 of shape (tiles, 3, S, S), RGB; or floats that are already
                normalised.

        Returns:
            Shape (tiles, tokens per tile, width of the language model).
        """
        if pixel_values.dtype == torch.uint8:
            dtype = self.vision_model.embeddings.patch_embedding.weight.dtype
            pixel_values = normalised(pixel_values).to(dtype)
        return super().extract_feature(pixel_values)


def _vision_layer(name: str) -> int:
    """Number of the vision layer that a weight belongs to, in either layout; -1 for any other
    weight."""
    found = re.match(r"(vision_model|model\.vision_tower)\.encoder\.layers?\.(\d+)\.", name)
    return int(found[2]) if found else -1


class TiledNativeInternVLModel(TiledInternVLChatModel):
    """The same model from a checkpoint in transformers' own layout, whose weights have other
    names."""

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_stacked={f".attention.{part}_proj": (".attn.qkv", part) for part in "qkv"},
        orig_to_new_prefix={
            "model.vision_tower.embeddings.cls_token": "vision_model.embeddings.class_embedding",
            "model.vision_tower.embeddings.position_embeddings": (
                "vision_model.embeddings.position_embedding"
            ),
            "model.vision_tower.embeddings.patch_embeddings.projection.": (
                "vision_model.embeddings.patch_embedding."
            ),
            "model.vision_tower.encoder.layer.": "vision_model.encoder.layers.",
            "model.multi_modal_projector.layer_norm.": "mlp1.0.",
            "model.multi_modal_projector.linear_1.": "mlp1.1.",
            "model.multi_modal_projector.linear_2.": "mlp1.3.",
            "model.language_model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
        },
        orig_to_new_substr={
            ".attention.projection_layer.": ".attn.proj.",
            ".attention.q_norm.": ".attn.q_norm.",
            ".attention.k_norm.": ".attn.k_norm.",
            ".layernorm_before.": ".norm1.",
            ".layernorm_after.": ".norm2.",
            ".lambda_1": ".ls1",
            ".lambda_2": ".ls2",
        },
    )
