"""Engines: they run the model and generate answers."""

from collections.abc import Callable, Mapping
from typing import Any

from internvl_ops.engines.base import Completion, Engine, EngineDead, Request, Sampling
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.engines.vllm import VllmEngine

# For the name of each outcome (`internvl_ops.tasks.outcomes`) the engines that give such answers,
# by their names. The OpenAI engine, which gives texts, is made from a server's address and stands
# apart.
ENGINES: dict[str, Mapping[str, Callable[..., Engine[Any]]]] = {
    "text": {"vllm": VllmEngine, "transformers": TransformersEngine},
    "numbers": {},
}

__all__ = [
    "ENGINES",
    "Completion",
    "Engine",
    "EngineDead",
    "OpenAIEngine",
    "Request",
    "Sampling",
    "TransformersEngine",
    "VllmEngine",
]
