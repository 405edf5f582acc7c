"""HTTP to a model server: retries while it is away or busy, and translates its errors into this
project's errors."""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from internvl_ops.engines.base import EngineDead
from internvl_ops.engines.refusals import KEY_VARIABLE, TOO_LONG, Again, Refusal
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_text, safe_uri

# the import takes a quarter of a second, and every command imports this module for its options
if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Errors that are raised when the response is not an answer.
_NO_ANSWER = (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError)

LONGEST_PAUSE_S = 30.0
_FORBIDDEN_IN_A_ROW = 20  # so many, without an answer between, are about the key
LONGEST_WORDS = 300  # maximum characters of a server's text in a message
# a \r at the end may be the first half of \r\n
_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for an endpoint.

    Args:
        away_s: Seconds for which it may be away, or refuse requests because it is busy, before a
            request fails.
        answer_s: Maximum seconds for one answer.
        attempts: How often one request may fail for other reasons, such as status 500 or an answer
            that is not JSON.
        pause_s: Seconds before the second attempt; doubled before each further one.
    """

    away_s: float = 300.0
    answer_s: float = 600.0
    attempts: int = 3
    pause_s: float = 0.5


def api_key() -> str:
    """The key in the environment; empty if there is none.

    Raises:
        ConfigurationError: No request can carry it.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()  # a file may end in a line break
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError(
            f"The environment variable {KEY_VARIABLE} holds characters that no request can carry,"
            " such as a line break or a typographic quote. Set it to the key alone."
        )
    return key


class UnreadableStream(UnitError):
    """The server's stream is not a readable answer; the same request without streaming may work."""


class Endpoint:
    """One OpenAI-compatible server. Bound to the event loop in which it is made.

    Args:
        url: The address, including ``/v1``.
        key: Sent as bearer token unless empty. Never part of a message.
        patience: How long to wait for it.
        connections: Maximum number of simultaneous requests.
        too_long: What to do about a prompt that is too long, for the message; by default, lower
            the number of tiles.
    """

    def __init__(
        self, url: str, key: str, patience: Patience, connections: int, *, too_long: str = ""
    ) -> None:
        import aiohttp

        self._too_long = too_long or f"Lower {keyword('max_tiles')}."

        self._url, self._key, self._patience = url.rstrip("/"), key, patience
        self.name = safe_uri(self._url)
        self._away_since: float | None = None
        # answers with status 403 since the last real answer; None before the first one
        self._forbidden: int | None = None
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=patience.answer_s, sock_connect=10),
            connector=aiohttp.TCPConnector(limit=connections),
        )

    async def get(self, path: str) -> Any:
        """The JSON at ``path``; raises the same errors as `post`."""
        return await self._patiently(lambda: self._json("GET", path, None))

    async def post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        """The result of ``read`` on the JSON answer.

        Args:
            path: Such as ``/chat/completions``.
            body: Sent as JSON.
            read: Raises KeyError, TypeError, IndexError or ValueError if the JSON is not such an
                answer; the request is then sent again.

        Raises:
            UnitError: The server refuses this request, or fails at it repeatedly.
            ConfigurationError: The server refuses every such request, because of the key, the
                address or the model.
            EngineDead: The server is away for longer than the patience allows.
        """

        async def once() -> T:
            return _read(read, await self._json("POST", path, body))

        return await self._answered(once)

    async def stream(
        self, path: str, body: dict[str, Any], read: Callable[[AsyncIterator[Any]], Awaitable[T]]
    ) -> T:
        """The result of ``read`` on the streamed parts; it may return early. Raises the same errors
        as `post`."""

        async def once() -> T:
            async with self._send("POST", path, body) as response:
                await self._check(response)
                try:
                    return await read(_events(response))
                except _NO_ANSWER as error:
                    message = f"a part of the answer is not as expected: {error!r:.100}"
                    raise Again(message, unreadable=True) from error

        return await self._answered(once)

    async def close(self) -> None:
        await self._session.close()

    def _send(self, method: str, path: str, body: Any) -> Any:
        # A redirect would carry the key along, and turn a POST into a GET.
        return self._session.request(method, self._url + path, json=body, allow_redirects=False)

    async def _json(self, method: str, path: str, body: Any) -> Any:
        async with self._send(method, path, body) as response:
            await self._check(response)
            text = await _text_of(response)
        return _event(_read(json.loads, text))

    async def _answered(self, once: Callable[[], Awaitable[T]]) -> T:
        answer = await self._patiently(once)
        self._forbidden = 0
        return answer

    async def _patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        import aiohttp

        failures, since, attempt = 0, None, 0
        while True:
            attempt += 1
            try:
                answer = await once()
                self._is_back()
                return answer
            except (aiohttp.InvalidURL, UnicodeError, OverflowError):
                # The library's messages repeat the address, including its password.
                address = keyword("base_url", self.name)
                raise ConfigurationError(
                    f"{address} is no address. Give http://HOST:PORT/v1."
                ) from None
            except (aiohttp.ClientError, TimeoutError, Again) as error:
                again = _again(error, self._patience.answer_s)
            pause = min(
                LONGEST_PAUSE_S, self._patience.pause_s * 2 ** min(attempt - 1, 10)
            ) * random.uniform(0.5, 1)
            pause = max(pause, again.wait_s)
            if again.away or again.busy:
                since = time.monotonic() if since is None else since
                over = time.monotonic() + pause - since > self._patience.away_s
            else:
                failures += 1
                over = failures >= self._patience.attempts
            if over:
                raise self._given_up(again, attempt)
            if again.away:
                self._is_away(again)
            await asyncio.sleep(pause)

    def _is_away(self, last: Again) -> None:
        if self._away_since is None:  # only the first request that fails sets it
            self._away_since = time.monotonic()
            message = (
                f"{self.name} is away: {self._safe(last.reason)}. Trying again for"
                f" {self._patience.away_s:g} s."
            )
            note(logger, "server_away", message)

    def _is_back(self) -> None:
        if self._away_since is not None:
            seconds, self._away_since = round(time.monotonic() - self._away_since, 1), None
            note(
                logger,
                "server_back",
                f"{self.name} answers again after {seconds:g} s.",
                seconds=seconds,
            )

    def _given_up(self, last: Again, attempts: int) -> Exception:
        if last.away:
            return EngineDead(
                f"{self.name} is away: {self._safe(last.reason)}. It was asked {attempts} times"
                f" within {self._patience.away_s:g} s. Start it again, or correct"
                f" {keyword('base_url')}, and run the job again: it goes on where it stopped."
            )
        message = (
            f"{self.name} failed at this request {attempts} times, at last:"
            f" {self._safe(last.reason)}"
        )
        kind = UnreadableStream if last.unreadable else UnitError
        return kind("generate", "timeout" if last.slow else "engine_failed", message, attempts)

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        from internvl_ops.media.transports import retry_after

        if 200 <= response.status < 300:
            return
        text = await _text_of(response)
        if response.status == 403 and self._forbidden is not None:
            self._forbidden += 1
        raise Refusal(
            status=response.status,
            words=self._safe(_words(text)),
            code=_code(text),
            server=self.name,
            path=response.url.path,
            wait_s=retry_after(response.headers.get("Retry-After")),
            too_long=self._too_long,
            alone=self._forbidden is not None and self._forbidden < _FORBIDDEN_IN_A_ROW,
        ).error()

    def _safe(self, words: str) -> str:
        """``words`` without the key, which some servers repeat, and without the password of the
        address."""
        for secret in (self._key, urlsplit(self._url).netloc.rpartition("@")[0]):
            words = words.replace(secret, "***") if secret else words
        return safe_text(words)


