"""How likely a model is to answer with each of some texts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.candidates import Ids, candidate_ids, log_probabilities
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from testing.running_engine import RunningEngine

SCALE = tuple(map(str, range(11)))
LABELS = ("cat", "cat food", "a dog", "Katze")


@pytest.fixture(scope="module")
def transformers_engine(checkpoint: Checkpoint) -> Iterator[RunningEngine]:
    running = RunningEngine(TransformersEngine(checkpoint, engine_args={"dtype": "float32"}))
    yield running
    running.close()


def asked(checkpoint: Checkpoint, tiles: int) -> Request:
    rendered = Renderer(checkpoint).render("How good is it, from 0 to 10?", [tiles] * bool(tiles))
    size = checkpoint.tile_size
    drawn = (
        np.random.default_rng(1).integers(0, 256, (tiles, 3, size, size), np.uint8)
        if tiles
        else None
    )
    return Request("asked", rendered.token_ids, drawn, rendered.images, ["picture"] * bool(tiles))


@pytest.mark.parametrize("tiles", [0, 2])
@pytest.mark.parametrize("candidates", [SCALE, LABELS], ids=["scale", "labels"])
def test_two_engines_give_the_same(
    checkpoint: Checkpoint,
    vllm_engine: RunningEngine,
    transformers_engine: RunningEngine,
    candidates: tuple[str, ...],
    tiles: int,
) -> None:
    request = asked(checkpoint, tiles)
    sampling = Sampling(4, candidates=candidates)
    ours = vllm_engine.generate(request, sampling)
    theirs = transformers_engine.generate(request, sampling)
    assert ours.token_ids == theirs.token_ids
    assert ours.candidates == pytest.approx(theirs.candidates, abs=1e-3)
    assert 0 < sum(map(math.exp, ours.candidates)) < 1


def test_they_are_what_the_answer_itself_has(
    checkpoint: Checkpoint, vllm_engine: RunningEngine
) -> None:
    """A candidate of one token, against the log-probabilities of a generated token."""
    request = asked(checkpoint, 0)
    answer = vllm_engine.generate(request, Sampling(1, logprobs=20, ignore_stop=True))
    tokenizer = Tokenizer(checkpoint)
    texts = {tokenizer.decode([token], keep_special=True): token for token in answer.logprobs[0]}
    likely = tuple(
        text
        for text, token in texts.items()
        if candidate_ids_or_none(tokenizer, text) == [(token,)]
    )
    assert likely
    again = vllm_engine.generate(
        replace(request, request_id="again"), Sampling(1, candidates=likely)
    )
    assert again.candidates == pytest.approx(
        [answer.logprobs[0][texts[text]] for text in likely], abs=1e-4
    )


def candidate_ids_or_none(tokenizer: Tokenizer, text: str) -> list[Ids] | None:
    try:
        return candidate_ids(tokenizer, [text])
    except ConfigurationError:
        return None


def test_a_candidate_that_a_longer_one_begins_with_has_what_is_left() -> None:
    chances = {(): {1: 0.5, 2: 0.3}, (1,): {0: 0.4}, (1, 0): {0: 0.5}}
    found = computed([(1,), (2,), (1, 0), (1, 0, 0)], chances)
    assert found == pytest.approx([0.5 * 0.6, 0.3, 0.5 * 0.4 * 0.5, 0.5 * 0.4 * 0.5])


def test_a_candidate_that_always_goes_on_has_nothing() -> None:
    assert computed([(1,), (1, 0)], {(): {1: 0.5}, (1,): {0: 1.0}}) == [0, 0.5]


def computed(candidates: Sequence[Ids], chances: dict[Ids, dict[int, float]]) -> list[float]:
    async def next_tokens(prefix: Ids, tokens: Sequence[int]) -> list[float]:
        return [math.log(chances[prefix][token]) for token in tokens]

    return [math.exp(one) for one in asyncio.run(log_probabilities(candidates, next_tokens))]


def test_a_number_is_one_answer_whether_it_is_one_token_or_two(checkpoint: Checkpoint) -> None:
    tokenizer = Tokenizer(checkpoint)
    ids = candidate_ids(tokenizer, SCALE)
    assert [tokenizer.decode(one) for one in ids] == list(SCALE)


def test_special_tokens_in_a_candidate_are_text(checkpoint: Checkpoint) -> None:
    tokenizer = Tokenizer(checkpoint)
    (ids,) = candidate_ids(tokenizer, ["<|im_end|>"])
    assert not set(ids) & set(tokenizer.stop_ids)


def test_candidates_that_cannot_be_told_apart_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigurationError, match="cannot tell the answer 'cat' from 'cat'"):
        candidate_ids(Tokenizer(checkpoint), ["cat", "cat"])
