"""Vectors by a server: batches, what a bad text costs, and what the server may get wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from internvl_ops.engines.base import Chat, EngineDead, Request, Sampling
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.served_vectors import ServedVectorEngine, served_size
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.replies import Numbers
from testing.model_server import ModelServer, embeds, hangs_up, refuses, says, vector_of

QUICK = Patience(away_s=2, answer_s=5, attempts=2, pause_s=0.01)


def answers(server: ModelServer, texts: Sequence[str], **settings: Any) -> list[Any]:
    given = {"normalise": False, "patience": QUICK} | settings
    engine = ServedVectorEngine(server.url, "tiny", **given)

    async def all_at_once() -> list[Any]:
        await engine.start()
        requests = [Request(text, chat=Chat(text)) for text in texts]
        asked = [engine.generate(one, Sampling()) for one in requests]
        try:
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await engine.close()

    return asyncio.run(all_at_once())


def test_each_text_has_its_own_vector_in_few_requests() -> None:
    texts = [f"text {number}" for number in range(100)]
    with ModelServer() as server:
        found = answers(server, texts, batch=16)
        sizes = sorted(len(body["input"]) for body in server.bodies[1:])
    assert [one.values.tolist() for one in found] == [vector_of(text) for text in texts]
    assert sizes == [4, *[16] * 6]
    assert server.most_at_once <= 8


def test_vectors_have_the_length_one() -> None:
    with ModelServer() as server:
        (found,) = answers(server, ["a"], normalise=True)
    expected = np.array(vector_of("a"))
    np.testing.assert_allclose(found.values, expected / np.linalg.norm(expected), rtol=1e-6)


def test_a_refused_text_costs_its_own_unit_alone() -> None:
    async def refuses_bad(request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        if any(text.startswith("long") for text in texts):
            error = {"message": "This model's maximum context length is 8 tokens", "code": 400}
            return web.json_response({"error": error}, status=400)
        return await embeds(request)

    texts = [f"{'long' if number in (3, 20) else 'text'} {number}" for number in range(30)]
    with ModelServer() as server:
        server.embeddings = refuses_bad
        found = answers(server, texts)
    failed = [number for number, one in enumerate(found) if isinstance(one, UnitError)]
    assert failed == [3, 20]
    assert found[3].kind == "prompt_too_long"
    assert "maximum context length is 8 tokens Shorten the text." in found[3].message
    assert all(
        isinstance(one, Numbers) and one.values.tolist() == vector_of(text)
        for number, (one, text) in enumerate(zip(found, texts, strict=True))
        if number not in failed
    )


def test_a_server_that_is_busy_or_away_for_a_moment_is_asked_again() -> None:
    with ModelServer(embeds, refuses(429), hangs_up, refuses(503), embeds) as server:
        (found,) = answers(server, ["a"])
    assert found.values.tolist() == vector_of("a")


def test_a_server_that_stays_away_ends_the_job() -> None:
    with ModelServer(embeds) as server:
        server.embeddings = refuses(503)
        (found,) = answers(server, ["a"], patience=Patience(away_s=0.2, pause_s=0.05))
    assert isinstance(found, EngineDead)
    assert "is away: status 503" in str(found)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ({"data": []}, "0 vectors for 1 texts"),
        ({"data": [{"index": 0, "embedding": []}]}, "a vector of the shape"),
        ({"data": [{"index": 0, "embedding": "no"}]}, "not in OpenAI's form"),
        ({"error": "x"}, "while answering: x"),
        ({"detail": "the index is gone"}, "the index is gone"),
    ],
)
def test_an_answer_of_another_form_costs_a_unit(answer: Any, match: str) -> None:
    with ModelServer(embeds) as server:
        server.embeddings = says(answer)
        (found,) = answers(server, ["a"])
    assert isinstance(found, UnitError)
    assert match in found.message
    assert found.attempts == QUICK.attempts


def test_numbers_that_are_none_cost_a_unit() -> None:
    with ModelServer(embeds) as server:
        server.embeddings = says('{"data": [{"index": 0, "embedding": [1, NaN]}]}')
        (found,) = answers(server, ["a"])
    assert isinstance(found, UnitError)
    assert "1 values that are no finite numbers" in found.message


def test_vectors_of_another_length_end_the_job() -> None:
    with (
        ModelServer() as server,
        pytest.raises(ConfigurationError, match="of 8 numbers, and gave one of 9"),
    ):
        answers(server, ["a"], size=9)


def test_base64() -> None:
    packed = base64.b64encode(np.array([1.5, -2], "<f4").tobytes()).decode()
    with ModelServer() as server:
        server.embeddings = says({"data": [{"index": 0, "embedding": packed}]})
        (found,) = answers(server, ["a"], extra_body={"encoding_format": "base64"})
        assert server.bodies[-1]["encoding_format"] == "base64"
    assert found.values.tolist() == [1.5, -2]


def test_the_key_is_sent_and_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with ModelServer() as server:
        answers(server, ["a"])
        assert server.headers["Authorization"] == "Bearer sk-secret"
        server.embeddings = refuses(401, "the key sk-secret is wrong")
        with pytest.raises(ConfigurationError) as error:
            answers(server, ["a"])
    assert "refuses the key (401): the key *** is wrong" in str(error.value)
    assert "sk-secret" not in str(error.value)


def test_the_length_is_learnt_before_a_job() -> None:
    with ModelServer() as server:
        assert served_size(server.url, "tiny") == 8
        server.embeddings = refuses(404, "no such model")
        with pytest.raises(ConfigurationError, match="no /v1/embeddings"):
            served_size(server.url, "tiny")
        server.embeddings = refuses(500, "no")
        with pytest.raises(ConfigurationError, match="it gives no vector of a text"):
            served_size(server.url, "tiny")
    with pytest.raises(ConfigurationError, match="start the server first"):
        served_size(server.url, "tiny")


def test_an_engine_that_was_closed_leaves_nobody_waiting() -> None:
    with ModelServer() as server:
        engine = ServedVectorEngine(server.url, "tiny", patience=QUICK)

        async def closed() -> list[Any]:
            await engine.start()
            asked = [
                asyncio.ensure_future(engine.generate(Request("a", chat=Chat("a")), Sampling()))
                for _ in range(3)
            ]
            await asyncio.sleep(0)
            await engine.close()
            return await asyncio.gather(*asked, return_exceptions=True)

        assert all(isinstance(one, EngineDead) for one in asyncio.run(closed()))


@pytest.mark.parametrize("name", ["batch", "concurrency"])
def test_numbers_below_one(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigurationError, match=f"{name} 0: at least 1"):
        ServedVectorEngine("http://127.0.0.1:1/v1", "tiny", **settings)
