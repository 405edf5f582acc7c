"""Loads checkpoints into transformers' own InternVL class, so that plain torch runs them without
remote code.

A published checkpoint (`internvl_chat`) and `InternVLForConditionalGeneration` (`internvl`) name
the weights differently, and the class splits some matrices into three. The values are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.checkpoints.named_weights import read_weights

# The language models' types in transformers. InternLM2 is a Llama that keeps query, key and value
# in one matrix. InternLM3 is a Llama whose two kinds of bias are switched by other names.
LANGUAGE_MODELS = {
    "qwen2": "qwen2", "qwen3": "qwen3", "llama": "llama", "phi3": "phi3", "internlm2": "llama",
    "internlm3": "llama",
}  # fmt: skip

WEIGHT_FILES = ["*.safetensors", "*.bin", "*.json"]

# How a config was run when it was saved; these are not properties of the model.
_RUNTIME = (
    "attn_implementation",
    "_attn_implementation",
    "architectures",
    "auto_map",
    "torch_dtype",
    "dtype",
)

_RENAMED = [
    (r"^vision_model\.embeddings\.class_embedding$", "model.vision_tower.embeddings.cls_token"),
    (
        r"^vision_model\.embeddings\.position_embedding$",
        "model.vision_tower.embeddings.position_embeddings",
    ),
    (
        r"^vision_model\.embeddings\.patch_embedding\.",
        "model.vision_tower.embeddings.patch_embeddings.projection.",
    ),
    (r"^vision_model\.encoder\.layers\.", "model.vision_tower.encoder.layer."),
    (r"^(model\.vision_tower\..*)\.attn\.proj\.", r"\1.attention.projection_layer."),
    (r"^(model\.vision_tower\..*)\.attn\.", r"\1.attention."),
    (r"^(model\.vision_tower\..*)\.norm1\.", r"\1.layernorm_before."),
    (r"^(model\.vision_tower\..*)\.norm2\.", r"\1.layernorm_after."),
    (r"^(model\.vision_tower\..*)\.ls([12])$", r"\1.lambda_\2"),
    (r"^mlp1\.0\.", "model.multi_modal_projector.layer_norm."),
    (r"^mlp1\.1\.", "model.multi_modal_projector.linear_1."),
    (r"^mlp1\.3\.", "model.multi_modal_projector.linear_2."),
    (r"^language_model\.(lm_head|output)\.", "lm_head."),
    (r"^language_model\.model\.", "model.language_model."),
    # InternLM2's own names.
    (r"^(model\.language_model)\.tok_embeddings\.", r"\1.embed_tokens."),
    (r"^(model\.language_model\..*)\.attention\.wo\.", r"\1.self_attn.o_proj."),
    (r"^(model\.language_model\..*)\.attention\.", r"\1.self_attn."),
    (r"^(model\.language_model\..*)\.feed_forward\.w1\.", r"\1.mlp.gate_proj."),
    (r"^(model\.language_model\..*)\.feed_forward\.w3\.", r"\1.mlp.up_proj."),
    (r"^(model\.language_model\..*)\.feed_forward\.w2\.", r"\1.mlp.down_proj."),
    (r"^(model\.language_model\..*)\.attention_norm\.", r"\1.input_layernorm."),
    (r"^(model\.language_model\..*)\.ffn_norm\.", r"\1.post_attention_layernorm."),
]


def load_native(model: str, context_id: int, arguments: Mapping[str, Any]) -> Any:
    """A checkpoint of either layout as transformers' `InternVLForConditionalGeneration`, ready to
    generate.

    Args:
        model: A local folder or a hub name.
        context_id: Id of the context token.
        arguments: Arguments of `from_pretrained`.

    Raises:
        ConfigurationError: The class has no such language model, a weight is missing, or an
            argument is refused.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    folder = _folder(model)
    config = read_json(folder / "config.json")
    try:
        given: dict[str, Any] = {"pretrained_model_name_or_path": folder}
        if config["model_type"] != "internvl":
            given = {
                "pretrained_model_name_or_path": None,
                "config": transformers.InternVLConfig(**native_config(config, model)),
                "state_dict": dict(native_weights(config, read_weights(folder))),
            }
        class_: Any = transformers.InternVLForConditionalGeneration
        loaded, report = class_.from_pretrained(**given, **arguments, output_loading_info=True)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigurationError(
            f"transformers does not load {model}: {error}. Given by {keyword('engine_args')}:"
            f" {dict(arguments)}."
        ) from error
    for kind in ("missing", "unexpected", "mismatched"):
        names = sorted(map(str, report[f"{kind}_keys"]))
        if names:
            raise ConfigurationError(
                f"{keyword('model', model)}: {len(names)} {kind} weights, the first is {names[0]}. "
                "The weights are not those of config.json; download them again."
            )
    loaded.config.image_token_id = context_id
    # each request brings its own settings
    loaded.generation_config = transformers.GenerationConfig()
    return loaded.eval()


