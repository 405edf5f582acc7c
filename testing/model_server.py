"""A server on loopback with the OpenAI interface and no model: answers as it is told to, and keeps
what it is asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web

Reply = Callable[[web.Request], Any]  # makes a response, or a coroutine of one


def completion(
    text: str = "A square.", finish_reason: str = "stop", **choice: Any
) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, **choice}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def vector_of(text: str, size: int = 8) -> list[float]:
    """A vector of a text: one for each text, whatever it is sent with."""
    return [float(byte) - 99 for byte in hashlib.blake2b(text.encode(), digest_size=size).digest()]


async def embeds(request: web.Request) -> web.Response:
    """Answers with a vector of each text, in an order of its own."""
    texts = (await request.json())["input"]
    data = [{"index": place, "embedding": vector_of(text)} for place, text in enumerate(texts)]
    return web.json_response({"data": data[::-1], "usage": {"prompt_tokens": len(texts)}})


def says(body: Any, status: int = 200, **headers: str) -> Reply:
    """Answers with JSON, or with a text as it stands."""
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda _: web.Response(
        text=text, status=status, headers=headers, content_type="application/json"
    )


def refuses(status: int, message: str = "no", **headers: str) -> Reply:
    return says({"error": {"message": message, "type": "Error", "code": status}}, status, **headers)


def hangs_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


def streams(*parts: str, end: bool = True) -> Reply:
    """Server-sent events: a part each; without the end mark and a reason where not ``end``."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, part in enumerate(parts, 1):
            last = end and number == len(parts)
            choice = {
                "index": 0,
                "delta": {"content": part},
                "finish_reason": "stop" if last else None,
            }
            usage = {"prompt_tokens": 7, "completion_tokens": number}
            await response.write(
                f"data: {json.dumps({'choices': [choice], 'usage': usage})}\n\n".encode()
            )
        if end:
            await response.write(b"data: [DONE]\n\n")
        return response

    return reply


def sends(data: bytes, in_pieces_of: int = 1 << 20) -> Reply:
    """An event stream as it stands."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for start in range(0, len(data), in_pieces_of):
            await response.write(data[start : start + in_pieces_of])
        return response

    return reply


class ModelServer:
    """Answers chat requests by ``script``, one entry a request; afterwards always as ``otherwise``.
    Requests of vectors likewise, at last as ``embeddings``.

    Attributes:
        script: What comes next.
        otherwise: What comes when the script is used up.
        embeddings: The same, for vectors.
        models: What `/models` says.
        bodies: JSON of the requests, in order.
        headers: Of the last request.
        most_at_once: Most requests that were open at the same time.
    """

    def __init__(self, *script: Reply, owned_by: str = "test") -> None:
        self.script = list(script)
        self.otherwise: Reply = says(completion())
        self.embeddings: Reply = embeds
        self.models: Reply = says({"data": [{"id": "tiny", "owned_by": owned_by}]})
        self.bodies: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.most_at_once = self._open = 0
        self._loop = asyncio.new_event_loop()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ModelServer:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def up(self) -> None:
        asyncio.run_coroutine_threadsafe(self._up(), self._loop).result()

    def down(self) -> None:
        """Nobody listens at the port any more."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()

    async def _up(self) -> None:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_get("/v1/models", lambda request: self._reply(self.models, request))
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embed)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _reply(self, reply: Reply, request: web.Request) -> web.StreamResponse:
        response = reply(request)
        return await response if asyncio.iscoroutine(response) else response

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._next(request, self.otherwise)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        return await self._next(request, self.embeddings)

    async def _next(self, request: web.Request, otherwise: Reply) -> web.StreamResponse:
        self.headers = dict(request.headers)
        self.bodies.append(await request.json())
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            return await self._reply(self.script.pop(0) if self.script else otherwise, request)
        finally:
            self._open -= 1
