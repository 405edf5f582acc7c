"""LoRA adapters: reads their files and checks that they fit the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints import weights
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.family.registry import REGISTRY

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Kinds of adapter, by their key in the config, that vLLM refuses only at the first request.
UNSUPPORTED_KINDS = ("use_dora", "lora_bias", "alora_invocation_tokens", "layer_replication",
                     "use_bdlora", "use_qalora", "modules_to_save")  # fmt: skip
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the maximum ranks that vLLM offers

# Modules whose input is as wide as the language model.
_WIDTH = re.compile(
    r"\.(q_proj|k_proj|v_proj|qkv_proj|wqkv|gate_proj|up_proj|gate_up_proj|w1|w3)\.lora_A\b"
)
_LANGUAGE_LAYER = re.compile(r"language_model\.(?:base_model\.)?(?:model\.)*layers\.(\d+)\.")


@dataclass(frozen=True)
class Adapter:
    """One adapter.

    Attributes:
        name: Its name in results.
        path: Its folder.
        rank: The maximum rank that vLLM must be started with.
        sees: Whether it also changes the vision model or the projector.
    """

    name: str
    path: str
    rank: int
    sees: bool


def load_adapter(option: str, checkpoint: Checkpoint) -> Adapter:
    """Reads an adapter in the format in which PEFT saves it.

    Args:
        option: ``PATH`` or ``NAME=PATH`` of its folder, the same on every node.
        checkpoint: The checkpoint that it is for.

    Raises:
        ConfigurationError: It is missing, incomplete, not a LoRA adapter, or for another
            checkpoint.
    """
    said = keyword("lora", option)
    name, _, path = option.rpartition("=")
    folder = Path(path)
    missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise ConfigurationError(
            f"{said}: no {' and no '.join(missing)} in {folder}. Name the folder that PEFT's"
            " save_pretrained wrote."
        )
    config = read_json(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise ConfigurationError(
            f"{said}: is an adapter of type {config.get('peft_type')!r}; allowed is LORA."
        )
    if named := [name for name in UNSUPPORTED_KINDS if config.get(name)]:
        raise ConfigurationError(
            f"{said}: {CONFIG} has {', '.join(named)}, which vLLM does not read. Merge the adapter"
            f" into its checkpoint (PEFT's merge_and_unload) and name that with {keyword('model')}."
        )
    if fault := weights.fault(folder / WEIGHTS):
        raise ConfigurationError(f"{said}: {WEIGHTS} {fault}. Copy it again.")
    shapes = weights.shapes(folder / WEIGHTS)
    rank = max((shape[0] for module, shape in shapes.items() if ".lora_A" in module), default=0)
    # vLLM goes by the config's rank
    rank = max(rank, config["r"]) if isinstance(config.get("r"), int) else rank
    if not 0 < rank <= RANKS[-1]:
        raise ConfigurationError(f"{said}: is of rank {rank}; allowed is 1 to {RANKS[-1]}.")
    _check_base(said, str(config.get("base_model_name_or_path") or ""), shapes, checkpoint)
    return Adapter(
        name=name or folder.name,
        path=str(folder),
        rank=next(room for room in RANKS if rank <= room),
        sees=any(
            "vision_" in module or ".mlp1." in module or "projector" in module for module in shapes
        ),
    )


def check_room(adapter: Adapter, option: str, engine_args: Mapping[str, Any]) -> None:
    """Checks that the user's own arguments leave vLLM the room that the adapter needs; without it,
    all requests fail.

    Raises:
        ConfigurationError: They do not.
    """
    said, given = keyword("lora", option), keyword("engine_args")
    room = engine_args.get("max_lora_rank")
    if isinstance(room, int) and room < adapter.rank:
        raise ConfigurationError(
            f"{said}: needs room for rank {adapter.rank}; {given} has max_lora_rank {room}. "
            "Leave it out: the room follows from the adapter."
        )
    switches = [
        "enable_lora",
        "max_loras",
        *(["enable_tower_connector_lora"] if adapter.sees else []),
    ]
    for name in switches:
        if name in engine_args and not engine_args[name]:
            raise ConfigurationError(
                f"{said}: {given} has {name} {engine_args[name]!r}, with which vLLM applies the"
                " adapter in part or not at all. Leave it out."
            )


def _check_base(said: str, base: str, shapes: dict[str, list[int]], checkpoint: Checkpoint) -> None:
    """Compares the sizes of its matrices, whatever its folder is called, and the names where both
    are published."""
    language = checkpoint.architecture.language
    for module, shape in shapes.items():
        if "vision_" not in module and _WIDTH.search(module) and shape[1] != language.hidden:
            raise ConfigurationError(
                f"{said}: {module} is for a language model {shape[1]} wide, that of"
                f" {checkpoint.model} is {language.hidden} wide. It was trained on"
                f" {base or 'another checkpoint'}."
            )
        layer = _LANGUAGE_LAYER.search(module)
        if layer and int(layer[1]) >= language.layers:
            raise ConfigurationError(
                f"{said}: {module} is of layer {layer[1]}, the language model of {checkpoint.model}"
                f" has {language.layers}. It was trained on {base or 'another checkpoint'}."
            )
    published = {name for entry in REGISTRY for name in entry.names}
    trained_on, given = (
        base.rstrip("/").rpartition("/")[2],
        checkpoint.model.rstrip("/").rpartition("/")[2],
    )
    if trained_on != given and {trained_on, given} <= published:
        raise ConfigurationError(
            f"{said}: was trained on {base}, {keyword('model')} is {checkpoint.model}. Name its own"
            f" base with {keyword('model')}."
        )
