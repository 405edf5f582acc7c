"""Faults inside a real vLLM engine, put there by its own extension point for logits processors.

Given to a job as ``--engine-args '{"logits_processors": ["testing.engine_faults:EngineFaults"]}'``.
Two environment variables name files: a line is added to the first at each fault; while the second
is there, the next step with more than one request runs out of memory, and takes it away.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

FIRED, NO_MEMORY = "ENGINE_FAULTS_FIRED", "ENGINE_FAULTS_NO_MEMORY"
POISON, OUT_OF_MEMORY = "poison", "out of memory"
POISONOUS = 13_131_313  # a seed: the request that has it kills the engine


class EngineFaults(LogitsProcessor):
    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        pass

    def is_argmax_invariant(self) -> bool:
        return True

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return logits

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is None:
            return
        params: list[SamplingParams] = [added[1] for added in batch_update.added]
        if any(one.seed == POISONOUS for one in params):
            _note(POISON)
            os.kill(os.getpid(), signal.SIGKILL)
        flag = os.environ.get(NO_MEMORY)
        if flag and batch_update.batch_size > 1 and Path(flag).exists():
            Path(flag).unlink()
            _note(OUT_OF_MEMORY)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB (staged).")


def _note(fault: str) -> None:
    with open(os.environ[FIRED], "a") as file:
        file.write(f"{fault}\n")
