"""The running engine: many requests, cancelled ones, wrong ones, and nothing of a CPU actor's work
done here."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import vllm.platforms
from PIL import Image
from vllm.platforms.interface import UnspecifiedPlatform

from internvl_ops.engines.base import EngineDead, Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.engines.vllm_requests import engine_input
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from testing.running_engine import RunningEngine

SHORT = Sampling(8, ignore_stop=True)


@pytest.fixture(scope="module")
def renderer(checkpoint: Checkpoint) -> Renderer:
    return Renderer(checkpoint)


def request(renderer: Renderer, name: str, *num_tiles: int, question: str = "Describe.") -> Request:
    """A prompt with images of noise; the same name makes the same noise."""
    size = renderer.checkpoint.tile_size
    random = np.random.default_rng(list(name.encode()))
    tiles = random.integers(0, 256, (sum(num_tiles), 3, size, size), dtype=np.uint8)
    tiles.flags.writeable = False  # as a view on shared memory is
    rendered = renderer.render(question, num_tiles)
    hashes = [f"{name} {place}" for place in range(len(num_tiles))]
    return Request(name, rendered.token_ids, tiles, rendered.images, hashes)


class TestGenerating:
    def test_many_at_once_answer_as_each_alone(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        requests = [
            request(renderer, f"many {place}", *[1 + place % 4] * (1 + place % 3))
            for place in range(24)
        ]

        async def together() -> list[list[int]]:
            done = await asyncio.gather(
                *(vllm_engine.engine.generate(each, SHORT) for each in requests)
            )
            return [completion.token_ids for completion in done]

        alone = [
            vllm_engine.generate(replace(each, request_id="alone"), SHORT).token_ids
            for each in requests
        ]
        assert vllm_engine.run(together()) == alone
        assert len({tuple(ids) for ids in alone}) > 12  # the images matter

    def test_a_completion_says_what_it_cost(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = request(renderer, "cost", 3)
        completion = vllm_engine.generate(asked, SHORT)
        assert completion.prompt_tokens == len(asked.token_ids)
        assert len(completion.token_ids) == 8
        assert completion.finish_reason == "length"
        assert completion.logprobs == []

    def test_a_stop_token_ends_the_answer(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = request(renderer, "stop", 2)
        answer = vllm_engine.generate(asked, SHORT).token_ids
        sampling = Sampling(8, stop_token_ids=(answer[2],))
        stopped = vllm_engine.generate(asked, sampling)
        assert stopped.finish_reason == "stop"
        assert stopped.token_ids == answer[: answer.index(answer[2]) + 1]

    def test_an_answer_has_its_least_length(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = request(renderer, "least", 2)
        free = vllm_engine.generate(asked, SHORT).token_ids
        held = vllm_engine.generate(
            asked, Sampling(8, stop_token_ids=(free[1],), min_new_tokens=6)
        ).token_ids
        assert len(held) >= 6
        assert free[1] not in held[:6]
        assert held[: free.index(free[1])] == free[: free.index(free[1])]

    def test_a_seed_makes_a_draw_repeatable(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = request(renderer, "draw", 1)
        drawn = [
            vllm_engine.generate(asked, replace(SHORT, temperature=1.0, seed=seed))
            for seed in (1, 1, 2)
        ]
        assert drawn[0].token_ids == drawn[1].token_ids
        assert drawn[0].token_ids != drawn[2].token_ids

    def test_a_seed_with_a_prompt_that_is_read_in_several_steps(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        """On a CPU vLLM cannot take back what was drawn before a prompt's end, and died of it."""
        tokens = np.random.default_rng(0).integers(100, 200, 7_000, np.int32)
        sampling = replace(SHORT, temperature=1.0, seed=1)

        async def together(*numbers: int) -> list[list[int]]:
            asked = [Request(f"steps {number}", tokens[number:]) for number in numbers]
            done = await asyncio.gather(
                *(vllm_engine.engine.generate(each, sampling) for each in asked)
            )
            return [completion.token_ids for completion in done]

        alone = vllm_engine.run(together(0))
        assert vllm_engine.run(together(1, 0, 2))[1] == alone[0]

    def test_the_same_image_twice_in_a_prompt(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        once = request(renderer, "twice", 2, 2)
        half = once.tiles[:2]
        same = replace(once, tiles=np.concatenate([half, half]), image_hashes=["same", "same"])
        told_apart = replace(same, image_hashes=["first", "second"])
        assert (
            vllm_engine.generate(same, SHORT).token_ids
            == vllm_engine.generate(told_apart, SHORT).token_ids
        )

    def test_cancelling_takes_the_request_out(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        engine = vllm_engine.engine

        async def cancel() -> int:
            task = asyncio.create_task(
                engine.generate(request(renderer, "long", 3), Sampling(7000, ignore_stop=True))
            )
            # by now the other one runs
            await engine.generate(request(renderer, "meanwhile", 1), SHORT)
            before = engine.unfinished
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return before

        assert vllm_engine.run(cancel()) == 1
        assert engine.unfinished == 0


class TestTheFrontEndProcess:
    def test_nothing_is_decoded_resized_or_tokenised(
        self, vllm_engine: RunningEngine, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = [request(renderer, f"bare {place}", 13) for place in range(4)]
        llm = vllm_engine.engine._llm
        assert llm is not None
        processor = llm.renderer.mm_processor

        def forbidden(*_: object, **__: object) -> None:
            raise AssertionError("preprocessing in the engine's process")

        for owner, name in [
            (Image, "open"),
            (Image.Image, "resize"),
            (Image.Image, "convert"),
            (Image.Image, "crop"),
            (type(processor), "apply"),
            (type(processor), "__call__"),
            (type(llm.renderer), "render_cmpl"),
            (type(llm.renderer), "_process_multimodal"),
            (type(llm.renderer), "_tokenize_prompt"),
            (type(llm.renderer.tokenizer), "encode"),  # there for answers that are held to a form
            (type(llm.renderer.tokenizer), "decode"),
            (type(renderer.tokenizer), "encode"),
            (type(renderer.tokenizer), "decode"),
        ]:
            assert hasattr(owner, name)
            monkeypatch.setattr(owner, name, forbidden)
        for each in asked:
            assert len(vllm_engine.generate(each, SHORT).token_ids) == 8

    def test_tiles_are_handed_on_without_a_copy(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = request(renderer, "copy", 4)
        given = engine_input(asked, vllm_engine.engine._context_id)["mm_kwargs"]["image"][0][
            "pixel_values_flat"
        ].data
        assert given.data_ptr() == asked.tiles.ctypes.data


class TestMemoryPlan:
    """vLLM plans by the biggest image there can be, and measures with it where it profiles a
    device's memory."""

    def test_the_biggest_image_is_the_checkpoints(self, vllm_engine: RunningEngine) -> None:
        llm = vllm_engine.engine._llm
        assert llm is not None
        info = llm.renderer.mm_processor.info
        assert info.get_mm_max_tokens_per_item(8192, {"image": 1}) == {"image": 13 * 16}
        assert info.get_mm_max_tokens_per_item(100, {"image": 1}) == {"image": 100}

    def test_it_is_measured_as_tiles(self, vllm_engine: RunningEngine) -> None:
        llm = vllm_engine.engine._llm
        assert llm is not None
        given = llm.renderer.mm_processor.get_dummy_mm_inputs({"image": 1})
        tiles = given["mm_kwargs"]["image"][0]["pixel_values_flat"].data
        assert (tuple(tiles.shape), str(tiles.dtype)) == ((13, 3, 112, 112), "torch.uint8")
        (place,) = given["mm_placeholders"]["image"]
        assert (place.offset, place.length) == (0, 13 * 16)

    def test_a_job_may_ask_for_bigger_ones(
        self, vllm_engine: RunningEngine, checkpoint: Checkpoint
    ) -> None:
        from vllm import AsyncEngineArgs
        from vllm.multimodal import MULTIMODAL_REGISTRY

        engine = VllmEngine(checkpoint, max_tiles=40)
        config = AsyncEngineArgs(**engine._arguments()).create_engine_config()
        assert MULTIMODAL_REGISTRY.get_processing_info(config.model_config).max_tiles() == 41


class TestRefusals:
    def refused(self, vllm_engine: RunningEngine, asked: Request) -> UnitError:
        with pytest.raises(UnitError) as error:
            vllm_engine.generate(asked, SHORT)
        assert error.value.stage == "generate"
        return error.value

    def test_a_prompt_longer_than_the_context(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = Request("long", np.zeros(vllm_engine.engine.context_length, np.int32))
        assert self.refused(vllm_engine, asked).kind == "prompt_too_long"

    def test_more_tiles_than_the_engine_planned_for(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        assert (
            "max_num_batched_tokens"
            in self.refused(vllm_engine, request(renderer, "big", 400)).message
        )

    def test_tiles_that_do_not_match_the_prompt(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        asked = request(renderer, "mismatch", 4)
        assert (
            "(3, 3, 112, 112)"
            in self.refused(vllm_engine, replace(asked, tiles=asked.tiles[:3])).message
        )

    def test_tiles_of_another_size(self, vllm_engine: RunningEngine, renderer: Renderer) -> None:
        asked = request(renderer, "size", 1)
        smaller = np.ascontiguousarray(asked.tiles[..., :56, :56])
        assert "(1, 3, 56, 56)" in self.refused(vllm_engine, replace(asked, tiles=smaller)).message

    def test_an_image_without_a_hash(self, vllm_engine: RunningEngine, renderer: Renderer) -> None:
        assert (
            "0 hashes"
            in self.refused(
                vllm_engine, replace(request(renderer, "hash", 1), image_hashes=[])
            ).message
        )

    def test_a_token_that_the_model_does_not_know(self, vllm_engine: RunningEngine) -> None:
        asked = Request("token", np.array([1, 2, 100_000], np.int32))
        assert "token 100000" in self.refused(vllm_engine, asked).message

    def test_after_a_refusal_the_engine_goes_on(
        self, vllm_engine: RunningEngine, renderer: Renderer
    ) -> None:
        self.refused(vllm_engine, Request("token", np.array([100_000], np.int32)))
        assert not vllm_engine.engine.dead
        assert len(vllm_engine.generate(request(renderer, "on", 1), SHORT).token_ids) == 8


class TestStarting:
    def test_an_engine_that_was_not_started(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(EngineDead, match="call start"):
            asyncio.run(
                VllmEngine(checkpoint).generate(Request("early", np.array([1], np.int32)), SHORT)
            )

    def test_heads_that_do_not_divide(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(ConfigurationError, match=r"2 attention heads, which 3 does not divide"):
            VllmEngine(checkpoint, tensor_parallel=3)

    @pytest.mark.parametrize("wrong", [{"no_such_argument": 1}, {"dtype": "int3"}])
    def test_engine_arguments_that_vllm_does_not_know(
        self, checkpoint: Checkpoint, wrong: dict[str, object]
    ) -> None:
        with pytest.raises(ConfigurationError, match="`engine_args`") as refused:
            asyncio.run(VllmEngine(checkpoint, engine_args=wrong).start())
        assert next(iter(wrong)) in str(refused.value)


def test_a_build_for_gpus_without_one_is_said(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint
) -> None:
    monkeypatch.setattr(vllm.platforms, "_current_platform", UnspecifiedPlatform())
    with pytest.raises(ConfigurationError, match="vLLM finds no device here"):
        asyncio.run(VllmEngine(checkpoint).start())
