"""nano-InternVL in vLLM answers as it does in plain torch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from examples.nano import draw, evaluate, lessons, train
from examples.nano.held_out import FIRST_SEED
from examples.nano.sample_types import Sample
from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.models.checkpoints.config import load_checkpoint
from testing.running_engine import RunningEngine

FOLDER = Path(os.environ.get("NANO", Path(train.__file__).parent / "checkpoint"))
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="examples/nano/checkpoint is not there")


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    running = RunningEngine(VllmEngine(load_checkpoint(str(FOLDER))))
    yield running
    running.close()


@pytest.mark.slow
def test_the_engine_gives_the_answers_of_plain_torch(engine: RunningEngine) -> None:
    model, asker = train.load(FOLDER)
    samples = [draw.draw(task, FIRST_SEED + seed) for task in evaluate.TASKS for seed in range(12)]
    expected = evaluate.ask(model, asker, samples)

    async def answer(number: int, sample: Sample) -> str:
        tiles = lessons.tiles_of(sample)
        counts = [len(part) for part in tiles]
        rendered = asker.renderer.render(sample.question, counts, media=sample.media)
        hashes = [f"{number} {place}" for place in range(len(tiles))]
        request = Request(
            str(number), rendered.token_ids, np.concatenate(tiles), rendered.images, hashes
        )
        done = await engine.engine.generate(request, Sampling(evaluate.LONGEST))
        return asker.renderer.tokenizer.decode(done.token_ids, keep_special=True)

    async def every() -> list[str]:
        return list(
            await asyncio.gather(*(answer(number, sample) for number, sample in enumerate(samples)))
        )

    answers = engine.run(every())
    same = sum(ours == theirs.strip() for ours, theirs in zip(answers, expected, strict=True))
    assert same >= 0.9 * len(samples)  # both compute in bfloat16, in different order