def native_config(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A published `config.json`, converted to the one that transformers' class reads.

    Args:
        config: The config of an `internvl_chat` checkpoint.
        model: The checkpoint's name, for messages.

    Returns:
        The `config.json` of the same model as an `internvl` checkpoint. It has no `image_token_id`:
        that is in the tokenizer's files.

    Raises:
        ConfigurationError: transformers' class has no such language model.
    """
    vision, language = config["vision_config"], dict(config["llm_config"])
    backbone = str(language.get("model_type"))
    if backbone not in LANGUAGE_MODELS:
        raise ConfigurationError(
            f"{keyword('model', model)}: its language model is {backbone!r};"
            f" {keyword('engine', 'transformers')} runs {', '.join(LANGUAGE_MODELS)}. Use"
            f" {keyword('engine', 'vllm')}."
        )
    for name in _RUNTIME:
        language.pop(name, None)
    language["model_type"] = LANGUAGE_MODELS[backbone]
    if backbone == "internlm2":
        language["attention_bias"] = bool(language.pop("bias", False))
    if backbone == "internlm3":  # its `bias` is for the output projection and the MLP
        biases = bool(language.pop("qkv_bias", False)), bool(language.pop("bias", False))
        if biases[0] != biases[1]:
            raise ConfigurationError(
                f"{keyword('model', model)}: its language model has biases in only some of its"
                f" attention's matrices; {keyword('engine', 'transformers')} runs it with all or"
                f" none. Use {keyword('engine', 'vllm')}."
            )
        language["attention_bias"] = language["mlp_bias"] = biases[0]
    side, layer = vision["image_size"], int(config.get("select_layer", -1))
    return {
        "architectures": ["InternVLForConditionalGeneration"],
        "model_type": "internvl",
        "downsample_ratio": config.get("downsample_ratio", 0.5),
        "image_seq_length": int(
            (side // vision["patch_size"]) ** 2 * config.get("downsample_ratio", 0.5) ** 2
        ),
        "projector_hidden_act": "gelu",
        "tie_word_embeddings": bool(language.get("tie_word_embeddings", False)),
        "vision_feature_layer": layer,
        "vision_feature_select_strategy": "default",
        "text_config": language,
        "vision_config": native_vision_config(vision),
    }


def native_vision_config(vision: Mapping[str, Any]) -> dict[str, Any]:
    """A published config of an InternViT, converted to the one that transformers' class reads."""
    side, patch = vision["image_size"], vision["patch_size"]
    return {
        "model_type": "internvl_vision",
        "hidden_size": vision["hidden_size"],
        "intermediate_size": vision["intermediate_size"],
        "num_attention_heads": vision["num_attention_heads"],
        "num_hidden_layers": vision["num_hidden_layers"],
        "image_size": [side, side],
        "patch_size": [patch, patch],
        "num_channels": vision.get("num_channels", 3),
        "hidden_act": vision.get("hidden_act", "gelu"),
        "layer_norm_eps": vision.get("layer_norm_eps", 1e-6),
        "norm_type": vision.get("norm_type", "rms_norm"),
        "use_qk_norm": vision.get("qk_normalization", True),
        "attention_bias": vision.get("qkv_bias", False),
        "use_absolute_position_embeddings": True,
        "use_mean_pooling": True,  # adds no further norm after the last layer
    }


def native_weights(
    config: Mapping[str, Any], weights: Iterable[tuple[str, torch.Tensor]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Published weights, renamed and split for transformers' class.

    Args:
        config: The published `config.json`.
        weights: (published name, weight) pairs in any order.
    """
    language = config["llm_config"]
    for published, weight in weights:
        name = published
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if ".attention.qkv." in name:
            parts = weight.chunk(3)
        elif ".self_attn.wqkv." in name:
            parts = _split_grouped(weight, language)
        else:
            yield name, weight
            continue
        for letter, part in zip("qkv", parts, strict=True):
            yield re.sub(r"w?qkv\.", f"{letter}_proj.", name), part


def _split_grouped(weight: torch.Tensor, language: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """InternLM2 stores each key head, its value head and the queries that share them side by
    side."""
    heads = int(language["num_attention_heads"])
    key_heads = int(language.get("num_key_value_heads") or heads)
    groups = heads // key_heads
    by_key = weight.unflatten(0, (key_heads, groups + 2, -1))
    query, key, value = by_key.split([groups, 1, 1], dim=1)
    return tuple(part.flatten(0, 2).contiguous() for part in (query, key, value))


def _folder(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download  # only for a hub name: needs a network

    return Path(snapshot_download(model, allow_patterns=WEIGHT_FILES))
