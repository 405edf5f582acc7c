"""A checkpoint's properties, read from its own files without loading torch or transformers.

It runs within the two seconds in which a job is validated, so it only reads JSON and looks at file
names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints import weights
from internvl_ops.models.checkpoints.architecture import Architecture, read_architecture, side
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.checkpoints.places import Place, Placed, is_hub_name, place_of
from internvl_ops.models.templates.conversation_template import TEMPLATES

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")

Layout = Literal["internvl_chat", "internvl"]

_LLAVA_NAMES = "internvl-chat-vit-6b-vicuna"  # the beginning of their names on the hub


@dataclass(frozen=True)
class Checkpoint(Placed):
    """One InternVL checkpoint: everything model-specific that tiling, rendering and the engine
    need. Picklable.

    Attributes:
        model: The user's name for it: a local folder or a hub name. The engine loads it by this
            name.
        template: Name of the conversation template, a key of `conversation_template.TEMPLATES`.
        system_message: The system message of the prompt: the config's own, else the template's.
        tile_size: Side of a tile in pixels.
        tokens_per_tile: Number of tokens of a tile in the prompt.
        min_tiles, max_tiles: Tile limits of one image in the checkpoint's config; a job may set
            others.
        use_thumbnail: Whether an image of several tiles gets a thumbnail, which is not counted in
            `max_tiles`.
        context_length: Maximum length of prompt and answer together, in tokens, that the language
            model was trained for. `rope_scaling` in a config may promise more; engines ignore that,
            or generate nonsense.
        architecture: Sizes of its two models: parameters, memory, tensor-parallel sizes.
        dtype: Type of the stored weights, such as ``bfloat16``.
        quantization: Method of a quantised checkpoint, such as ``awq``; else None.
        quantization_group: Number of weights that share a scale in a checkpoint that is quantised
            in groups; else 1.
        weight_bytes: Size of the stored weights: of their files, or computed from the config if
            there are no files yet.
        layout: ``internvl_chat``, the family's own, or ``internvl``, that of transformers' own
            class.
        short_context: For rotary factors that change with the length, as Phi-3's do, the length up
            to which the first ones apply; else 0. vLLM uses one kind for all prompts: by default
            the first.
        dynamic: Whether it was trained on images cut into tiles. If not, an image is always one
            tile, whatever the job asks for.
        pad_to_square: Whether such an image is padded to a square with the mean colour, instead of
            being distorted.
        place: Where its files are, and which version of them.
        pixel_shuffle: ``v1`` orders an image's tokens column by column, as in V1.1 and V1.2; ``v2``
            row by row.
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
    architecture: Architecture
    dtype: str
    quantization: str | None = None
    quantization_group: int = 1
    weight_bytes: int = 0
    layout: Layout = "internvl_chat"
    short_context: int = 0
    dynamic: bool = True
    pad_to_square: bool = False
    pixel_shuffle: str = "v2"
    place: Place | None = field(default=None, compare=False)

    @property
    def backbone(self) -> str:
        """`model_type` of the language model, such as ``qwen2``."""
        return self.architecture.language.model_type

    @property
    def kv_bytes_per_token(self) -> int:
        """Memory that the engine needs for each token of a prompt or answer, at 16 bits per
        value."""
        return self.architecture.language.kv_bytes_per_token

    def tiled(self, max_tiles: int) -> Checkpoint:
        """The same checkpoint with images cut into tiles, although it was not trained on them."""
        return (
            self
            if self.dynamic
            else replace(self, dynamic=True, pad_to_square=False, max_tiles=max_tiles)
        )

    @property
    def served_context(self) -> int:
        """Maximum length of prompt and answer together, in tokens, that vLLM accepts by default."""
        return self.short_context or self.context_length

    def check_tensor_parallel(self, size: int) -> None:
        """ConfigurationError if an engine cannot spread the model over `size` devices."""
        if fault := self.architecture.refuses_tensor_parallel(size, self.quantization_group):
            sizes = self.architecture.tensor_parallel_sizes(group=self.quantization_group)
            raise ConfigurationError(
                f"{keyword('tensor_parallel', size)}: {fault}. {self.model} can be spread over "
                f"{', '.join(map(str, sizes))}."
            )


