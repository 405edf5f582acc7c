"""Who may talk to the viewer: only a page that this server sent, to a person who has the token.

Any web page that the person has open can send requests to a local port, and a name of the page's
own can be made to resolve to 127.0.0.1. So each request must name a loopback host, have the token's
cookie, and come from the page itself.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
}
_FORBIDDEN = "Open the address that the viewer printed: it has the token.\n"


class Guard:
    """Refuses with 403 all that does not come from the viewer's own page, and sets the headers of
    every answer.

    Args:
        app: What is guarded.
        token: The secret of the address; traded for a cookie, so that it does not stay in the
            address bar.
        port: The server's port, with which browsers name the host.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{host}:{port}" for host in HOSTS}
        # Browsers send cookies to every port of a host, so the name keeps two viewers apart.
        self._cookie = f"internvl_view_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # no page of the viewer opens a WebSocket
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal_or_entry(Request(scope))
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal_or_entry(self, request: Request) -> Response | None:
        if request.headers.get("host", "").lower() not in self._hosts or not self._is_own(
            request.headers
        ):
            return PlainTextResponse(_FORBIDDEN, 403)
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/" and request.method == "GET":
            return self._entry(given)
        site = request.headers.get("sec-fetch-site", "same-origin")
        known = secrets.compare_digest(
            request.cookies.get(self._cookie, "").encode(), self._token.encode()
        )
        # The address may be typed or opened again, which is "none"; pages of other ports are
        # "same-site".
        return (
            None
            if known and site in ("same-origin", "none")
            else PlainTextResponse(_FORBIDDEN, 403)
        )

    def _is_own(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is None or (
            urlsplit(origin).scheme == "http" and urlsplit(origin).netloc.lower() in self._hosts
        )

    def _entry(self, given: str) -> Response:
        if not secrets.compare_digest(given.encode("utf-8", "surrogatepass"), self._token.encode()):
            return PlainTextResponse(_FORBIDDEN, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer
