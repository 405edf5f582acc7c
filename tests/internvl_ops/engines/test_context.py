"""Nothing is asked or answered past the context that a checkpoint was trained for, whatever its
config promises."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from internvl_ops.engines.base import Chat, Completion, Request, Sampling, Watch
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.errors import UnitError
from internvl_ops.generation import Generator, Retries
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.rendered import RenderedConversation, Shown
from internvl_ops.serve import context_options
from testing.running_engine import RunningEngine

CONTEXT = 1024
DYNAMIC = {"type": "dynamic", "factor": 2.0}
SPELLINGS: dict[str, dict[str, Any]] = {
    "dynamic": {"rope_scaling": DYNAMIC},
    "dynamic as rope parameters": {
        "rope_parameters": {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 1e6}
    },
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "yarn": {
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": CONTEXT}
    },
    "null": {"rope_scaling": None},
}


def scaled(folder: Path, copy: Path, **language: Any) -> Checkpoint:
    """A copy of a checkpoint with another language model's config."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config["llm_config"] |= {"max_position_embeddings": CONTEXT} | language
    (copy / "config.json").write_text(json.dumps(config))
    return load_checkpoint(str(copy))


@pytest.fixture(scope="module")
def dynamic(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return scaled(
        tiny_checkpoint, tmp_path_factory.mktemp("dynamic") / "model", rope_scaling=DYNAMIC
    )


@pytest.fixture(scope="module", params=["vllm", "transformers"])
def engine(request: pytest.FixtureRequest, dynamic: Checkpoint) -> Iterator[RunningEngine]:
    made = {"vllm": VllmEngine, "transformers": TransformersEngine}[request.param]
    running: RunningEngine = RunningEngine(made(dynamic, engine_args={"dtype": "float32"}))
    yield running
    running.close()


@pytest.fixture(scope="module")
def plain(dynamic: Checkpoint) -> Iterator[RunningEngine]:
    running = RunningEngine(TransformersEngine(dynamic, engine_args={"dtype": "float32"}))
    yield running
    running.close()


def prompt(tokens: int) -> Request:
    return Request(f"{tokens}", np.random.default_rng(tokens).integers(100, 200, tokens, np.int32))


class TestOneRequest:
    @pytest.mark.parametrize("tokens", [900, CONTEXT - 8, CONTEXT - 1])
    def test_below_it_is_answered_as_by_transformers(
        self, engine: RunningEngine, plain: RunningEngine, tokens: int
    ) -> None:
        sampling = Sampling(8, ignore_stop=True)
        answer = engine.generate(prompt(tokens), sampling)
        assert answer.token_ids == plain.generate(prompt(tokens), sampling).token_ids
        assert len(answer.token_ids) == min(8, CONTEXT - tokens)
        assert answer.finish_reason == "length"

    @pytest.mark.parametrize("tokens", [CONTEXT, CONTEXT + 1, 1500, 2 * CONTEXT + 1])
    def test_above_it_is_refused_with_numbers(self, engine: RunningEngine, tokens: int) -> None:
        with pytest.raises(
            UnitError, match=rf"prompt is {tokens} tokens; the context is {CONTEXT}"
        ) as refused:
            engine.generate(prompt(tokens), Sampling(8))
        assert refused.value.kind == "prompt_too_long"

    def test_an_answer_ends_with_it(self, engine: RunningEngine) -> None:
        answer = engine.generate(prompt(CONTEXT - 100), Sampling(2000, ignore_stop=True))
        assert (len(answer.token_ids), answer.finish_reason) == (100, "length")


class TestAConversation:
    def have(self, engine: RunningEngine, questions: list[str], **more: Any) -> Any:
        renderer = Renderer(engine.engine.checkpoint)
        first, *others = questions
        repair = more.get("repair")
        conversation = RenderedConversation(
            renderer.render(first).token_ids,
            [],
            [renderer.follow_up(question) for question in others],
            None if repair is None else renderer.follow_up(repair),
            Sampling(8, ignore_stop=True, **more.get("form", {})),
        )
        generator = Generator(engine.engine, renderer.tokenizer, Retries(times=0))
        return engine.run(generator.answer("unit", [conversation], Shown()))

    def test_fails_as_a_whole_at_the_question_that_is_too_much(self, engine: RunningEngine) -> None:
        question = "word " * 80
        ((turns,),) = self.have(engine, [question] * 2)
        assert len(turns) == 2
        each = turns[1].prompt_tokens - turns[0].prompt_tokens
        fits = 1 + (CONTEXT - 1 - turns[0].prompt_tokens) // each
        ((turns,),) = self.have(engine, [question] * fits)
        assert turns[-1].prompt_tokens + turns[-1].completion_tokens <= CONTEXT
        with pytest.raises(UnitError) as refused:
            self.have(engine, [question] * (fits + 3))
        assert refused.value.kind == "prompt_too_long"
        assert f"question {fits + 1} of {fits + 3}" in refused.value.message
        assert f"the context is {CONTEXT}" in refused.value.message

    def test_asking_again_counts(self, plain: RunningEngine) -> None:
        # an engine that holds no answer to a form, so that one has to be asked for again
        class Free:
            async def generate(
                self, request: Request, sampling: Sampling, watch: Watch | None = None
            ) -> Completion:
                return await plain.engine.generate(request, replace(sampling, choices=()), watch)

        renderer = Renderer(plain.engine.checkpoint)
        conversation = RenderedConversation(
            renderer.render("word " * 300).token_ids,
            [],
            [],
            renderer.follow_up("again " * 700),
            Sampling(8, choices=("yes", "no")),
        )
        generator = Generator(Free(), renderer.tokenizer, Retries(times=0))
        with pytest.raises(UnitError, match="asked again because") as refused:
            plain.run(generator.answer("unit", [conversation], Shown()))
        assert refused.value.kind == "prompt_too_long"


class TestWhatAConfigPromises:
    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_counts_for_nothing(self, tiny_checkpoint: Path, tmp_path: Path, spelling: str) -> None:
        read = scaled(tiny_checkpoint, tmp_path / "model", **SPELLINGS[spelling])
        assert (read.context_length, read.served_context) == (CONTEXT, CONTEXT)

    @pytest.mark.parametrize("name", ["rope_scaling", "rope_parameters"])
    @pytest.mark.parametrize("kind", ["su", "longrope"])
    def test_factors_that_change_with_the_length(
        self, tiny_checkpoint: Path, tmp_path: Path, name: str, kind: str
    ) -> None:
        rope = {name: {"rope_type": kind, "short_factor": [1.0], "long_factor": [2.0]}}
        read = scaled(
            tiny_checkpoint, tmp_path / "model", original_max_position_embeddings=512, **rope
        )
        assert (read.context_length, read.served_context) == (CONTEXT, 512)

    def test_an_own_length_counts(self, dynamic: Checkpoint) -> None:
        engine = TransformersEngine(
            dynamic, engine_args={"max_model_len": 1500, "dtype": "float32"}
        )
        assert engine.context_length == 1500
        engine._check(prompt(1499))
        with pytest.raises(UnitError, match="the context is 1500"):
            engine._check(prompt(1500))


class TestServing:
    def test_the_server_is_started_with_it(self, dynamic: Checkpoint) -> None:
        assert context_options(dynamic, ["--port", "80"]) == ["--max-model-len", str(CONTEXT)]

    @pytest.mark.parametrize(
        "own", [["--max-model-len", "9"], ["--max-model-len=9"], ["--max_model_len", "9"]]
    )
    def test_unless_the_user_says_another(self, dynamic: Checkpoint, own: list[str]) -> None:
        assert context_options(dynamic, own) == []

    def test_an_answer_of_a_server_that_goes_further_is_not_taken(self) -> None:
        class Endpoint:
            name = "http://there"

            async def post(self, *_: Any) -> Completion:
                return Completion([], 1020, "stop", text="nonsense", completion_tokens=9)

        engine = OpenAIEngine("http://there/v1", "model", context_length=CONTEXT)
        engine._endpoint = Endpoint()  # type: ignore[assignment]
        with pytest.raises(UnitError, match=f"the context is {CONTEXT}") as refused:
            asyncio.run(engine.generate(Request("one", chat=Chat("What?")), Sampling()))
        assert refused.value.kind == "prompt_too_long"