def load_checkpoint(
    model: str, revision: str | None = None, place: Place | None = None
) -> Checkpoint:
    """Reads a checkpoint's config and checks that its files are present.

    Args:
        model: A local folder, a folder in a store such as ``s3://bucket/checkpoint``, or a name on
            the Hugging Face hub such as ``OpenGVLab/InternVL2_5-1B``. Only config and tokenizer are
            fetched.
        revision: Branch, tag or commit on the hub. Default: the branch main.
        place: The place of its files, where the caller has settled it already.

    Raises:
        ConfigurationError: The folder is not an InternVL checkpoint, or an incomplete one. The
            message says which file is missing and how to get it.
    """
    if _LLAVA_NAMES in model.lower():  # before anything is downloaded
        _refuse_llava(model)
    place = place or place_of(model, revision)
    folder = place.configs()
    config = read_json(folder / "config.json")
    layout = config.get("model_type")
    if "llava" in str(layout) and "mm_vision_tower" in config:
        _refuse_llava(model)
    if layout not in ("internvl_chat", "internvl"):
        raise ConfigurationError(
            f"{keyword('model', model)}: config.json has model_type {layout!r}, not an InternVL"
            " checkpoint; expected is 'internvl_chat', as in OpenGVLab/InternVL2_5-1B, or"
            " 'internvl', as in OpenGVLab/InternVL3-1B-hf."
        )
    if not is_hub_name(model):
        _check_tokenizer(folder, model)
    if Path(model).is_dir():
        weights.check_weights(folder, model)
    try:
        read = _native if layout == "internvl" else _chat
        return replace(read(model, folder, config), place=place)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigurationError(
            f"{keyword('model', model)}: config.json is not as published: {type(error).__name__}"
            f" {error}. Download the checkpoint's config.json again."
        ) from error


def _refuse_llava(model: str) -> NoReturn:
    """Refuses InternVL-Chat-13B and -19B, the family's checkpoints from before V1.1."""
    raise ConfigurationError(
        f"{keyword('model', model)}: this is a checkpoint in LLaVA's form, like InternVL-Chat-13B"
        " and -19B. It would need LLaVA's model class around InternViT-6B, its template"
        " vicuna_v1.1, one picture of a fixed size, and the features of the fourth layer from the"
        " end, and no engine here has these. Use OpenGVLab/InternVL-Chat-V1-1 or a later one."
    )


def _chat(model: str, folder: Path, config: dict[str, Any]) -> Checkpoint:
    """The family's own layout."""
    template = config["template"]
    if template not in TEMPLATES:
        raise ConfigurationError(
            f"{keyword('model', model)}: config.json names the conversation template {template!r};"
            f" known are {', '.join(sorted(TEMPLATES))}. Set 'template' in config.json to the one"
            " the checkpoint was trained with."
        )
    if config.get("use_llm_lora") or config.get("use_backbone_lora"):
        _refuse_unmerged(model, folder)
    vision, language = config["vision_config"], config["llm_config"]
    tile_size = int(config.get("force_image_size") or vision["image_size"])
    # A missing key has the default of the published config class; V1.1 and V1.2 have none of these
    # keys.
    dynamic = bool(config.get("dynamic_image_size", False))
    message = config.get("system_message")
    architecture = read_architecture(config)
    quantization, group = _quantization(config, language)
    return Checkpoint(
        model=model,
        template=template,
        system_message=TEMPLATES[template].system_message if message is None else str(message),
        tile_size=tile_size,
        tokens_per_tile=_tokens_per_tile(tile_size, config, architecture),
        min_tiles=int(config.get("min_dynamic_patch", 1)) if dynamic else 1,
        max_tiles=int(config.get("max_dynamic_patch", 6)) if dynamic else 1,
        use_thumbnail=dynamic and bool(config.get("use_thumbnail", False)),
        context_length=architecture.language.context,
        short_context=_short_context(language),
        dynamic=dynamic,
        pad_to_square=not dynamic and bool(config.get("pad2square", False)),
        pixel_shuffle=str(config.get("ps_version", "v1")),
        architecture=architecture,
        dtype=str(
            _first(config, "torch_dtype", "dtype")
            or _first(language, "torch_dtype", "dtype")
            or "bfloat16"
        ),
        quantization=quantization,
        quantization_group=group,
        weight_bytes=weights.stored_bytes(folder) or _weight_bytes(architecture, quantization),
    )


