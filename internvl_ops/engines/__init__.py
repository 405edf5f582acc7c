"""What runs the model."""

from internvl_ops.engines.base import Completion, Engine, EngineDead, Request, Sampling
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.engines.vllm import VllmEngine

ENGINES = {"vllm": VllmEngine, "transformers": TransformersEngine}

__all__ = ["ENGINES", "Completion", "Engine", "EngineDead", "Request", "Sampling", "TransformersEngine", "VllmEngine"]
