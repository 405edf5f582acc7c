"""A real server on the CPU: the prompt that an OpenAI client gets, and the endpoint engine against
it.

The same checkpoint answers the same on all three engines.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from internvl_ops.engines.base import Chat, Completion, Request, Sampling
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.engines.transformers import TransformersEngine
from internvl_ops.errors import UnitError
from internvl_ops.media.tiling import tile_image
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from testing.running_engine import RunningEngine

SHORT = Sampling(12, ignore_stop=True)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


WIDE, TALL, SMALL = picture(331, 223), picture(107, 457, 1), picture(90, 100, 2)


@pytest.fixture(scope="module")
def endpoint(tiny_server: str) -> Iterator[RunningEngine[OpenAIEngine]]:
    running = RunningEngine(OpenAIEngine(tiny_server))
    yield running
    running.close()


@pytest.fixture(scope="module")
def plain(checkpoint: Checkpoint) -> Iterator[RunningEngine[TransformersEngine]]:
    running = RunningEngine(TransformersEngine(checkpoint, engine_args={"dtype": "float32"}))
    yield running
    running.close()


def both(
    renderer: Renderer,
    question: str,
    images: Sequence[Image.Image] = (),
    max_tiles: int = 12,
    **more: Any,
) -> Request:
    """The same request rendered, and as a chat."""
    tiles = [
        tile_image(
            image,
            tile_size=renderer.checkpoint.tile_size,
            max_tiles=max_tiles,
            thumbnail=max_tiles > 1,
        )
        for image in images
    ]
    history, video = more.get("history", ()), more.get("video", False)
    counts = [len(part) for part in tiles]
    rendered = renderer.render(question, counts, history, media="video" if video else "images")
    asked = [*(before for before, _ in history), question]
    if images and not any("<image>" in one for one in asked):
        words = (
            "Frame{}: <image>\n"
            if video
            else "Image-{}: <image>\n"
            if len(images) > 1
            else "<image>\n"
        )
        asked[0] = "".join(words.format(number) for number in range(1, len(images) + 1)) + asked[0]
    turns = list(zip(asked[:-1], (answer for _, answer in history), strict=True))
    return Request(
        request_id=question,
        token_ids=rendered.token_ids,
        tiles=np.concatenate(tiles) if tiles else None,
        images=rendered.images,
        image_hashes=[f"{question} {place} {max_tiles}" for place in range(len(images))],
        chat=Chat(asked[-1], turns, [png(image) for image in images], max_tiles=max_tiles),
    )


ASKED: dict[str, dict[str, Any]] = {
    "one image": {"question": "Describe it.", "images": [WIDE]},
    "several images": {"question": "What differs?", "images": [TALL, WIDE, SMALL]},
    "images between texts": {"question": "<image> or <image>?", "images": [SMALL, TALL]},
    "fewer tiles": {"question": "Briefly?", "images": [WIDE], "max_tiles": 2},
    "a video": {
        "question": "What happens?",
        "images": [WIDE, TALL, SMALL],
        "max_tiles": 1,
        "video": True,
    },
    "a second turn": {
        "question": "And now?",
        "images": [TALL],
        "history": [("What is it?", "A square.")],
    },
    "no image": {"question": "Say something."},
}


class TestSameAnswers:
    @pytest.mark.parametrize("asked", ASKED)
    def test_on_all_engines(
        self, vllm_engine: RunningEngine, plain: RunningEngine, endpoint: RunningEngine, asked: str
    ) -> None:
        renderer = Renderer(plain.engine.checkpoint)
        request = both(renderer, **ASKED[asked])
        here, there, slowly = (
            engine.generate(request, SHORT) for engine in (vllm_engine, endpoint, plain)
        )
        assert there.prompt_tokens == here.prompt_tokens == len(request.token_ids)
        assert there.token_ids == here.token_ids == slowly.token_ids
        # A character of which the answer has only the first bytes may be left out by the server.
        whole = renderer.tokenizer.decode(here.token_ids, keep_special=True)
        assert (there.text or "").rstrip("\ufffd") == whole.rstrip("\ufffd")
        assert there.finish_reason == here.finish_reason == "length"

    def test_log_probabilities(
        self, vllm_engine: RunningEngine, endpoint: RunningEngine, checkpoint: Checkpoint
    ) -> None:
        request = both(Renderer(checkpoint), "Describe it.", [WIDE])
        sampling = Sampling(4, ignore_stop=True, logprobs=3)
        here, there = (engine.generate(request, sampling) for engine in (vllm_engine, endpoint))
        assert len(there.logprobs) == 4
        for ours, theirs in zip(there.logprobs, here.logprobs, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-3)


def test_a_plain_client_gets_our_prompt(tiny_server: str, checkpoint: Checkpoint) -> None:
    """Token by token: the family's template and system message, the project's tiles."""
    url = "data:image/png;base64," + base64.b64encode(png(WIDE)).decode()
    content = [
        {"type": "text", "text": "Describe it."},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    body = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 1,
        "return_token_ids": True,
    }
    request = urllib.request.Request(
        f"{tiny_server}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        given = json.load(response)["prompt_token_ids"]
    assert given == Renderer(checkpoint).render("Describe it.", [7]).token_ids.tolist()


class TestForms:
    def ask(self, endpoint: RunningEngine, question: str, **sampling: Any) -> Completion:
        return endpoint.generate(Request("form", chat=Chat(question)), Sampling(60, **sampling))

    def test_choices(self, endpoint: RunningEngine) -> None:
        assert self.ask(endpoint, "Is it?", choices=("certainly", "never")).text in (
            "certainly",
            "never",
        )

    def test_a_schema(self, endpoint: RunningEngine) -> None:
        schema = {
            "type": "object",
            "properties": {"red": {"type": "boolean"}},
            "required": ["red"],
            "additionalProperties": False,
        }
        answer = json.loads(self.ask(endpoint, "Which?", json_schema=json.dumps(schema)).text or "")
        assert isinstance(answer["red"], bool)


class TestWatched:
    def test_an_answer_is_ended_on_the_server(self, endpoint: RunningEngine) -> None:
        seen: list[str] = []

        def watch(text: Any) -> bool:
            seen.append(text)
            return len(seen) == 2

        answer = endpoint.generate(
            Request("long", chat=Chat("Go on.")), Sampling(4000, ignore_stop=True), watch
        )
        assert (answer.finish_reason, answer.text) == ("watch", seen[-1])
        assert 32 <= len(answer.token_ids) == answer.completion_tokens < 64


class TestRefusals:
    def refused(self, endpoint: RunningEngine, chat: Chat) -> UnitError:
        with pytest.raises(UnitError) as error:
            endpoint.generate(Request("wrong", chat=chat), SHORT)
        return error.value

    def test_a_prompt_longer_than_the_context(self, endpoint: RunningEngine) -> None:
        error = self.refused(endpoint, Chat("word " * 9000))
        assert error.kind == "prompt_too_long"
        assert "8192" in error.message

    def test_more_tiles_than_the_server_planned_for(self, endpoint: RunningEngine) -> None:
        error = self.refused(endpoint, Chat("<image>\nWhat?", pictures=[png(WIDE)], max_tiles=24))
        assert "this server takes 1 to 12" in error.message

    def test_a_picture_that_is_none(self, endpoint: RunningEngine) -> None:
        assert (
            self.refused(endpoint, Chat("<image>\nWhat?", pictures=[b"\x89PNG but no more"])).kind
            == "engine_failed"
        )

    def test_afterwards_it_goes_on(self, endpoint: RunningEngine) -> None:
        assert (
            endpoint.generate(Request("on", chat=Chat("Still there?")), SHORT).completion_tokens
            == 12
        )


def test_a_wrong_checkpoint_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    ended = subprocess.run(
        [sys.executable, "-m", "internvl_ops.serve", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "not an InternVL checkpoint" in ended.stderr


def test_cancelled_requests_leave_the_server_free(tiny_server: str) -> None:
    async def whole() -> Completion:
        engine = OpenAIEngine(tiny_server, concurrency=1)
        await engine.start()
        going = asyncio.Event()

        def watch(_: Any) -> bool:
            going.set()
            return False

        request = Request("long", chat=Chat("Go on."))
        long = asyncio.create_task(
            engine.generate(request, Sampling(7000, ignore_stop=True), watch)
        )
        await going.wait()
        long.cancel()
        answer = await engine.generate(request, SHORT)
        engine.shutdown()
        return answer

    assert asyncio.run(asyncio.wait_for(whole(), 60)).completion_tokens == 12
