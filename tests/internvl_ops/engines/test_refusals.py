"""What a server's refusal costs: its request, or the run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from aiohttp import web

from internvl_ops.engines.base import Chat, Completion, Request, Sampling
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.openai import OpenAIEngine
from internvl_ops.errors import ConfigurationError, UnitError
from testing.model_server import ModelServer, Reply, completion, refuses, says

FLAGGED = "Your input was flagged by moderation"
ANSWERED = says(completion())
_FIRST = {"token": "7", "logprob": -0.1}
LIKELY = says(completion(logprobs={"content": [{**_FIRST, "top_logprobs": [_FIRST]}]}))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def outcomes(
    server: ModelServer, replies: Sequence[Reply], sampling: Sampling
) -> list[Completion | UnitError]:
    """What becomes of requests that are answered so, one after the other, until one ends the
    run."""
    server.script = list(replies)

    async def whole() -> list[Completion | UnitError]:
        engine = OpenAIEngine(server.url, "tiny", patience=Patience(pause_s=0.01, attempts=1))
        await engine.start()
        found: list[Completion | UnitError] = []
        try:
            while server.script:
                try:
                    found.append(await engine.generate(Request("a", chat=Chat("q")), sampling))
                except UnitError as error:
                    found.append(error)
        finally:
            await engine.close()
        return found

    return asyncio.run(asyncio.wait_for(whole(), 30))


def test_moderation_costs_the_request_that_it_refuses(server: ModelServer) -> None:
    replies = [ANSWERED, refuses(403, FLAGGED), ANSWERED]
    first, refused, last = outcomes(server, replies, Sampling())
    assert isinstance(first, Completion)
    assert isinstance(last, Completion)
    assert isinstance(refused, UnitError)
    assert refused.kind == "engine_failed"
    assert FLAGGED in refused.message


@pytest.mark.parametrize("answered", [0, 1])
def test_a_key_that_is_refused_ends_the_run(server: ModelServer, answered: int) -> None:
    """From the start, or from some moment on: then every request is refused."""
    replies = [ANSWERED] * answered + [refuses(403, "token expired")] * 100
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        outcomes(server, replies, Sampling())


@pytest.mark.parametrize(
    "reply",
    [
        refuses(402, "Insufficient credits"),
        refuses(403, "Insufficient balance. Please top up."),
        says({"error": {"message": "Please see our docs.", "code": "insufficient_quota"}}, 429),
        says({"error": {"message": "Your credit balance is too low to access the API."}}, 429),
    ],
)
def test_an_account_without_money_ends_the_run(server: ModelServer, reply: Reply) -> None:
    """Trying again would not help, and neither would an error for each row."""
    with pytest.raises(ConfigurationError, match="no credit left"):
        outcomes(server, [ANSWERED, reply], Sampling())


def test_a_single_answer_without_log_probs_is_an_error_of_its_row(server: ModelServer) -> None:
    sampling = Sampling(candidates=("7", "8"))
    replies = [ANSWERED, LIKELY, ANSWERED, ANSWERED, ANSWERED, LIKELY]
    first, bare, last = outcomes(server, replies, sampling)
    assert isinstance(first, Completion)
    assert isinstance(last, Completion)
    assert isinstance(bare, UnitError)
    assert "top_logprobs" in bare.message
    with pytest.raises(ConfigurationError, match="top_logprobs"):
        outcomes(server, [ANSWERED, ANSWERED], sampling)


@pytest.mark.parametrize("key", ["sk-secret\n", " sk-secret ", "\ufeffsk-secret", "sk-“secret”"])
def test_a_key_from_a_file(server: ModelServer, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A line break behind it is not part of it; what no header can carry is said."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    if key.strip() == "sk-secret":
        outcomes(server, [ANSWERED], Sampling())
        assert server.headers["Authorization"] == "Bearer sk-secret"
    else:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as error:
            outcomes(server, [ANSWERED], Sampling())
        assert "secret" not in str(error.value)


@pytest.mark.parametrize("charset", ["latin-1", "nonsense", "base64", "hex"])
def test_any_charset(server: ModelServer, charset: str) -> None:
    def reply(request: web.Request) -> web.Response:
        body = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'
        header: dict[str, Any] = {"Content-Type": f"application/json; charset={charset}"}
        return web.Response(body=body, headers=header)

    (answer,) = outcomes(server, [reply], Sampling())
    assert isinstance(answer, Completion)
    assert answer.text == "yes"
