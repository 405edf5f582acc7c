"""An adapter that vLLM would refuse at each request is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.lora import check_room, load_adapter


def write(
    folder: Path, checkpoint: Checkpoint, rank: int = 8, *, sees: bool = False, **config: Any
) -> str:
    folder.mkdir(exist_ok=True)
    name = (
        "vision_model.encoder.layers.0.attn.proj"
        if sees
        else "language_model.model.layers.0.self_attn.q_proj"
    )
    width = checkpoint.architecture.language.hidden
    save_file({f"base_model.model.{name}.lora_A.weight": np.zeros((rank, width), np.float32)},
              folder / "adapter_model.safetensors")  # fmt: skip
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": rank} | config)
    )
    return str(folder)


@pytest.mark.parametrize(
    ("sees", "engine_args", "said"),
    [
        (False, {"max_lora_rank": 8}, "`engine_args` has max_lora_rank 8"),
        (False, {"enable_lora": False}, "enable_lora False"),
        (False, {"max_loras": 0}, "max_loras 0"),
        (True, {"enable_tower_connector_lora": False}, "enable_tower_connector_lora False"),
        (False, {"enable_tower_connector_lora": False}, None),
        (True, {"max_lora_rank": 64, "max_loras": 2, "enable_lora": True}, None),
        (False, {}, None),
    ],
)
def test_the_users_arguments_leave_room(
    tmp_path: Path, checkpoint: Checkpoint, sees: bool, engine_args: dict, said: str | None
) -> None:
    adapter = load_adapter(write(tmp_path / "a", checkpoint, 12, sees=sees), checkpoint)
    if said is None:
        check_room(adapter, "a", engine_args)
        return
    with pytest.raises(ConfigurationError, match="`lora`=a: ") as refused:
        check_room(adapter, "a", engine_args)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "config",
    [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"layer_replication": [[0, 1]]}],
    ids=repr,
)
def test_kinds_that_vllm_does_not_read(
    tmp_path: Path, checkpoint: Checkpoint, config: dict
) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(config))):
        load_adapter(write(tmp_path / "a", checkpoint, **config), checkpoint)


def test_room_is_for_the_rank_that_the_config_says_too(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    assert load_adapter(write(tmp_path / "a", checkpoint, 8, r=60), checkpoint).rank == 64
    plain = write(tmp_path / "b", checkpoint, 8, use_dora=False, modules_to_save=None)
    assert load_adapter(plain, checkpoint).rank == 8
