"""The config classes of the family's checkpoints, so that none of the checkpoints' own code has to
run."""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig

from internvl_ops.models.checkpoints.architecture import side

# Defaults of absent keys: V1.1 and V1.2 were published without them.
_CLASS_DEFAULTS: dict[str, Any] = {
    "pad2square": False,
    "select_layer": -1,
    "force_image_size": None,
    "downsample_ratio": 0.5,
    "dynamic_image_size": False,
    "use_thumbnail": False,
    "ps_version": "v1",
    "min_dynamic_patch": 1,
    "max_dynamic_patch": 6,
}


class InternVLChatConfig(PretrainedConfig):
    """`internvl_chat` as published: a vision config, and the language model's under `llm_config`.

    The language model's config uses transformers' own class if there is one, else a plain one.
    """

    model_type = "internvl_chat"
    has_no_defaults_at_init = True

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        llm_config: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        others = _CLASS_DEFAULTS | others
        self.vision_config = PretrainedConfig(**(vision_config or {}))
        self.text_config = _language_config(dict(llm_config or {}))
        super().__init__(**others)

    def get_text_config(self, *_: Any, **__: Any) -> PretrainedConfig:
        return self.text_config


class InternVLNativeConfig(InternVLChatConfig):
    """transformers' own layout, `internvl`, with the values under the names of the published
    layout."""

    model_type = "internvl"

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        text_config: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        vision = dict(vision_config or {})
        vision |= {
            name: side(vision[name]) for name in ("image_size", "patch_size") if name in vision
        }
        vision |= {
            "qkv_bias": vision.get("attention_bias", False),
            "qk_normalization": vision.get("use_qk_norm", False),
            "initializer_factor": 1.0,
        }
        published = {
            "force_image_size": vision.get("image_size"),
            "select_layer": others.get("vision_feature_layer", -1),
            "ps_version": "v2",
            "dynamic_image_size": True,
            "min_dynamic_patch": 1,
            "max_dynamic_patch": 12,
            "use_thumbnail": True,
        }
        super().__init__(vision, text_config, **(published | others))


def _language_config(settings: dict[str, Any]) -> PretrainedConfig:
    model_type = settings.pop("model_type", None)
    original = settings.get("original_max_position_embeddings")
    # Phi-3's; transformers expects it one level deeper
    if settings.get("rope_scaling") and original:
        settings["rope_scaling"] = {
            "original_max_position_embeddings": original,
            **settings["rope_scaling"],
        }
    if model_type in CONFIG_MAPPING:
        return CONFIG_MAPPING[model_type](**settings)
    config = PretrainedConfig(**settings)
    config.model_type = model_type or ""  # type: ignore[misc]
    return config
