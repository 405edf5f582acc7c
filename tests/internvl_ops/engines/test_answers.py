"""What servers send for one and the same answer, and what is no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from internvl_ops.engines.base import Chat, Completion, Request, Sampling
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.errors import UnitError
from testing.model_server import ModelServer, completion, says, sends

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def always(server: ModelServer) -> Iterator[Callable[[Any], Any]]:
    """Makes the server answer every request of a test alike, not only the first."""
    before = server.otherwise

    def set_to(reply: Any) -> Any:
        server.otherwise = reply
        return reply

    yield set_to
    server.otherwise = before


def ask(server: ModelServer, reply: Any, *, watched: bool = True) -> Completion:
    async def whole() -> Completion:
        engine = OpenAIEngine(
            server.url, "tiny", patience=Patience(away_s=1, attempts=1, pause_s=0.01)
        )
        await engine.start()
        try:
            request = Request("one", chat=Chat("What is it?"))
            return await engine.generate(
                request, Sampling(), (lambda _: False) if watched else None
            )
        finally:
            engine.shutdown()

    server.script = [reply]
    return asyncio.run(asyncio.wait_for(whole(), 30))


def said(content: Any, reason: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}],
        **more,
    }


def ended(**choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": "stop", **choice}]}


def stream(*events: Any, end: bytes = DONE) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + end


PARTS = (said("A red "), said("square."))


@pytest.mark.parametrize(
    "sent",
    [
        stream(*PARTS, ended(delta={})),
        stream(*PARTS, ended(delta=None)),
        stream(*PARTS, ended()),
        stream(*PARTS, ended(delta={"content": None})),
        stream(*PARTS, ended(delta={"role": "assistant"})),
        stream(*PARTS, ended(delta={"content": ""}), {"choices": [], "usage": USAGE}),
        stream(*PARTS, ended(delta={}), {"usage": USAGE}, {"choices": None, "usage": None}),
        stream(*PARTS, ended(delta={}), end=b""),
        stream(*PARTS),
        stream(*PARTS, ended(message={"role": "assistant", "content": "A red square."})),
        stream(ended(message={"content": "A red square."})),
        stream(
            said([{"type": "text", "text": "A red "}, {"type": "text", "text": "square."}]),
            ended(delta={}),
        ),
        stream({"choices": [{"text": "A red square.", "finish_reason": "stop"}]}),
        stream({"choices": [{"delta": {"role": "assistant"}}]}, *PARTS, ended(delta={})),
        stream(
            [],
            None,
            3,
            "x",
            {"choices": [None]},
            {"choices": {}},
            *PARTS,
            ended(delta={}, token_ids=None),
        ),
        stream(*({**part, "error": None} for part in PARTS), ended(delta={}, logprobs=[])),
        b": keep-alive\n\nevent: message\nid: 1\nretry: 10\ndata:\n\n"
        + stream(*PARTS, ended(delta={})),
        stream(*PARTS, ended(delta={})).replace(b"\n", b"\r\n"),
        stream(*PARTS, ended(delta={})).replace(b"\n\n", b"\n"),
        stream(*PARTS, ended(delta={})).replace(b"data: ", b"data:"),
        stream(*PARTS, ended(delta={})).replace(b", ", b",\ndata: "),
    ],
)
@pytest.mark.parametrize("pieces", [1 << 20, 1, 7])
def test_one_answer_however_its_parts_come(server: ModelServer, sent: bytes, pieces: int) -> None:
    answer = ask(server, sends(sent, pieces))
    assert (answer.text, answer.finish_reason) == ("A red square.", "stop")


def test_a_part_longer_than_any_buffer(server: ModelServer) -> None:
    long = "word " * 100_000
    assert ask(server, sends(stream(said(long), ended(delta={})))).text == long.strip()


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["ok \ud83d end"], "ok \ufffd end"),
        (["ok \ude00 end."], "ok \ufffd end."),
        (["ok \ud83d", "\ude00 end"], "ok \U0001f600 end"),
        (["ok \ud83d", "", "\ude00"], "ok \U0001f600"),
        (["\ud83d\ude00\ud83d"], "\U0001f600\ufffd"),
        (["\ude00\ud83d"], "\ufffd\ufffd"),
        (["é\ud800é"], "é\ufffdé"),
    ],
)
def test_halves_of_a_character(server: ModelServer, parts: list[str], text: str) -> None:
    assert ask(server, sends(stream(*map(said, parts), ended(delta={})))).text == text
    assert ask(server, says(completion("".join(parts))), watched=False).text == text


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("tool_calls", "stop"),
        ("a reason nobody has heard of", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
    ],
)
def test_why_an_answer_ended(server: ModelServer, watched: bool, theirs: str, ours: str) -> None:
    assert ask(server, says(completion("A square.", theirs)), watched=watched).finish_reason == ours


@pytest.mark.parametrize("reason", ["content_filter", "error", "abort"])
def test_what_the_server_calls_no_answer(server: ModelServer, reason: str) -> None:
    with pytest.raises(UnitError, match=reason):
        ask(server, says(completion("A sq", reason)))


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(
    ("number", "counted"),
    [
        (None, None),
        ("7", 7),
        (7.0, 7),
        (-1, None),
        (10**30, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        ([], None),
        ("many", None),
    ],
)
def test_numbers_of_tokens(
    server: ModelServer, watched: bool, number: Any, counted: int | None
) -> None:
    body = completion() | {"usage": {"prompt_tokens": number, "completion_tokens": number}}
    answer = ask(server, says(body), watched=watched)
    assert answer.text == "A square."
    assert (answer.prompt_tokens, answer.completion_tokens) == (
        (counted, counted) if counted is not None else (0, int(watched))
    )


@pytest.mark.parametrize("usage", [None, [], "x", 3])
def test_a_usage_that_is_none(server: ModelServer, usage: Any) -> None:
    assert ask(server, says(completion() | {"usage": usage}), watched=False).prompt_tokens == 0


@pytest.mark.parametrize("content", [None, [], ""])
def test_an_empty_answer_is_one(server: ModelServer, content: Any) -> None:
    body = completion() | {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    assert ask(server, says(body), watched=False).text == ""


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        DONE,
        stream(*PARTS, end=b""),
        stream(said("A "), {"error": {"message": "CUDA is out of memory"}}),
        stream(said("A "), {"object": "error", "message": "CUDA is out of memory"}),
        stream(said("A ")).replace(b"}\n", b"\n"),
        b"data: " + b"[" * 100_000 + b"\n\n",
        stream({"error": {"message": "half \ud83d"}}),
    ],
)
def test_what_is_no_answer_is_one_units_error(
    server: ModelServer, always: Callable[[Any], Any], sent: bytes
) -> None:
    with pytest.raises(UnitError) as error:
        ask(server, always(sends(sent)))
    assert error.value.kind == "engine_failed"
    error.value.message.encode()


def test_an_answer_nested_beyond_measure_is_one_units_error(server: ModelServer) -> None:
    with pytest.raises(UnitError):
        ask(server, says("[" * 100_000), watched=False)


def test_a_prompt_too_long_said_within_the_stream(server: ModelServer) -> None:
    with pytest.raises(UnitError) as error:
        ask(
            server,
            sends(stream({"error": {"message": "the maximum context length is 8192 tokens"}})),
        )
    assert error.value.kind == "prompt_too_long"


def test_a_server_whose_streams_are_no_answers_is_asked_for_the_whole_answer(
    server: ModelServer, always: Callable[[Any], Any]
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        made = (
            sends(b"data: []\n\ndata: [DONE]\n\n")
            if asked.get("stream")
            else says(completion("whole"))
        )
        response = made(request)
        return await response if asyncio.iscoroutine(response) else response

    assert ask(server, always(reply)).text == "whole"
