"""The plain engine: the same answers as vLLM from the same weights, in either layout, and what it
refuses."""

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
import torch
from safetensors.torch import load_file, save_file

from internvl_ops.engines.base import Completion, EngineDead, Request, Sampling
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.checkpoints.native import native_weights
from internvl_ops.models.prompts.rendering import Renderer
from testing.running_engine import RunningEngine
from testing.tiny import make_tiny_native_checkpoint

FLOAT32 = {"dtype": "float32"}
TOLERANCE = 1e-3  # of log-probabilities in float32
SHORT = Sampling(8, ignore_stop=True)


def request(
    checkpoint: Checkpoint, question: str, *tiles_per_image: int, turns: Any = ()
) -> Request:
    rendered = Renderer(checkpoint).render(question, tiles_per_image, turns)
    shape = (sum(tiles_per_image), 3, checkpoint.tile_size, checkpoint.tile_size)
    tiles = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    hashes = [f"{question} {place}" for place in range(len(tiles_per_image))]
    return Request(question, rendered.token_ids, tiles, rendered.images, hashes)


@pytest.fixture(scope="module")
def plain(checkpoint: Checkpoint) -> Iterator[RunningEngine[TransformersEngine]]:
    running = RunningEngine(TransformersEngine(checkpoint, engine_args=FLOAT32))
    yield running
    running.close()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine[TransformersEngine]]:
    folder = make_tiny_native_checkpoint(tmp_path_factory.mktemp("native") / "tiny-internvl")
    running = RunningEngine(TransformersEngine(load_checkpoint(str(folder)), engine_args=FLOAT32))
    yield running
    running.close()


ASKED: dict[str, Any] = {
    "one image": {"question": "Describe it.", "tiles": [5]},
    "several images": {"question": "<image> or <image>?", "tiles": [3, 1]},
    "no image": {"question": "Say something.", "tiles": []},
    "a second turn": {
        "question": "And now?",
        "tiles": [2],
        "turns": [("What is it?", "A square.")],
    },
    "a quoted image": {"question": "What is <img><IMG_CONTEXT></img>?", "tiles": [2]},
}


class TestSameAnswers:
    @pytest.mark.parametrize("asked", ASKED)
    def test_as_vllm_in_both_layouts(
        self, vllm_engine: RunningEngine, plain: RunningEngine, native: RunningEngine, asked: str
    ) -> None:
        case = ASKED[asked]
        of = request(
            plain.engine.checkpoint, case["question"], *case["tiles"], turns=case.get("turns", ())
        )
        expected, *given = [
            engine.generate(of, replace(SHORT, logprobs=5))
            for engine in (vllm_engine, plain, native)
        ]
        for answer in given:
            assert answer.token_ids == expected.token_ids
            assert (answer.prompt_tokens, answer.finish_reason) == (
                expected.prompt_tokens,
                expected.finish_reason,
            )
            assert self.differ(answer, expected) < TOLERANCE

    def differ(self, one: Completion, other: Completion) -> float:
        assert len(one.logprobs) == len(other.logprobs) == len(one.token_ids)
        both = list(zip(one.logprobs, other.logprobs, strict=True))
        assert all(ours.keys() == theirs.keys() for ours, theirs in both)
        return max(abs(ours[token] - theirs[token]) for ours, theirs in both for token in ours)

    def test_with_a_repetition_penalty(
        self, vllm_engine: RunningEngine, plain: RunningEngine
    ) -> None:
        of = request(plain.engine.checkpoint, "Describe it.", 5)
        sampling = replace(SHORT, max_new_tokens=20, repetition_penalty=1.3)
        assert (
            plain.generate(of, sampling).token_ids == vllm_engine.generate(of, sampling).token_ids
        )
        assert (
            plain.generate(of, sampling).token_ids
            != plain.generate(of, replace(SHORT, max_new_tokens=20)).token_ids
        )


