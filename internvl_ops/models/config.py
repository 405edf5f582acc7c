"""What a checkpoint's own files say about it, read without loading torch or transformers.

Runs in the two seconds in which a job is validated, so it reads JSON and looks at file names, no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.conversation import TEMPLATES

# What a hub checkpoint needs here besides its weights, which the engine downloads itself.
HUB_FILES = ["*.json", "tokenizer.model", "*.txt"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Checkpoint:
    """One InternVL checkpoint: everything model-specific that tiling, rendering and the engine ask for. Picklable.

    Attributes:
        model: As the user named it: a local folder or a hub name. This is what the engine loads.
        template: Name of the conversation template, a key of `conversation.TEMPLATES`.
        system_message: What the prompt's system turn says: the config's own, else the template's.
        tile_size: Side of a tile in pixels.
        tokens_per_tile: Length of a tile in the prompt.
        min_tiles, max_tiles: Tile limits of one image by the checkpoint's config; a job may ask for others.
        use_thumbnail: Whether an image of several tiles gets a thumbnail, which is not counted in `max_tiles`.
        context_length: Longest prompt and answer together, in tokens, that the language model takes.
        backbone: `model_type` of the language model, such as ``qwen2``.
        attention_heads: Of the language model; a tensor-parallel size has to divide it.
        kv_bytes_per_token: Memory that the engine keeps for each token of a prompt or answer, at 16 bits a value.
        dtype: Of the weights as stored, such as ``bfloat16``.
        quantization: Method of a quantised checkpoint, such as ``awq``; None otherwise.
    """

    model: str
    template: str
    system_message: str
    tile_size: int
    tokens_per_tile: int
    min_tiles: int
    max_tiles: int
    use_thumbnail: bool
    context_length: int
    backbone: str
    attention_heads: int
    kv_bytes_per_token: int
    dtype: str
    quantization: str | None = None

    def folder(self) -> Path:
        """The folder with config and tokenizer on this machine; a hub name is downloaded here if it is not yet."""
        return _folder(self.model)


def load_checkpoint(model: str) -> Checkpoint:
    """Reads a checkpoint's config and checks that its files are there.

    Args:
        model: A local folder, or a name on the Hugging Face hub such as ``OpenGVLab/InternVL2_5-1B``. Of a hub
            checkpoint only config and tokenizer are downloaded.

    Raises:
        ConfigurationError: The folder is not an InternVL checkpoint, or not a whole one. The message says what was
            looked for and the likely mend.
    """
    folder = _folder(model)
    config = _read_json(folder / "config.json")
    model_type = config.get("model_type")
    if model_type == "internvl":
        raise ConfigurationError(
            f"--model {model}: config.json has model_type 'internvl', the layout of transformers' own InternVL class; "
            "supported is 'internvl_chat'. Use the repository of the same name without '-HF'."
        )
    if model_type != "internvl_chat":
        raise ConfigurationError(
            f"--model {model}: config.json has model_type {model_type!r}, not an InternVL checkpoint; expected is "
            "'internvl_chat', as in OpenGVLab/InternVL2_5-1B."
        )
    if Path(model).is_dir():
        _check_files(folder, model)
    try:
        return _describe(model, config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigurationError(
            f"--model {model}: config.json is not as published: {type(error).__name__} {error}. "
            "Download the checkpoint's config.json again."
        ) from error


def _describe(model: str, config: dict[str, Any]) -> Checkpoint:
    template = config["template"]
    if template not in TEMPLATES:
        raise ConfigurationError(
            f"--model {model}: config.json names the conversation template {template!r}; known are "
            f"{', '.join(sorted(TEMPLATES))}. Set 'template' in config.json to the one the checkpoint was trained with."
        )
    vision, language = config["vision_config"], config["llm_config"]
    tile_size = int(config.get("force_image_size") or vision["image_size"])
    side = tile_size // int(vision["patch_size"])
    heads = int(language["num_attention_heads"])
    dynamic = bool(config.get("dynamic_image_size", True))
    message = config.get("system_message")
    return Checkpoint(
        model=model,
        template=template,
        system_message=TEMPLATES[template].system_message if message is None else str(message),
        tile_size=tile_size,
        tokens_per_tile=int(side**2 * float(config["downsample_ratio"]) ** 2),
        min_tiles=int(config.get("min_dynamic_patch", 1)) if dynamic else 1,
        max_tiles=int(config.get("max_dynamic_patch", 12)) if dynamic else 1,
        use_thumbnail=dynamic and bool(config.get("use_thumbnail", True)),
        context_length=int(language["max_position_embeddings"]),
        backbone=str(language.get("model_type", "unknown")),
        attention_heads=heads,
        kv_bytes_per_token=2
        * 2
        * int(language["num_hidden_layers"])
        * int(language.get("num_key_value_heads") or heads)
        * int(language.get("head_dim") or int(language["hidden_size"]) // heads),
        dtype=str(_first(config, "torch_dtype", "dtype") or _first(language, "torch_dtype", "dtype") or "bfloat16"),
        quantization=_quantization(config, language),
    )


def _quantization(config: Mapping[str, Any], language: Mapping[str, Any]) -> str | None:
    settings = config.get("quantization_config") or language.get("quantization_config")
    return None if not settings else str(settings.get("quant_method", "unknown"))


def _first(config: Mapping[str, Any], *names: str) -> Any:
    return next((config[name] for name in names if config.get(name)), None)


def _folder(model: str) -> Path:
    folder = Path(model)
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir():
        raise ConfigurationError(
            f"--model {model}: no config.json in this folder. Name the folder that holds the checkpoint's "
            "config.json, tokenizer and weights."
        )
    if folder.exists():
        raise ConfigurationError(f"--model {model}: is a file. Name the checkpoint's folder or a hub name.")
    if model.count("/") != 1 or model.startswith(("/", ".", "~")) or model.endswith("/"):
        raise ConfigurationError(
            f"--model {model}: no such folder, and not a hub name. Name a local folder, the same on every node, "
            "or a hub name such as OpenGVLab/InternVL2_5-1B."
        )
    return _download(model)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download  # only when a hub name is given: takes a network

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:  # whatever the hub's client raises, the user's answer is the same
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigurationError(
            f"--model {name}: no such local folder, and the Hugging Face hub did not give it: {first_line} "
            "Correct the name, log in for a gated model (HF_TOKEN), or download it and name its folder."
        ) from error


def _check_files(folder: Path, model: str) -> None:
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ConfigurationError(
            f"--model {model}: no tokenizer; looked for {', '.join(TOKENIZER_FILES)}. "
            "Download the checkpoint's tokenizer files again."
        )
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(_read_json(index).get("weight_map", {}).values()))
            missing = [shard for shard in shards if not (folder / shard).is_file()]
            if missing:
                raise ConfigurationError(
                    f"--model {model}: {len(missing)} of {len(shards)} weight files that {index.name} names are "
                    f"missing, the first is {missing[0]}. Finish the download."
                )
            return
    raise ConfigurationError(
        f"--model {model}: no weights; looked for {', '.join(WEIGHT_FILES)} and their .index.json. Finish the download."
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as JSON: {error}. Download it again.") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: holds a JSON {type(value).__name__}, expected an object. Download it again.")
    return value
