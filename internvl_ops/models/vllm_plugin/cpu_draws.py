"""Seeded draws on a CPU, where vLLM cannot take one back.

A prompt that is read in several steps draws a token in each. vLLM takes back all but the last by
turning the request's random generator back by one draw. Only CUDA's generators support that: on a
CPU, torch raises "CPU Generator does not use offset" (vLLM 0.32), which ends the engine for all
requests.
"""

from __future__ import annotations

from typing import Any

_patched = False


def reset_generator() -> None:
    """Resets a request's generator to its seed instead: no draw before the end of its prompt is
    kept anyway.

    Call this in the worker's process, once its runner is imported. Safe to call again.
    """
    global _patched
    if _patched:
        return
    _patched = True
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner  # the base class of the CPU runner

    bookkeeping = GPUModelRunner._bookkeeping_sync

    def without_turning(self: Any, *args: Any, **kwargs: Any) -> Any:
        generators = self.input_batch.generators
        taken_back = {
            row: generators.pop(row)
            for row in list(generators)
            if self.discard_request_mask.np[row]
        }
        for generator in taken_back.values():
            generator.manual_seed(generator.initial_seed())
        try:
            return bookkeeping(self, *args, **kwargs)
        finally:
            generators.update(taken_back)

    GPUModelRunner._bookkeeping_sync = without_turning  # type: ignore[method-assign]
