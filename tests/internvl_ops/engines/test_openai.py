"""The endpoint as an engine: what is sent, what is asked again, and what an error becomes. The real
server's side is in test_serve.py."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from internvl_ops.engines.base import Chat, Completion, EngineDead, Request, Sampling
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.openai import OpenAIEngine, check_served
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import ConfigurationError, UnitError
from testing.model_server import ModelServer, completion, hangs, hangs_up, refuses, says, streams

QUICK = Patience(away_s=2, answer_s=5, pause_s=0.01)
KEY = "sk-very-secret"
TOO_LONG = (
    "This model's maximum context length is 8192 tokens. However, your prompt contains 9000 input"
    " tokens."
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ModelServer() as running:
        yield running


def picture(kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, kind)
    return file.getvalue()


def asked(question: str = "What is it?", *pictures: bytes | str, **chat: Any) -> Request:
    return Request("one", chat=Chat(question, pictures=pictures, **chat))


def answer(
    server: ModelServer,
    request: Request | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    watch: Any = None,
    patience: Patience = QUICK,
    **options: Any,
) -> Completion:
    async def whole() -> Completion:
        engine = OpenAIEngine(server.url, "tiny", patience=patience, **options)
        await engine.start()
        try:
            return await engine.generate(request or asked(), sampling, watch)
        finally:
            engine.shutdown()

    return asyncio.run(asyncio.wait_for(whole(), 30))


def content(server: ModelServer, message: int = -1) -> Any:
    return server.bodies[-1]["messages"][message]["content"]


class TestWhatIsSent:
    def test_a_text(self, server: ModelServer) -> None:
        given = answer(server, asked("What is it?", system_message="Be brief."))
        assert (given.text, given.finish_reason) == ("A square.", "stop")
        assert (given.prompt_tokens, given.completion_tokens) == (7, 3)
        body = server.bodies[-1]
        assert body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it?"},
        ]
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny", 30, 0.0)
        assert body["skip_special_tokens"] is False
        assert server.headers["Authorization"] == f"Bearer {KEY}"

    def test_without_a_key_none_is_sent(
        self, server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        answer(server)
        assert "Authorization" not in server.headers

    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
    def test_bytes_as_a_data_url(self, server: ModelServer, kind: str) -> None:
        data = picture(kind)
        answer(server, asked("<image>\nWhat is it?", data))
        image, text = content(server)
        assert (
            image["image_url"]["url"]
            == f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        )
        assert text == {"type": "text", "text": "What is it?"}

    def test_a_uri_as_it_is(self, server: ModelServer) -> None:
        answer(server, asked("<image>\nWhat is it?", "https://example.org/a.jpg"))
        assert content(server)[0] == {
            "type": "image_url",
            "image_url": {"url": "https://example.org/a.jpg"},
        }

    @pytest.mark.parametrize(
        ("question", "shapes"),
        [
            ("<image>\nWhat is it?", [None, "What is it?"]),
            (
                "Image-1: <image>\nImage-2: <image>\nSame?",
                ["Image-1: ", None, "\nImage-2: ", None, "\nSame?"],
            ),
            ("<image> or <image>?", [None, " or ", None, "?"]),
            ("What is <image>", ["What is ", None, ""]),
        ],
    )
    def test_pictures_between_texts(
        self, server: ModelServer, question: str, shapes: list[str | None]
    ) -> None:
        answer(server, asked(question, *["https://example.org/a.jpg"] * question.count("<image>")))
        assert [part.get("text") for part in content(server)] == shapes

    def test_earlier_turns(self, server: ModelServer) -> None:
        request = Request(
            "one", chat=Chat("And now?", [("<image>\nWhat?", "A dog.")], ["https://example.org/a"])
        )
        answer(server, request)
        assert [message["role"] for message in server.bodies[-1]["messages"]] == [
            "user",
            "assistant",
            "user",
        ]
        assert [part["type"] for part in content(server, 0)] == ["image_url", "text"]
        assert (content(server, 1), content(server, 2)) == ("A dog.", "And now?")

    def test_sampling(self, server: ModelServer) -> None:
        sampling = Sampling(
            5,
            0.7,
            0.9,
            1.2,
            seed=3,
            stop_token_ids=(9,),
            ignore_stop=True,
            json_schema='{"type": "object"}',
        )
        answer(server, sampling=sampling)
        expected = {
            "max_tokens": 5,
            "temperature": 0.7,
            "top_p": 0.9,
            "repetition_penalty": 1.2,
            "seed": 3,
            "stop_token_ids": [9],
            "ignore_eos": True,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}},
            },
        }
        assert expected.items() <= server.bodies[-1].items()
        assert "top_k" not in server.bodies[-1]  # OpenAI's own servers refuse it
        answer(server, sampling=Sampling(top_k=20))
        assert server.bodies[-1]["top_k"] == 20
        answer(
            server,
            sampling=Sampling(choices=("yes", "no")),
            extra_body={"top_k": 4, "temperature": 0.1},
        )
        body = server.bodies[-1]
        assert body["structured_outputs"] == {"choice": ["yes", "no"]}
        assert (body["top_k"], body["temperature"]) == (4, 0.1)

    def test_a_least_length_goes_to_servers_that_take_it(self, server: ModelServer) -> None:
        answer(server, sampling=Sampling(30, min_new_tokens=8))
        assert "min_tokens" not in server.bodies[-1]
        server.models = says({"data": [{"id": "tiny", "owned_by": "vllm"}]})
        answer(server, sampling=Sampling(30, min_new_tokens=8))
        assert server.bodies[-1]["min_tokens"] == 8
        answer(server, sampling=Sampling(30))
        assert "min_tokens" not in server.bodies[-1]

    def test_tiles_in_each_servers_way(self, server: ModelServer) -> None:
        request = asked("<image>\nWhat is it?", "https://example.org/a.jpg", max_tiles=6)
        answer(server, request)
        assert content(server)[0]["image_url"]["max_dynamic_patch"] == 6
        server.models = says({"data": [{"id": "tiny", "owned_by": "vllm"}]})
        answer(server, request)
        assert server.bodies[-1]["mm_processor_kwargs"] == {"max_dynamic_patch": 6}
        answer(server, request, send_max_tiles=False)
        assert "max_dynamic_patch" not in str(server.bodies[-1])

    @pytest.mark.parametrize("wrong", [asked("<image>?"), asked("?", "u:a"), Request("rendered")])
    def test_what_fits_not_together(self, server: ModelServer, wrong: Request) -> None:
        with pytest.raises(UnitError):
            answer(server, wrong)
        assert server.bodies == []


class TestAnswers:
    def test_stop_tokens_that_a_server_leaves(self, server: ModelServer) -> None:
        server.script = [says(completion(" <ref>car</ref><|im_end|>\n"))]
        assert answer(server).text == "<ref>car</ref>"

    def test_token_ids_and_logprobs_of_a_server_that_has_them(self, server: ModelServer) -> None:
        tokens = [
            {
                "token": "token_id:5",
                "logprob": -0.1,
                "top_logprobs": [{"token": "token_id:8", "logprob": -2}],
            }
        ]
        server.script = [says(completion(token_ids=[5], logprobs={"content": tokens}))]
        given = answer(server, sampling=Sampling(logprobs=1))
        assert (given.token_ids, given.logprobs) == ([5], [{5: -0.1, 8: -2.0}])
        assert {"logprobs": True, "top_logprobs": 1}.items() <= server.bodies[-1].items()

    def test_logprobs_by_text_are_refused(self, server: ModelServer) -> None:
        tokens = [{"token": " a", "logprob": -0.1, "top_logprobs": []}]
        server.script = [says(completion(logprobs={"content": tokens}))]
        with pytest.raises(ConfigurationError, match="`logprobs`"):
            answer(server, sampling=Sampling(logprobs=0))

    def test_an_end_that_is_no_answer(self, server: ModelServer) -> None:
        server.script = [says(completion(finish_reason="content_filter"))]
        with pytest.raises(UnitError, match="content_filter"):
            answer(server)

    def test_a_watched_answer_is_ended(self, server: ModelServer) -> None:
        server.script = [streams(*["ha "] * 100)]
        seen: list[str] = []

        def watch(text: Any) -> bool:
            seen.append(text)
            return text.count("ha") >= 32

        given = answer(server, watch=watch)
        assert (given.finish_reason, given.text, given.prompt_tokens) == ("watch", seen[-1], 7)
        assert [text.count("ha") for text in seen] == [16, 32]

    def test_a_watched_answer_that_ends_by_itself(self, server: ModelServer) -> None:
        server.script = [streams("A ", "red ", "square.")]
        given = answer(server, watch=lambda _: False)
        assert (given.finish_reason, given.text, given.completion_tokens) == (
            "stop",
            "A red square.",
            3,
        )

    def test_a_server_that_does_not_stream(self, server: ModelServer) -> None:
        given = answer(server, watch=lambda _: False)
        assert (given.text, given.finish_reason, given.completion_tokens) == (
            "A square.",
            "stop",
            3,
        )

    def test_without_streaming(self, server: ModelServer) -> None:
        assert answer(server, watch=lambda _: True, streams=False).finish_reason == "stop"
        assert "stream" not in server.bodies[-1]


class TestAskedAgain:
    @pytest.mark.parametrize(
        "trouble",
        [
            refuses(500),
            refuses(502),
            refuses(503),
            refuses(429),
            hangs_up,
            says("<html>"),
            says({}),
            says({"choices": []}),
        ],
    )
    def test_what_may_pass(self, server: ModelServer, trouble: Any) -> None:
        server.script = [trouble, trouble]
        assert answer(server).text == "A square."
        assert len(server.bodies) == 3

    @pytest.mark.parametrize(
        "trouble", [streams("A ", end=False), says("data: {]\n\n"), refuses(500)]
    )
    def test_a_stream_that_breaks(self, server: ModelServer, trouble: Any) -> None:
        server.script = [trouble, streams("A square.")]
        assert answer(server, watch=lambda _: False).text == "A square."

    def test_a_server_says_when(self, server: ModelServer) -> None:
        server.script = [refuses(429, **{"Retry-After": "1"})]
        loop_times: list[float] = []
        server.otherwise = _timed(loop_times, says(completion()))
        server.script.insert(0, _timed(loop_times, refuses(503)))
        answer(server, patience=Patience(away_s=30, pause_s=0.001))
        assert loop_times[1] - loop_times[0] >= 1

    def test_a_server_that_is_restarted(self, server: ModelServer) -> None:
        def goes_down_for_a_while(request: web.Request) -> web.Response:
            asyncio.get_running_loop().create_task(_restart(server))
            return hangs_up(request)

        server.script = [goes_down_for_a_while]
        assert answer(server, patience=Patience(away_s=20, pause_s=0.05)).text == "A square."


async def _restart(server: ModelServer) -> None:
    await server._runner.cleanup()
    await server._up()


def _timed(times: list[float], reply: Any) -> Callable[[web.Request], Any]:
    def timed(request: web.Request) -> Any:
        times.append(asyncio.get_running_loop().time())
        return reply(request)

    return timed


class TestGivenUp:
    @pytest.mark.parametrize(
        ("status", "words", "kind"),
        [
            (400, TOO_LONG, "prompt_too_long"),
            (400, "The prompt is too long", "prompt_too_long"),
            (400, "cannot identify image file", "engine_failed"),
            (422, "Unprocessable", "engine_failed"),
            (413, "payload", "engine_failed"),
        ],
    )
    def test_a_request_that_is_refused(
        self, server: ModelServer, status: int, words: str, kind: str
    ) -> None:
        server.script = [refuses(status, words)]
        with pytest.raises(UnitError) as error:
            answer(server)
        assert (error.value.stage, error.value.kind) == ("generate", kind)
        assert words in error.value.message
        assert len(server.bodies) == 1

    def test_a_request_that_breaks_the_server_each_time(self, server: ModelServer) -> None:
        server.otherwise = refuses(500, "out of memory")
        with pytest.raises(UnitError, match="out of memory") as error:
            answer(server)
        assert (error.value.kind, error.value.attempts, len(server.bodies)) == (
            "engine_failed",
            3,
            3,
        )

    def test_an_answer_that_takes_too_long(self, server: ModelServer) -> None:
        server.otherwise = hangs
        with pytest.raises(UnitError, match=r"no answer within 0\.2 s") as error:
            answer(server, patience=Patience(answer_s=0.2, attempts=2, pause_s=0.01))
        assert error.value.kind == "timeout"

    def test_too_many_requests_for_too_long(self, server: ModelServer) -> None:
        server.otherwise = refuses(429, "slow down")
        with pytest.raises(UnitError, match="slow down") as error:
            answer(server, patience=Patience(away_s=0.2, pause_s=0.05))
        assert error.value.kind == "engine_failed"

    @pytest.mark.parametrize(
        ("status", "words", "said"),
        [
            (401, f"Incorrect API key provided: {KEY}", "OPENAI_API_KEY"),
            (403, "no", "OPENAI_API_KEY"),
            (404, "The model `tiny` does not exist", "`model`"),
            (307, "", "`base_url`"),
            (
                400,
                "Per-request mm_processor_kwargs are disabled by default",
                "`trust_request_mm_kwargs`",
            ),
        ],
    )
    def test_what_every_request_would_meet(
        self, server: ModelServer, status: int, words: str, said: str
    ) -> None:
        server.script = [refuses(status, words)]
        with pytest.raises(ConfigurationError) as error:
            answer(server)
        assert said in str(error.value)
        assert KEY not in str(error.value)

    def test_a_server_that_is_away(self, server: ModelServer) -> None:
        def dies(request: web.Request) -> web.Response:
            asyncio.get_running_loop().create_task(server._runner.cleanup())
            return hangs_up(request)

        server.script = [dies]
        with pytest.raises(EngineDead, match=r"is away: .*run the job again") as error:
            answer(server, patience=Patience(away_s=0.3, pause_s=0.05))
        assert f"http://127.0.0.1:{server.port}/v1" in str(error.value)

    def test_a_server_that_comes_back_after_that(self, server: ModelServer) -> None:
        """Whoever gave up is asked again once it is back, as with an engine that was started
        anew."""

        def dies(request: web.Request) -> web.Response:
            asyncio.get_running_loop().create_task(server._runner.cleanup())
            return hangs_up(request)

        server.script = [dies]
        patience = Patience(away_s=0.3, pause_s=0.05)
        made: list[OpenAIEngine] = []

        def make() -> OpenAIEngine:
            if made:
                server.up()
            made.append(OpenAIEngine(server.url, "tiny", patience=patience))
            return made[-1]

        async def whole() -> Completion:
            engine = Recovering(make)
            await engine.start()
            try:
                return await engine.generate(asked(), Sampling())
            finally:
                made[-1].shutdown()

        assert asyncio.run(asyncio.wait_for(whole(), 30)).text == "A square."
        assert len(made) == 2


class TestStarting:
    def test_the_only_model_needs_no_name(self, server: ModelServer) -> None:
        async def whole() -> None:
            engine = OpenAIEngine(server.url, patience=QUICK)
            await engine.start()
            await engine.generate(asked(), Sampling())
            engine.shutdown()

        asyncio.run(whole())
        assert server.bodies[-1]["model"] == "tiny"

    @pytest.mark.parametrize(
        ("models", "said"),
        [
            (says({"data": [{"id": "big"}, {"id": "small"}]}), "It serves big, small"),
            (says({"hello": 1}), "no list of models"),
            (says("<html>"), "no list of models"),
            (refuses(404, "Not Found"), "`base_url`"),
            (refuses(401, "who?"), "OPENAI_API_KEY"),
        ],
    )
    def test_what_is_wrong_is_said(self, server: ModelServer, models: Any, said: str) -> None:
        server.models = models
        with pytest.raises(ConfigurationError, match=said):
            answer(server)

    def test_asked_before_anything_starts(self, server: ModelServer) -> None:
        assert asyncio.run(check_served(server.url, "tiny")) is None
        with pytest.raises(
            ConfigurationError, match=r"It serves tiny\. Did you mean .`model`=tiny\?"
        ):
            asyncio.run(check_served(server.url, "tinny"))
        server.models = refuses(503)
        assert "is away" in (asyncio.run(check_served(server.url, "tiny")) or "")

    @pytest.mark.parametrize("place", ["127.0.0.1:99999", "127.0.0.1:1", "[::1"])
    def test_a_password_in_the_address_is_never_shown(self, place: str) -> None:
        with pytest.raises((ConfigurationError, EngineDead, ValueError)) as error:
            asyncio.run(
                OpenAIEngine(
                    f"http://me:s3cr3t@{place}/v1", "tiny", patience=Patience(away_s=0)
                ).start()
            )
        assert "s3cr3t" not in str(error.value)

    def test_nobody_there(self, server: ModelServer) -> None:
        server.down()
        with pytest.raises(EngineDead, match="is away"):
            answer(server, patience=Patience(away_s=0.2, pause_s=0.05))
        server.up()

    def test_it_waits_for_a_server_that_is_loading(self, server: ModelServer) -> None:
        ready = server.models
        server.models = refuses(503)

        def loads(request: web.Request) -> Any:
            server.models = ready
            return refuses(503)(request)

        server.models = loads
        assert answer(server).text == "A square."

    def test_before_it_is_started(self) -> None:
        with pytest.raises(EngineDead, match="call start"):
            asyncio.run(OpenAIEngine("http://127.0.0.1:1/v1", "tiny").generate(asked(), Sampling()))


def test_no_more_requests_at_once_than_asked_for(server: ModelServer) -> None:
    reached: list[int] = []

    async def waits_for_the_third(request: web.Request) -> web.Response:
        reached.append(1)
        while len(reached) < 3:
            await asyncio.sleep(0.001)
        return says(completion())(request)

    server.otherwise = waits_for_the_third

    async def whole() -> None:
        engine = OpenAIEngine(server.url, "tiny", concurrency=3, patience=QUICK)
        await engine.start()
        await asyncio.gather(*(engine.generate(asked(), Sampling()) for _ in range(12)))
        engine.shutdown()

    asyncio.run(asyncio.wait_for(whole(), 30))
    assert (server.most_at_once, len(server.bodies)) == (3, 12)
