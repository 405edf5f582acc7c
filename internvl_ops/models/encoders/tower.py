"""InternViT in plain torch, alone or as the vision model of a chat checkpoint, with the projector
behind it.

The vision model is transformers' own class; the names of the published weights are translated by
`internvl_ops.models.checkpoints.native`. No code of a checkpoint runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints.named_weights import read_weights
from internvl_ops.models.checkpoints.native import native_vision_config, native_weights
from internvl_ops.models.checkpoints.pixels import normalised
from internvl_ops.models.encoders.config import Encoder, Pooling

_OF_TOWER = re.compile(r"^(?:model\.)?(?:vision_model|vision_tower)\.")
_OF_PROJECTOR = re.compile(r"^(?:model\.)?(?:mlp1|multi_modal_projector)\.")
# transformers' names of the projector's layers, and their places in the published one.
_PLACES = {"layer_norm": "0", "linear_1": "1", "linear_2": "3"}


class Tower(nn.Module):
    """The vision model with what stands behind it.

    Args:
        config: transformers' config of the vision model, as a mapping.
        projector: From the vision model to the language model; None if there is none, or it is not
            needed.
        layers: Number of layers that run; None runs them all. A chat checkpoint may use an earlier
            layer than the last.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        projector: nn.Module | None = None,
        layers: int | None = None,
    ):
        from transformers import InternVLVisionConfig, InternVLVisionModel

        super().__init__()
        values = dict(config) | ({} if layers is None else {"num_hidden_layers": layers})
        self.vision = InternVLVisionModel(InternVLVisionConfig(**values))
        self.projector = projector

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """The last hidden state.

        Args:
            tiles: uint8 of shape (tiles, 3, S, S).

        Returns:
            Of shape (tiles, 1 + patches, width); the class token is the first.
        """
        weight = self.vision.embeddings.cls_token
        hidden: torch.Tensor = self.vision(
            pixel_values=normalised(tiles).to(weight.dtype)
        ).last_hidden_state
        return hidden

    def pooled(self, tiles: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        """One vector for each tile.

        Args:
            tiles: uint8 of shape (tiles, 3, S, S).
            pooling: ``class``, the class token; ``mean``, the mean of all other tokens;
                ``projected``, the mean of the tokens that the language model gets.

        Returns:
            float32 of shape (tiles, size).
        """
        hidden = self(tiles)
        if pooling == "class":
            return hidden[:, 0].float()
        patches = hidden[:, 1:]
        if pooling == "projected":
            assert self.projector is not None, "only a tower with a projector gives such vectors"
            patches = self.projector(fours(patches))
        return patches.float().mean(1)


def fours(patches: torch.Tensor) -> torch.Tensor:
    """Puts four neighbouring patches side by side, as the family's pixel shuffle by a half does.

    Args:
        patches: Of shape (tiles, side · side, width), row by row.

    Returns:
        Of shape (tiles, side · side / 4, 4 · width), row by row.
    """
    side = round(patches.shape[1] ** 0.5)
    grid = patches.unflatten(1, (side // 2, 2, side // 2, 2))  # rows, of two, columns, of two
    return grid.permute(0, 1, 3, 2, 4, 5).flatten(1, 2).flatten(2)


def load_tower(encoder: Encoder, *, projected: bool = True) -> Tower:
    """Loads the vision model of a checkpoint, and its projector.

    Args:
        encoder: The checkpoint.
        projected: Whether the projector is needed.

    Raises:
        ConfigurationError: A weight is missing, or has another shape than config.json says.
    """
    folder, config = encoder.whole(), encoder.config
    chat = encoder.layout in ("chat", "native_chat")
    vision = config if encoder.layout == "vision" else config["vision_config"]
    values = dict(vision) if encoder.layout == "native_chat" else native_vision_config(vision)
    values["use_mean_pooling"] = True  # adds no further norm after the last layer
    layer = int(config.get("vision_feature_layer", config.get("select_layer", -1))) if chat else -1
    layers = int(values["num_hidden_layers"]) + 1 + layer if layer < 0 else layer
    with torch.device("meta"):
        projector = _projector(encoder) if chat and projected else None
        tower = Tower(values, projector, layers)
    weights = dict(_named(encoder, folder, projector is not None))
    unused = range(layers, int(values["num_hidden_layers"]))
    put_weights(
        tower,
        weights,
        encoder.model,
        spare=tuple(f"vision.encoder.layer.{number}." for number in unused),
    )
    return tower.to(getattr(torch, encoder.dtype)).eval()


def put_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], model: str, spare: tuple[str, ...] = ()
) -> None:
    """Gives a module on the device ``meta`` its weights.

    Args:
        module: The module.
        weights: By the module's names.
        model: The user's name for the checkpoint, for messages.
        spare: Beginnings of the names of weights that are not used.

    Raises:
        ConfigurationError: Some are missing or unknown, or have another shape.
    """
    needed = {name: weight.shape for name, weight in module.state_dict().items()}
    kept = {name: weight for name, weight in weights.items() if not name.startswith(spare)}
    faults = [f"{name} is missing" for name in sorted(needed.keys() - kept.keys())]
    faults += [f"{name} is unknown" for name in sorted(kept.keys() - needed.keys())]
    faults += [
        f"{name} has the shape {tuple(kept[name].shape)}, {tuple(shape)} is needed"
        for name, shape in sorted(needed.items())
        if name in kept and kept[name].shape != shape
    ]
    if faults:
        raise ConfigurationError(
            f"{keyword('model', model)}: {len(faults)} weights are not those of config.json:"
            f" {faults[0]}. Download them again."
        )
    module.load_state_dict(kept, assign=True)


def _projector(encoder: Encoder) -> nn.Module:
    width = 4 * encoder.sizes["mean"]
    size = encoder.sizes["projected"]
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, size), nn.GELU(), nn.Linear(size, size)
    )


def _named(encoder: Encoder, folder: Path, projected: bool) -> Iterable[tuple[str, torch.Tensor]]:
    """The weights by the names that they have in `Tower`."""
    alone = encoder.layout == "vision"

    def wanted(name: str) -> bool:
        return (
            alone
            or bool(_OF_TOWER.search(name))
            or (projected and bool(_OF_PROJECTOR.search(name)))
        )

    stored = read_weights(folder, wanted)
    published = ((f"vision_model.{name}" if alone else name, weight) for name, weight in stored)
    native = encoder.layout == "native_chat"
    for name, weight in published if native else native_weights({"llm_config": {}}, published):
        if _OF_PROJECTOR.search(name):
            layer, _, last = _OF_PROJECTOR.sub("", name).partition(".")
            yield f"projector.{_PLACES.get(layer, layer)}.{last}", weight
        else:
            yield f"vision.{_OF_TOWER.sub('', name)}", weight
