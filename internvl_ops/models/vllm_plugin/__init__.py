"""The vLLM plugin: runs InternVL checkpoints without remote code, and feeds them uint8 tiles.

vLLM runs `register` in each of its processes. It finds `register` by entry point: that of the
installed package, or, if the project runs from its sources, that in the folder `entry_point` beside
this file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

NAME = "internvl_batch"  # name of the entry point
_ENTRY_POINT_FOLDER = Path(__file__).parent / "entry_point"
_SOURCE_FOLDER = Path(__file__).parents[3]


def register() -> None:
    """Registers checkpoints of both layouts with transformers and vLLM. Safe to call again."""
    from transformers import AutoConfig
    from vllm import ModelRegistry

    from internvl_ops.models.vllm_plugin.hf_config import InternVLChatConfig, InternVLNativeConfig
    from internvl_ops.models.vllm_plugin.orphans import end_with_parent

    end_with_parent()
    AutoConfig.register("internvl_chat", InternVLChatConfig, exist_ok=True)
    AutoConfig.register("internvl", InternVLNativeConfig, exist_ok=True)
    # By name: importing the class here would initialise CUDA in a process that will fork later.
    module = "internvl_ops.models.vllm_plugin.model"
    ModelRegistry.register_model("InternVLChatModel", f"{module}:TiledInternVLChatModel")
    ModelRegistry.register_model(
        "InternVLForConditionalGeneration", f"{module}:TiledNativeInternVLModel"
    )


def make_findable() -> None:
    """Makes the plugin findable for every process that this one starts, installed or not.

    The path is put first in `sys.path`, which spawned processes inherit, and in PYTHONPATH, which
    other processes use: vLLM inspects a model class in a fresh interpreter.
    """
    folders = [str(_SOURCE_FOLDER), str(_ENTRY_POINT_FOLDER)]
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    known = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [folder for folder in folders if folder not in known] + known
    )
    chosen = os.environ.get("VLLM_PLUGINS")
    if chosen is not None and NAME not in chosen.split(","):
        os.environ["VLLM_PLUGINS"] = ",".join(filter(None, [chosen, NAME]))
