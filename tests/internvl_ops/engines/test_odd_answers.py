"""Answers in every form that servers were seen to give: a text, or an error of that request."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.engines import answers
from internvl_ops.engines.base import Chat, Completion, Request, Sampling
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.errors import UnitError
from testing.model_server import ModelServer, Reply, completion, refuses, says, sends

# What `Endpoint.post` takes for an answer of another form.
NO_ANSWER = (KeyError, TypeError, IndexError, ValueError, AttributeError)
GOOD: dict[str, Any] = completion("yes", logprobs=None) | {"id": "x"}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "stop", "a", "\ud83d", "\ude00", "9" * 40]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "text", "token", "logprob", "top_logprobs", "a"]), inner
        )
    ),
    max_leaves=8,
)
PLACES = [
    ("choices",),
    ("usage",),
    ("choices", 0),
    *(("choices", 0, name) for name in ("message", "delta", "text", "finish_reason", "logprobs")),
    *(("choices", 0, "message", name) for name in ("content", "refusal", "tool_calls")),
    *(("usage", name) for name in ("prompt_tokens", "completion_tokens")),
]


def with_value(place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(GOOD)
    at: Any = changed
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return changed


def watch_nothing(text: Any) -> bool:
    return False


def is_whole(found: Completion) -> bool:
    """Whether results can hold it."""
    assert found.text is not None
    found.text.encode()
    counts = (found.prompt_tokens, found.completion_tokens)
    return all(type(count) is int and 0 <= count < 2**31 for count in counts)


@given(place=st.sampled_from(PLACES), value=JSON, log_probs=st.booleans())
def test_any_value_anywhere(place: tuple[Any, ...], value: Any, log_probs: bool) -> None:
    answer = with_value(place, value)

    async def parts() -> AsyncIterator[Any]:
        yield answer
        yield None

    for read in (
        lambda: answers.completion(answer),
        lambda: asyncio.run(answers.watched(parts(), watch_nothing)),
    ):
        with contextlib.suppress(NO_ANSWER):
            assert is_whole(read())


def answer_to(server: ModelServer, *, watched: bool = False) -> Completion:
    async def whole() -> Completion:
        patience = Patience(pause_s=0.01, attempts=1)
        engine = OpenAIEngine(server.url, "tiny", patience=patience)
        await engine.start()
        try:
            request = Request("a", chat=Chat("q"))
            return await engine.generate(request, Sampling(), watch_nothing if watched else None)
        finally:
            await engine.close()

    return asyncio.run(asyncio.wait_for(whole(), 60))


def with_message(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


def with_text(text: str) -> str:
    return json.dumps(with_message(content=text))


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (with_message(content=5), "5"),
        (with_message(content=False), "false"),
        (with_message(content={"colour": "é"}), '{"colour": "é"}'),
        (with_message(content=["a", {"type": "text", "text": "b"}]), "ab"),
        (with_message(content=None, refusal="I cannot say."), "I cannot say."),
        (with_message(content="yes", refusal=None, tool_calls=[]), "yes"),
        (with_message(content=None), ""),
        ("\ufeff" + with_text("yes"), "yes"),
        (completion("yes", logprobs={"content": [{"token": "a", "logprob": -1}]}), "yes"),
        (completion("yes", logprobs={"content": [{"token": None, "logprob": -1}]}), "yes"),
        (completion("yes", logprobs={"tokens": ["a"], "token_logprobs": [None]}), "yes"),
    ],
)
@pytest.mark.parametrize("watched", [False, True])
def test_the_text_of_an_answer(reply: Any, text: str, watched: bool) -> None:
    with ModelServer() as server:
        server.otherwise = says(reply)
        assert answer_to(server, watched=watched).text == text


def test_a_stream_with_a_byte_order_mark() -> None:
    with ModelServer() as server:
        server.otherwise = sends(b"\xef\xbb\xbfdata: " + with_text("yes").encode() + b"\n\n")
        assert answer_to(server, watched=True).text == "yes"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (says(with_message(content=None, tool_calls=[{"id": "x"}])), "'tool_calls'"),
        (says(with_message(content="", function_call={"name": "f"})), "'tool_calls'"),
        (says({"error": {"message": "the shard is gone"}}), "the shard is gone"),
        (says({"error": "the shard is gone"}), "the shard is gone"),
        (says({"detail": "the shard is gone"}), "the shard is gone"),
        (says(None), "null"),
        (says({"choices": None}), "choices"),
        (refuses(422, "the shard is gone"), "the shard is gone"),
    ],
)
def test_what_is_no_answer_is_said_in_the_words_of_the_server(reply: Reply, said: str) -> None:
    with ModelServer() as server:
        server.otherwise = reply
        with pytest.raises(UnitError) as error:
            answer_to(server)
    assert error.value.kind == "engine_failed"
    assert said in error.value.message
