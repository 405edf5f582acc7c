"""Quantised checkpoints on the real engine. What CPUs cannot run is tested up to vLLM's own
configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from testing.awq import quantise
from testing.running_engine import RunningEngine
from testing.tiny import make_tiny_checkpoint
from tests.reference.internvl import ReferenceInternVL

TOLERANCE = 0.5  # of log-probabilities, in bfloat16
NOTICED = 1.0


def differences(
    folder: Path, references: list[ReferenceInternVL], **engine_args: Any
) -> list[float]:
    """Largest difference of a log-probability from each reference."""
    checkpoint = load_checkpoint(str(folder))
    renderer, size = Renderer(checkpoint), checkpoint.tile_size
    tiles = np.random.default_rng(0).integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    rendered = renderer.render("Describe.", [3])
    running = RunningEngine(VllmEngine(checkpoint, engine_args=engine_args))
    try:
        request = Request("quantised", rendered.token_ids, tiles, rendered.images, ["picture"])
        answer = running.generate(request, Sampling(4, ignore_stop=True, logprobs=5))
    finally:
        running.close()
    found = []
    for reference in references:
        context_id = renderer.tokenizer.image_context_id
        expected = reference.logprobs(rendered.token_ids, answer.token_ids[:-1], tiles, context_id)
        positions = enumerate(answer.logprobs)
        found.append(
            max(
                abs(float(expected[at, token]) - value)
                for at, top in positions
                for token, value in top.items()
            )
        )
    return found


@pytest.mark.slow
def test_awq_computes_with_the_quantised_weights(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path / "model")
    right, wrong = (ReferenceInternVL(folder, torch.bfloat16) for _ in range(2))
    for name, value in quantise(folder).items():
        right.weights[name] = value.to(torch.bfloat16)
        # a zero point off by some steps
        wrong.weights[name] = (value + value.abs().mean()).to(torch.bfloat16)
    close, far = differences(folder, [right, wrong])
    assert close < TOLERANCE
    assert far > NOTICED


@pytest.mark.slow
def test_int8_on_load(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path / "model")
    reference = ReferenceInternVL(folder, torch.bfloat16)
    assert (
        differences(folder, [reference], quantization="int8_per_channel_weight_only")[0] < TOLERANCE
    )


def test_fp8_on_load_is_refused_where_there_is_no_gpu(checkpoint: Checkpoint) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigurationError, match="CPUs cannot compute with it"):
        asyncio.run(VllmEngine(checkpoint, engine_args={"quantization": "fp8"}).start())


@pytest.mark.slow
def test_fp8_on_load_reaches_vllms_configuration(checkpoint: Checkpoint) -> None:
    """As far as a machine without a GPU goes."""
    from vllm import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    from internvl_ops.models import vllm_plugin

    vllm_plugin.make_findable()
    vllm_plugin.register()
    arguments = VllmEngine(checkpoint, engine_args={"quantization": "fp8"})._arguments()
    config = AsyncEngineArgs(**arguments).create_engine_config(UsageContext.LLM_CLASS)
    assert config.model_config.quantization == "fp8"


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_fp8_on_load(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path / "model")
    assert (
        differences(folder, [ReferenceInternVL(folder, torch.bfloat16)], quantization="fp8")[0]
        < 2 * TOLERANCE
    )
