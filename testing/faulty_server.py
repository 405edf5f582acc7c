"""An HTTP server on loopback that misbehaves in the ways real ones do."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter

from aiohttp import web

from testing.background import Background

BODY = bytes(range(256)) * 40


class FaultyServer(Background):
    """Serves ``BODY`` under every path; the query says what goes wrong first.

    ``?status=503&times=2``: that status for the first two requests of the path, with ``&after=N``
    as Retry-After. ``?reset=1``: the first request's connection is reset. ``?short=1``: the first
    body ends early. ``?stall=1``: the first request gets half a body and then nothing.
    ``?endless=1``: a body without end or length. ``?claims=N``: a stated length of N bytes.
    ``?to=URL``: a redirect. ``?gzip=1``: a compressed body. ``?cookie=1``: a redirect to itself
    until the cookie comes back.
    ``?cut=gzip``: a body of this encoding; the first one ends early, with the length that it has.
    ``?range=0-9/99``: the first answer has status 206 and says that it is this part; with
    ``&always=1`` every one.
    ``?circle=1``: a redirect to itself. ``?delay=S``: an answer after S seconds.

    Attributes:
        asked: What the request lines asked for, in order.
        hits: How often each path was asked for.
        most_at_once: Most requests that were open at the same time.
        headers: The last request's headers.
        fail_next: How many of the next requests, whatever they ask for, are answered 503.
        location: Where ``?located=1`` redirects to.
        expired_next: How many of the next are told that S3 credentials have expired, in the words
            ``expired_code``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.hits: Counter[str] = Counter()
        self.most_at_once = 0
        self.headers: dict[str, str] = {}
        self.fail_next = 0
        self.location = ""
        self.expired_next, self.expired_code = 0, "ExpiredToken"
        self._open = 0

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.raw_path)
        self.hits[request.path] += 1
        self.headers = dict(request.headers)
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            return await self._misbehave(request, self.hits[request.path], request.query)
        finally:
            self._open -= 1

    async def _misbehave(self, request: web.Request, hit: int, query) -> web.StreamResponse:
        if self.expired_next > 0:
            self.expired_next -= 1
            words = (
                f"<Error><Code>{self.expired_code}</Code><Message>The token has"
                " expired.</Message></Error>"
            )
            return web.Response(status=403, text=words, content_type="application/xml")
        if self.fail_next > 0:
            self.fail_next -= 1
            return web.Response(status=503)
        if "delay" in query:
            await asyncio.sleep(float(query["delay"]))
        if "status" in query and hit <= int(query.get("times", 1_000_000)):
            headers = {"Retry-After": query["after"]} if "after" in query else {}
            return web.Response(status=int(query["status"]), headers=headers, text="no")
        if "located" in query:
            return web.Response(status=302, headers={"Location": self.location})
        if "to" in query:
            return web.Response(status=302, headers={"Location": query["to"]})
        if "cookie" in query and "sid" not in request.cookies:
            again = web.Response(status=302, headers={"Location": request.raw_path})
            again.set_cookie("sid", "1")
            return again
        if "circle" in query:
            return web.Response(status=302, headers={"Location": str(request.rel_url)})
        if "gzip" in query:
            response = web.Response(body=BODY)
            response.enable_compression(web.ContentCoding.gzip)
            return response
        if "cut" in query:
            packed = gzip.compress(BODY)
            sent = packed[:-20] if hit == 1 else packed
            return web.Response(body=sent, headers={"Content-Encoding": query["cut"]})
        if "range" in query and (hit == 1 or "always" in query):
            return web.Response(
                status=206, body=BODY, headers={"Content-Range": f"bytes {query['range']}"}
            )
        if "reset" in query and hit == 1:
            request.transport.abort()
        if (
            "endless" in query
            or "claims" in query
            or (hit == 1 and ("short" in query or "stall" in query))
        ):
            return await self._stream(request, query)
        return web.Response(body=BODY)

    async def _stream(self, request: web.Request, query) -> web.StreamResponse:
        response = web.StreamResponse()
        if "endless" not in query:
            response.content_length = int(query.get("claims", len(BODY)))
        await response.prepare(request)
        await response.write(BODY[: len(BODY) // 2])
        if "short" in query:
            request.transport.close()
        while "endless" in query:
            await response.write(BODY)
        if "stall" in query:
            await asyncio.Event().wait()
        return response