def _native(model: str, folder: Path, config: dict[str, Any]) -> Checkpoint:
    """transformers' own layout. It names no template; a conversion keeps the weights, so their
    template is used."""
    path = folder / "preprocessor_config.json"
    images = read_json(path) if path.is_file() else {}
    template = (
        "internvl3_5_gpt_oss"
        if config["text_config"].get("model_type") == "gpt_oss"
        else "internvl2_5"
    )
    tile_size = side(config["vision_config"]["image_size"])
    dynamic = bool(images.get("crop_to_patches", True))
    architecture = read_architecture(config)
    quantization, group = _quantization(config, config["text_config"])
    return Checkpoint(
        model=model,
        template=template,
        system_message=TEMPLATES[template].system_message,
        tile_size=tile_size,
        tokens_per_tile=_tokens_per_tile(tile_size, config, architecture),
        min_tiles=int(images.get("min_patches", 1)) if dynamic else 1,
        max_tiles=int(images.get("max_patches", 12)) if dynamic else 1,
        use_thumbnail=dynamic,
        context_length=architecture.language.context,
        short_context=_short_context(config["text_config"]),
        dynamic=dynamic,
        architecture=architecture,
        dtype=str(_first(config, "dtype", "torch_dtype") or "bfloat16"),
        quantization=quantization,
        quantization_group=group,
        weight_bytes=weights.stored_bytes(folder) or _weight_bytes(architecture, quantization),
        layout="internvl",
    )


def _tokens_per_tile(tile_size: int, config: Mapping[str, Any], architecture: Architecture) -> int:
    patches = (tile_size // architecture.vision.patch_size) ** 2
    return int(patches * float(config.get("downsample_ratio", 0.5)) ** 2)


def _short_context(language: Mapping[str, Any]) -> int:
    rope = language.get("rope_scaling") or language.get("rope_parameters") or {}
    if (rope.get("rope_type") or rope.get("type")) not in ("longrope", "su"):
        return 0
    return int(
        rope.get("original_max_position_embeddings")
        or language.get("original_max_position_embeddings")
        or 0
    )


def _weight_bytes(architecture: Architecture, quantization: str | None) -> int:
    if quantization is None:
        return architecture.weight_bytes(16)
    return architecture.weight_bytes(4 if "awq" in quantization else 8)


def _refuse_unmerged(model: str, folder: Path) -> None:
    """Refuses a checkpoint of the family's LoRA fine-tuning whose adapters are not merged into the
    weights yet."""
    if any(".lora_A." in name for name in weights.names(folder)):
        raise ConfigurationError(
            f"{keyword('model', model)}: the weights hold LoRA adapters that are not merged. "
            "Merge them with InternVL's tools/merge_lora.py and name the folder that it writes."
        )


def _quantization(config: Mapping[str, Any], language: Mapping[str, Any]) -> tuple[str | None, int]:
    """Method and group size; the published AWQ checkpoints have them in the language model's
    config."""
    settings = config.get("quantization_config") or language.get("quantization_config")
    if not settings:
        return None, 1
    return str(settings.get("quant_method", "unknown")), max(
        1, int(settings.get("group_size") or 1)
    )


def _first(config: Mapping[str, Any], *names: str) -> Any:
    return next((config[name] for name in names if config.get(name)), None)


def _check_tokenizer(folder: Path, model: str) -> None:
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ConfigurationError(
            f"{keyword('model', model)}: no tokenizer; looked for {', '.join(TOKENIZER_FILES)}. "
            "Download the checkpoint's tokenizer files again."
        )
