"""An encoder's properties, read from its own files without loading torch or transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.media.fits import Fit
from internvl_ops.models.checkpoints import weights
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.checkpoints.places import Place, Placed, place_of

Pooling = Literal["class", "mean", "last", "projected", "c", "g", "none", "server"]
Layout = Literal["chat", "native_chat", "vision", "dual", "text", "served"]


@dataclass(frozen=True)
class Encoder(Placed):
    """One checkpoint that gives vectors. Picklable.

    Attributes:
        model: The user's name for it: a local folder, a folder in a store, or a hub name.
        layout: ``chat``, a chat checkpoint of the family, of which the vision model and the
            projector are used; ``native_chat``, the same in transformers' own layout; ``vision``,
            an InternViT alone; ``dual``, InternVL-14B-224px, which has a text encoder too;
            ``text``, an encoder of texts alone; ``served``, what a server runs.
        config: Its ``config.json``.
        tile_size: Side of a picture in pixels; 1 of encoders that take texts alone.
        sizes: The ways in which its vectors can be pooled, the usual one first, with the length of
            the vector; ``none`` keeps those of all tokens.
        fit: How a picture gets the shape of a square, as its model card does it.
        use_thumbnail: Whether a picture of several tiles gets a thumbnail.
        dtype: Type of the stored weights, such as ``bfloat16``.
        longest: Tokens of a text that an encoder of texts alone reads; of a longer text the rest
            is left out.
        place: Where its files are, and which version of them.
    """

    model: str
    layout: Layout
    config: Mapping[str, Any]
    tile_size: int
    sizes: Mapping[Pooling, int]
    fit: Fit
    use_thumbnail: bool
    dtype: str
    longest: int = 0
    place: Place | None = field(default=None, compare=False)

    @property
    def pooling(self) -> Pooling:
        """The usual way to pool its vectors."""
        return next(iter(self.sizes))

    @property
    def reads_texts(self) -> bool:
        """Whether it has a text encoder."""
        return self.layout in ("dual", "text", "served")

    @property
    def reads_pictures(self) -> bool:
        """Whether it has a vision model."""
        return self.layout not in ("text", "served")

    @property
    def poolings_of_texts(self) -> tuple[Pooling, ...]:
        """The ways to pool the tokens of a text; empty if it reads none."""
        if self.layout == "dual":
            return ("c", "g")
        return tuple(self.sizes) if self.reads_texts else ()

    def size(self, pooling: Pooling) -> int:
        """Length of a vector.

        Raises:
            ConfigurationError: The checkpoint has no such vectors.
        """
        if pooling not in self.sizes:
            raise ConfigurationError(
                f"{keyword('pooling', pooling)}: {self.model} gives vectors pooled by"
                f" {', '.join(self.sizes)}."
            )
        return self.sizes[pooling]


def load_encoder(model: str, revision: str | None = None) -> Encoder:
    """Reads a checkpoint's config and checks that its files are present.

    Args:
        model: A local folder, a folder in a store such as ``s3://bucket/checkpoint``, or a name on
            the Hugging Face Hub such as ``OpenGVLab/InternViT-300M-448px``. Only config and
            tokenizer are fetched.
        revision: Branch, tag or commit on the Hub. Default: the branch main.

    Raises:
        ConfigurationError: The folder is no checkpoint that gives vectors, or an incomplete one.
    """
    place = place_of(model, revision)
    folder = place.configs()
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    try:
        if kind == "intern_vit_6b":
            return _vision(model, folder, config, place)
        if kind == "internvl" and "qllama_config" in config:
            return _dual(model, folder, config, place)
        if kind in ("internvl_chat", "internvl"):
            return _chat(load_checkpoint(model, revision, place), config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigurationError(
            f"{keyword('model', model)}: config.json is not as published: {type(error).__name__}"
            f" {error}. Download the checkpoint's config.json again."
        ) from error
    raise ConfigurationError(
        f"{keyword('model', model)}: config.json has model_type {kind!r}; in plain torch, vectors"
        " come from an InternViT ('intern_vit_6b'), from InternVL-14B-224px ('internvl') and from"
        f" the chat checkpoints ('internvl_chat'). {keyword('engine', 'vllm')} runs other encoders"
        " of texts."
    )


def _vision(model: str, folder: Path, config: dict[str, Any], place: Place) -> Encoder:
    _check_weights(folder, model)
    hidden = int(config["hidden_size"])
    return Encoder(
        model=model,
        layout="vision",
        config=config,
        tile_size=int(config["image_size"]),
        sizes={"class": hidden, "mean": hidden, "none": hidden},
        fit=_fit_of(folder),
        use_thumbnail=False,
        dtype=_dtype(config),
        place=place,
    )


def _dual(model: str, folder: Path, config: dict[str, Any], place: Place) -> Encoder:
    _check_weights(folder, model)
    vision, shared = config["vision_config"], int(config["clip_embed_dim"])
    hidden = int(vision["hidden_size"])
    if config.get("use_backbone_lora") or config.get("use_qllama_lora"):
        raise ConfigurationError(
            f"{keyword('model', model)}: config.json asks for LoRA adapters beside the weights."
            " Merge them first."
        )
    return Encoder(
        model=model,
        layout="dual",
        config=config,
        tile_size=int(config.get("force_image_size") or vision["image_size"]),
        sizes={"c": shared, "g": shared, "class": hidden, "mean": hidden, "none": hidden},
        fit=_fit_of(folder),
        use_thumbnail=False,
        dtype=_dtype(config),
        place=place,
    )


def _chat(checkpoint: Checkpoint, config: dict[str, Any]) -> Encoder:
    if checkpoint.quantization in ("bitsandbytes",):
        raise ConfigurationError(
            f"{keyword('model', checkpoint.model)}: its vision model is quantised"
            f" ({checkpoint.quantization}), which plain torch does not run. Use the checkpoint that"
            " it was made from."
        )
    hidden = checkpoint.architecture.vision.hidden
    return Encoder(
        model=checkpoint.model,
        layout="native_chat" if checkpoint.layout == "internvl" else "chat",
        config=config,
        tile_size=checkpoint.tile_size,
        sizes={
            "projected": checkpoint.architecture.language.hidden,
            "class": hidden,
            "mean": hidden,
            "none": hidden,
        },
        fit="pad" if checkpoint.pad_to_square else "stretch",
        use_thumbnail=checkpoint.use_thumbnail,
        dtype=checkpoint.dtype,
        place=checkpoint.place,
    )


def _fit_of(folder: Path) -> Fit:
    """As the image processor of the model card does it: the published ones crop."""
    path = folder / "preprocessor_config.json"
    crops = read_json(path).get("do_center_crop", True) if path.is_file() else True
    return "crop" if crops else "stretch"


def _check_weights(folder: Path, model: str) -> None:
    if Path(model).is_dir():
        weights.check_weights(folder, model)


def _dtype(config: Mapping[str, Any]) -> str:
    return str(config.get("torch_dtype") or config.get("dtype") or "bfloat16")
