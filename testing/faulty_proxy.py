"""An HTTP proxy in front of an object store that does to its requests what networks and busy stores
do."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import aiohttp
from aiohttp import web
from yarl import URL

from testing.background import Background

STATUSES = (500, 503, 429)
KINDS = ("status", "reset", "lost", "cut", "stall")
_OF_CONNECTIONS = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class FaultyProxy(Background):
    """Passes requests on to ``upstream``, but for some of them.

    - ``status``: answered 500, 503 or 429, and not passed on.
    - ``reset``: the connection is cut before the request is passed on.
    - ``lost``: the request is passed on, and the connection cut instead of an answer.
    - ``cut``: the body of the answer ends half way.
    - ``stall``: no answer for `stall_s`, then the connection is cut.

    Attributes:
        rate: Fraction of requests that something happens to.
        down: Nobody is answered at all.
        full: What would be stored is refused, as by a store without room.
        slow: What is answered late, by a part of its path, and how many seconds.
        kinds: What happens, drawn evenly.
        fired: How often each did.
    """

    def __init__(
        self, upstream: str, *, rate: float = 0.0, kinds: tuple[str, ...] = KINDS, seed: int = 0
    ) -> None:
        super().__init__()
        self.upstream, self.rate, self.kinds = upstream.rstrip("/"), rate, kinds
        self.down = self.full = False
        self.stall_s = 3.0
        self.slow: tuple[str, float] | None = None
        self.fired: Counter[str] = Counter()
        self._rng = random.Random(seed)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _start(self) -> None:
        self._client = aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
        )
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        kind = (
            "down"
            if self.down
            else self._rng.choice(self.kinds)
            if self._rng.random() < self.rate
            else ""
        )
        body = await request.read()
        if kind:
            self.fired[kind] += 1
        if kind == "status":
            return web.Response(status=self._rng.choice(STATUSES))
        if self.full and request.method == "PUT":
            self.fired["full"] += 1
            return web.Response(status=507)
        if self.slow and self.slow[0] in request.path:
            await asyncio.sleep(self.slow[1])
        if kind == "stall":
            await asyncio.sleep(self.stall_s)
        if kind in ("down", "reset", "stall"):
            return self._hang_up(request)
        status, headers, content = await self._passed_on(request, body)
        if kind == "lost":
            return self._hang_up(request)
        response = web.StreamResponse(status=status, headers=headers)
        if request.method == "HEAD" or status == 304:
            response.headers.update({"Content-Length": headers.get("X-Length", "0")})
        else:
            response.content_length = len(content)
        with contextlib.suppress(ConnectionError):  # the client may have given up
            await response.prepare(request)
            if kind == "cut" and len(content) > 1:
                await response.write(content[: len(content) // 2])
                return self._hang_up(request)
            if request.method != "HEAD":
                await response.write(content)
            await response.write_eof()
        return response

    async def _passed_on(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _OF_CONNECTIONS
        }
        headers.pop("Expect", None)
        url = self.upstream + request.raw_path
        async with self._client.request(
            request.method, _as_sent(url), headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            content = await answer.read()
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in _OF_CONNECTIONS
            }
            if "Content-Length" in answer.headers:
                kept["X-Length"] = answer.headers["Content-Length"]
            return answer.status, kept, content

    def _hang_up(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def _as_sent(url: str) -> URL:
    """The URL untouched: it is signed."""
    return URL(url, encoded=True)