class TestSampling:
    @pytest.fixture
    def asked(self, plain: RunningEngine) -> Request:
        return request(plain.engine.checkpoint, "Describe it.", 2)

    def test_a_seed_repeats_a_draw(self, plain: RunningEngine, asked: Request) -> None:
        drawn = [
            plain.generate(asked, replace(SHORT, temperature=1.5, seed=seed)).token_ids
            for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_a_draw_from_the_likeliest_alone_is_greedy(
        self, plain: RunningEngine, asked: Request
    ) -> None:
        for narrow in ({"top_p": 1e-6}, {"top_k": 1}):
            drawn = plain.generate(asked, replace(SHORT, temperature=1.5, **narrow))
            assert drawn.token_ids == plain.generate(asked, SHORT).token_ids

    def test_stop_tokens(self, plain: RunningEngine, asked: Request) -> None:
        free = plain.generate(asked, SHORT).token_ids
        stopped = plain.generate(asked, Sampling(8, stop_token_ids=(free[3],)))
        place = free.index(free[3])
        assert (stopped.token_ids, stopped.finish_reason) == (free[: place + 1], "stop")

    def test_an_answer_has_its_least_length(self, plain: RunningEngine, asked: Request) -> None:
        free = plain.generate(asked, SHORT).token_ids
        held = plain.generate(
            asked, Sampling(8, stop_token_ids=(free[1],), min_new_tokens=6)
        ).token_ids
        assert len(held) >= 6
        assert free[1] not in held[:6]
        assert held[: free.index(free[1])] == free[: free.index(free[1])]

    def test_the_context_ends_an_answer_that_is_below_its_least_length(
        self, plain: RunningEngine
    ) -> None:
        full = Request("full", np.full(plain.engine.checkpoint.context_length - 3, 40, np.int32))
        assert len(plain.generate(full, Sampling(30, min_new_tokens=8)).token_ids) == 3

    def test_the_context_ends_an_answer(self, plain: RunningEngine) -> None:
        full = Request("full", np.full(plain.engine.checkpoint.context_length - 20, 40, np.int32))
        answer = plain.generate(full, Sampling(1000, ignore_stop=True))
        assert (len(answer.token_ids), answer.finish_reason) == (20, "length")

    def test_watched(self, plain: RunningEngine, asked: Request) -> None:
        seen = []

        def watch(token_ids: Any) -> bool:
            seen.append(list(token_ids))
            return len(seen) == 3

        answer = plain.generate(asked, Sampling(1000, ignore_stop=True), watch)
        assert answer.finish_reason == "watch"
        assert (
            answer.token_ids
            == seen[-1]
            == plain.generate(asked, Sampling(48, ignore_stop=True)).token_ids
        )
        assert [len(each) for each in seen] == [16, 32, 48]

    def test_a_cancelled_request_makes_room(self, plain: RunningEngine, asked: Request) -> None:
        async def cancelled() -> None:
            started = asyncio.Event()
            loop = asyncio.get_running_loop()

            def watch(_: Any) -> bool:
                loop.call_soon_threadsafe(started.set)
                return False

            long = asyncio.create_task(
                plain.engine.generate(asked, Sampling(7000, ignore_stop=True), watch)
            )
            await started.wait()
            long.cancel()
            await plain.engine.generate(asked, SHORT)  # after minutes, did the other go on

        plain.run(asyncio.wait_for(cancelled(), 20))


class TestRefusals:
    def test_a_form(self, plain: RunningEngine) -> None:
        with pytest.raises(UnitError, match=r"`engine`=vllm or .`engine`=openai"):
            plain.generate(
                request(plain.engine.checkpoint, "Yes?"), Sampling(choices=("yes", "no"))
            )
        with pytest.raises(ConfigurationError, match=r"`engine`=vllm or .`engine`=openai"):
            TransformersEngine(plain.engine.checkpoint, constrained=True)

    def test_a_prompt_longer_than_the_context(self, plain: RunningEngine) -> None:
        asked = Request("long", np.zeros(plain.engine.checkpoint.context_length, np.int32))
        with pytest.raises(UnitError) as error:
            plain.generate(asked, SHORT)
        assert error.value.kind == "prompt_too_long"

    def test_an_engine_that_was_not_started(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(EngineDead, match="call start"):
            asyncio.run(
                TransformersEngine(checkpoint).generate(
                    Request("early", np.array([1], np.int32)), SHORT
                )
            )

    def test_several_devices(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(ConfigurationError, match="`tensor_parallel`=2"):
            TransformersEngine(checkpoint, tensor_parallel=2)

    def test_quantised_weights(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(ConfigurationError, match="awq"):
            TransformersEngine(replace(checkpoint, quantization="awq"))

    @pytest.fixture
    def copied(self, tiny_checkpoint: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copied"))

    def refused(self, folder: Path, **engine_args: Any) -> str:
        with pytest.raises(ConfigurationError) as error:
            asyncio.run(
                TransformersEngine(load_checkpoint(str(folder)), engine_args=engine_args).start()
            )
        return str(error.value)

    def test_a_missing_weight(self, copied: Path) -> None:
        weights = load_file(copied / "model.safetensors")
        del weights["mlp1.1.bias"]
        save_file(weights, copied / "model.safetensors")
        assert (
            "1 missing weights, the first is model.multi_modal_projector.linear_1.bias"
            in self.refused(copied)
        )

    @pytest.mark.parametrize(("wrong", "said"), [({"llm_config": "mamba"}, "'mamba'")])
    def test_what_the_class_has_not(self, copied: Path, wrong: dict[str, str], said: str) -> None:
        config = json.loads((copied / "config.json").read_text())
        if "llm_config" in wrong:
            config["llm_config"]["model_type"] = wrong["llm_config"]
        else:
            config |= wrong
        (copied / "config.json").write_text(json.dumps(config))
        message = self.refused(copied)
        assert said in message
        assert "`engine`=vllm" in message

    def test_an_argument_that_transformers_does_not_know(self, copied: Path) -> None:
        assert "`engine_args`" in self.refused(copied, attn_implementation="magic")


def test_internlm2_keeps_query_key_and_value_together() -> None:
    """Each key head, then its value head, after the queries that share them, as
    modeling_internlm2.py has it."""
    heads, key_heads, size, width = 6, 2, 4, 24
    rows = torch.arange(float(width))
    query = [torch.full((size, width), 100 + head) + rows for head in range(heads)]
    key = [torch.full((size, width), 200 + head) + rows for head in range(key_heads)]
    value = [torch.full((size, width), 300 + head) + rows for head in range(key_heads)]
    fused = torch.cat([*query[:3], key[0], value[0], *query[3:], key[1], value[1]])
    language = {"num_attention_heads": heads, "num_key_value_heads": key_heads}
    split = dict(
        native_weights(
            {"llm_config": language},
            [("language_model.model.layers.0.attention.wqkv.weight", fused)],
        )
    )
    expected = {"q": torch.cat(query), "k": torch.cat(key), "v": torch.cat(value)}
    assert split.keys() == {
        f"model.language_model.layers.0.self_attn.{letter}_proj.weight" for letter in expected
    }
    for letter, weight in expected.items():
        assert torch.equal(
            split[f"model.language_model.layers.0.self_attn.{letter}_proj.weight"], weight
        )
