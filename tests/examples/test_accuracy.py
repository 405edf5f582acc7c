"""nano-InternVL sees through the pipeline's own parts; and whoever breaks one of them is found
out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.accuracy import CHECKPOINT
from benchmarks.mistakes import MUTATIONS, Guard
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.models.checkpoints.config import load_checkpoint
from testing.running_engine import RunningEngine

COUNT = 30
# Lowest share that passes; of text the highest share of wrong characters.
LIMITS = {"caption": 0.8, "line": 0.12, "ground": 0.85, "video": 0.75}


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    checkpoint = load_checkpoint(str(CHECKPOINT))
    running = RunningEngine(VllmEngine(checkpoint))
    yield Guard(running, checkpoint, tmp_path_factory.mktemp("held-out"), COUNT)
    running.close()


def failing(scores: dict[str, float]) -> list[str]:
    """Tasks whose score is beyond its limit."""
    return [task for task, limit in LIMITS.items() if (scores[task] > limit) == (task == "line")]


def test_it_captions_reads_finds_and_watches(guard: Guard) -> None:
    assert failing(guard.scores()) == []


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mistake_in_the_pipeline_is_told_by_accuracy(guard: Guard, mutation: str) -> None:
    scores = guard.scores(MUTATIONS[mutation])
    assert failing(scores), scores