def _again(error: Exception, answer_s: float) -> Again:
    import aiohttp

    if isinstance(error, Again):
        return error
    reason = str(error) or type(error).__name__
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
        return Again(f"no answer within {answer_s:g} s", slow=True)
    return Again(reason, away=isinstance(error, aiohttp.ClientConnectionError))


def _read(read: Callable[[Any], T], answer: Any) -> T:
    try:
        return read(answer)
    except _NO_ANSWER as error:
        # a ValueError of a reader says what is wrong; other exceptions say nothing to the user
        said = str(error) if type(error) is ValueError else _json_of(answer)
        shown = answer if isinstance(answer, str) else said
        raise Again(f"the answer is not in OpenAI's form: {shown[:LONGEST_WORDS]!r}") from error


def _json_of(answer: Any) -> str:
    try:
        return json.dumps(answer, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "JSON that is nested too deep"


async def _text_of(response: aiohttp.ClientResponse) -> str:
    """The body as text, whatever encoding the server names, without a byte order mark."""
    try:
        text = await response.text(errors="replace")
    except LookupError:  # the name of a codec that gives no text
        text = await response.text("utf-8", errors="replace")
    return text.removeprefix("\ufeff")


def _code(text: str) -> str:
    """The code of an error in OpenAI's form, such as ``insufficient_quota``; empty if there is
    none."""
    try:
        error = json.loads(text)["error"]
        return " ".join(str(error[name]) for name in ("code", "type") if error.get(name))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def _words(text: str) -> str:
    """The error text of a server, from any of the formats that servers use."""
    try:
        said = json.loads(text)
        said = said.get("error", said)
        text = (
            str(said.get("message") or said.get("detail") or said)
            if isinstance(said, dict)
            else str(said)
        )
    except (ValueError, AttributeError, RecursionError):
        pass
    # replaces lone surrogates
    text = text[: 100 * LONGEST_WORDS].encode("utf-8", "replace").decode()
    return " ".join(text.split())[:LONGEST_WORDS] or "no words"


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    """The JSON values of a server-sent event stream, then None for its end mark. A server that does
    not stream sends one value, which is followed by None.

    A value may span several lines, and the blank line after it may be missing.
    """
    if response.content_type == "application/json":
        yield _event(json.loads(await _text_of(response)))
        yield None
        return
    begun = ""
    async for line in _lines(response.content):
        if not line.startswith(b"data:"):
            if begun.strip() and not line:
                raise ValueError(f"{begun:.60}")
            continue
        begun += line[5:].decode(errors="replace") + "\n"
        if begun.strip() == "[DONE]":
            yield None
            return
        try:
            event = json.loads(begun)
        except ValueError:
            continue
        begun = ""
        if event is not None:
            yield _event(event)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length, with any line ending."""
    rest, begun = b"", False
    async for chunk in content.iter_any():
        if not begun:
            chunk, begun = chunk.removeprefix(codecs.BOM_UTF8), True
        *whole, rest = _LINE_END.split(rest + chunk)
        for line in whole:
            yield line
    yield rest.rstrip(b"\r")


def _event(event: Any) -> Any:
    """The event; raises if it reports an error that occurred after the status was sent."""
    if isinstance(event, dict) and (event.get("error") or event.get("object") == "error"):
        words = _words(json.dumps(event))
        if TOO_LONG.search(words):
            raise UnitError("generate", "prompt_too_long", f"{words} Lower {keyword('max_tiles')}.")
        raise Again(f"while answering: {words}")
    return event
