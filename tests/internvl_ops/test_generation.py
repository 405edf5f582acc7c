"""Conversations with the real engine and a tiny checkpoint: turns, samples, forms, stop texts,
answers that loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from internvl_ops.generation import Generator, Retries
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.rendered import RenderedConversation, Shown
from internvl_ops.replies import Reply
from internvl_ops.tasks.forms import problem_of, repair_question
from testing.running_engine import RunningEngine

FREE = Sampling(max_new_tokens=12)
SCHEMA = json.dumps({
    "type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"],
    "additionalProperties": False
})  # fmt: skip


@pytest.fixture(scope="module")
def renderer(checkpoint: Checkpoint) -> Renderer:
    return Renderer(checkpoint)


@pytest.fixture(scope="module")
def tiles(checkpoint: Checkpoint) -> np.ndarray:
    side = checkpoint.tile_size
    return np.random.default_rng(3).integers(0, 256, (3, 3, side, side), dtype=np.uint8)


def rendered(
    renderer: Renderer, *questions: str, num_tiles: Sequence[int] = (3,), sampling: Sampling = FREE
):
    first, *others = questions
    prompt = renderer.render(first, num_tiles)
    repair = repair_question(sampling)
    return RenderedConversation(
        prompt.token_ids,
        prompt.images,
        [renderer.follow_up(question) for question in others],
        None if repair is None else renderer.follow_up(repair),
        sampling,
    )


class Having:
    """Has conversations with the running engine."""

    def __init__(self, engine: RunningEngine, renderer: Renderer, tiles: np.ndarray) -> None:
        self._engine, self._renderer, self._tiles = engine, renderer, tiles

    def __call__(
        self, *conversations: RenderedConversation, **options: object
    ) -> list[list[list[Reply]]]:
        options = {"retries": Retries(times=0)} | options
        generator = Generator(self._engine.engine, self._renderer.tokenizer, **options)  # type: ignore[arg-type]
        hashes = ["noise"] if conversations[0].images else []
        return self._engine.run(
            generator.answer("unit", conversations, Shown(self._tiles if hashes else None, hashes))
        )

    def text(self, reply: Reply) -> str:
        if reply.text is not None:
            return reply.text
        return self._renderer.tokenizer.decode(reply.token_ids, keep_special=True)


@pytest.fixture(scope="module")
def have(vllm_engine: RunningEngine, renderer: Renderer, tiles: np.ndarray) -> Having:
    return Having(vllm_engine, renderer, tiles)


class TestTurns:
    def test_a_question_sees_what_was_said_before(
        self, have: Having, renderer: Renderer, vllm_engine, tiles
    ) -> None:
        ((first, second),) = have(rendered(renderer, "What?", "Why?"))[0]
        said = [token for token in first.token_ids if token not in renderer.tokenizer.stop_ids]
        start = renderer.render("What?", [3])
        whole = np.concatenate(
            [start.token_ids, np.asarray(said, np.int32), renderer.follow_up("Why?")]
        )
        alone = vllm_engine.generate(Request("alone", whole, tiles, start.images, ["noise"]), FREE)
        assert second.token_ids == alone.token_ids
        assert second.prompt_tokens == len(whole)

    def test_a_follow_up_is_what_the_template_says(self, renderer: Renderer) -> None:
        history = renderer.render("Why?", [3], [("What?", "a car")])
        pieces = [
            renderer.render("What?", [3]).token_ids,
            renderer.tokenizer.encode("a car", start=False),
        ]
        assert np.array_equal(
            np.concatenate([*pieces, renderer.follow_up("Why?")]), history.token_ids
        )

    def test_text_alone(self, have: Having, renderer: Renderer) -> None:
        (((reply,),),) = have(rendered(renderer, "What is two and two?", num_tiles=()))
        assert reply.completion_tokens > 0

    def test_conversations_do_not_see_each_other(self, have: Having, renderer: Renderer) -> None:
        one, other = rendered(renderer, "What?"), rendered(renderer, "Where is it?")
        together = [samples[0][0].token_ids for samples in have(one, other)]
        assert together == [have(each)[0][0][0].token_ids for each in (one, other)]


class TestSamples:
    def test_draws_differ_and_can_be_repeated(self, have: Having, renderer: Renderer) -> None:
        asked = rendered(renderer, "What?", sampling=Sampling(12, temperature=1.0, seed=5))
        drawn = [[turns[0].token_ids for turns in have(asked, samples=3)[0]] for _ in range(2)]
        assert drawn[0] == drawn[1]
        assert len({tuple(ids) for ids in drawn[0]}) == 3

    def test_log_probabilities_are_those_of_the_answers_tokens(
        self, have: Having, renderer, vllm_engine, tiles
    ) -> None:
        asked = rendered(renderer, "What?", sampling=Sampling(6, logprobs=0, ignore_stop=True))
        reply = have(asked)[0][0][0]
        request = Request("top", asked.token_ids, tiles, asked.images, ["noise"])
        top = vllm_engine.generate(request, Sampling(6, logprobs=5, ignore_stop=True))
        # Greedy: each token is the likeliest at its place.
        assert reply.mean_logprob == pytest.approx(
            np.mean([max(at.values()) for at in top.logprobs]), abs=1e-4
        )


class TestForms:
    def test_an_answer_is_one_of_the_choices(self, have: Having, renderer: Renderer) -> None:
        asked = rendered(
            renderer, "Is it red?", sampling=Sampling(12, choices=("yes", "certainly not"))
        )
        assert have.text(have(asked)[0][0][0]) in ("yes", "certainly not")

    def test_only_the_last_answer_is_held_to_a_form(self, have: Having, renderer: Renderer) -> None:
        asked = rendered(
            renderer, "What?", "Is it red?", sampling=Sampling(12, choices=("yes", "no"))
        )
        first, last = have(asked)[0][0]
        assert have.text(last) in ("yes", "no")
        assert have.text(first) not in ("yes", "no")

    def test_an_answer_that_was_cut_off_is_asked_for_once_more(
        self, have: Having, renderer: Renderer
    ) -> None:
        sampling = Sampling(2, json_schema=SCHEMA)  # no room for {"n": 1}
        reply = have(rendered(renderer, "How many?", sampling=sampling))[0][0][0]
        assert problem_of(have.text(reply), sampling) is not None
        assert reply.attempts == 2
        assert reply.prompt_tokens > len(renderer.render("How many?", [3]).token_ids)


class TestEnds:
    def test_a_stop_text_ends_the_answer_and_is_not_in_it(
        self, have: Having, renderer: Renderer
    ) -> None:
        long = Sampling(120, ignore_stop=True)
        asked = rendered(renderer, "What?", sampling=long)
        whole = have.text(have(asked, stop=())[0][0][0])
        stop = whole[10:14]
        reply = have(asked, stop=(stop,))[0][0][0]
        assert have.text(reply) == whole[: whole.index(stop)]
        assert reply.finish_reason == "stop"
        assert reply.completion_tokens < 120

    def test_an_answer_that_loops_is_ended_early_and_marked(
        self, have: Having, renderer: Renderer
    ) -> None:
        # Greedy, a model with random weights ends in a loop sooner or later; ignore_stop keeps it
        # going.
        asked = rendered(renderer, "What?", sampling=Sampling(3000, ignore_stop=True))
        reply = have(asked)[0][0][0]
        assert reply.finish_reason == "repetition"
        assert reply.completion_tokens < 3000

    def test_whoever_listens_hears_the_answer_grow(self, have: Having, renderer: Renderer) -> None:
        heard: list[str] = []
        asked = rendered(renderer, "What?", sampling=Sampling(60, ignore_stop=True))
        reply = have(asked, listener=heard.append)[0][0][0]
        assert len(heard) > 1
        assert all(len(one) <= len(other) for one, other in pairwise(heard))
        whole = renderer.tokenizer.decode(reply.token_ids)
        assert whole.startswith(heard[0][:-4])


class ScriptedEngine:
    """Stands in for an engine: its answers are written beforehand. For what a real one does too
    seldom to be tested."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        self._answers = list(answers)
        self.temperatures: list[float] = []

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        self.temperatures.append(sampling.temperature)
        text, reason = self._answers.pop(0)
        return Completion(
            [], len(request.token_ids), reason, text=text, completion_tokens=len(text.split())
        )


class TestRetries:
    LOOP = "the car is red and " * 60

    async def _reply(self, renderer: Renderer, engine: ScriptedEngine, **options: object) -> Reply:
        generator = Generator(engine, renderer.tokenizer, **options)  # type: ignore[arg-type]
        asked = rendered(renderer, "What?", num_tiles=())
        return (await generator.answer("unit", [asked], Shown()))[0][0][0]  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("answers", "options", "kept", "reason", "temperatures"),
        [
            ([("a car", "stop")], {}, "a car", "stop", [0]),
            ([(LOOP, "length"), ("a car", "stop")], {}, "a car", "stop", [0, 0.2]),
            ([("a long", "length"), ("a car", "stop")], {}, "a car", "stop", [0, 0.2]),
            ([("a long", "length")], {"retries": Retries(cut=False)}, "a long", "length", [0]),
            (
                [(LOOP, "length"), ("a long", "length"), (LOOP, "stop")],
                {},
                "a long",
                "length",
                [0, 0.2, 0.5],
            ),
            (
                [(LOOP, "stop"), (LOOP + "!", "stop"), (LOOP, "stop")],
                {},
                LOOP,
                "repetition",
                [0, 0.2, 0.5],
            ),
            ([(LOOP, "stop")], {"retries": Retries(times=0)}, LOOP, "repetition", [0]),
        ],
    )
    def test_the_best_of_a_few_attempts_is_kept(
        self, renderer, vllm_engine, answers, options, kept, reason, temperatures
    ) -> None:
        engine = ScriptedEngine(*answers)
        reply = vllm_engine.run(self._reply(renderer, engine, **options))
        assert (reply.text, reply.finish_reason) == (kept, reason)
        assert engine.temperatures == temperatures
        assert reply.attempts == len(temperatures)
