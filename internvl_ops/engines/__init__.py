"""Engines: they run the model and generate answers."""

from collections.abc import Callable

from internvl_ops.engines.base import Completion, Engine, EngineDead, Request, Sampling
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.engines.vllm import VllmEngine

ENGINES: dict[str, Callable[..., Engine]] = {"vllm": VllmEngine, "transformers": TransformersEngine}

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
