"""Makes one attempt to read one object from a local file or an http(s) address; `s3` does so for
object stores.

A transport raises ``UnitError`` if another attempt cannot help, and ``Transient`` if it may.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from internvl_ops.errors import ErrorKind, UnitError, keyword, well_formed
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.addresses import is_public
from internvl_ops.media.encodings import Damaged, decoded
from internvl_ops.media.misread import hint
from internvl_ops.media.proxies import proxy_for
from internvl_ops.media.real_paths import open_real
from internvl_ops.stores.base import Received
from internvl_ops.stores.local import local_version
from internvl_ops.stores.redaction import safe_text, safe_uri

T = TypeVar("T")

CHUNK_BYTES = 1 << 18
# With aiohttp's own 64 KiB, a connection pauses and resumes several times per image: a third of the
# work of receiving.
BUFFER_BYTES = 1 << 20
MAX_REDIRECTS = 10
# Hosts send security policies and cookies beyond aiohttp's 8 KiB and 128 headers.
_LARGEST_HEADERS: dict[str, Any] = {
    "max_line_size": 1 << 16,
    "max_field_size": 1 << 16,
    "max_headers": 1_000,
}
TRY_AGAIN = frozenset(
    {202, 408, 425, 429, 500, 502, 503, 504, 507, 509, 529, 530, 598, 599, *range(520, 528)}
)
_WHOLE = re.compile(r"\s*bytes\s+0-(\d{1,18})/(\d{1,18})\s*")  # a range that leaves nothing out
_CONTACT = ". Some hosts want to know who asks: " + keyword(
    "headers", "'User-Agent=NAME (MAIL ADDRESS)'"
)
GONE = frozenset({404, 410})


@dataclass
class Transient(Exception):
    """An attempt that failed for a reason that may be temporary.

    Args:
        message: What happened, without the URI.
        kind: The kind of the error if no attempt succeeds.
        wait_s: How long the server asks to wait before the next attempt.
        ends_run: Whether all further objects would fail in the same way, if no attempt succeeds.
        silent: Whether the server sent nothing at all.
    """

    message: str
    kind: ErrorKind = "storage"
    wait_s: float = 0.0
    ends_run: bool = False
    silent: bool = False


class Body:
    """The bytes received so far, never more than the limit."""

    def __init__(self, uri: str, max_bytes: int) -> None:
        self._uri, self._max_bytes = uri, max_bytes
        self._data = bytearray()

    def announce(self, length: int | None) -> None:
        """Records the length that the sender states, so that an object that is too large is refused
        at once."""
        if length is not None and length > self._max_bytes:
            raise self._too_large(f"{length:,} bytes")

    def add(self, chunk: bytes) -> None:
        if len(self._data) + len(chunk) > self._max_bytes:
            raise self._too_large(f"over {self._max_bytes:,} bytes")
        self._data += chunk

    def finish(self, length: int | None) -> bytes:
        """The whole body; raises ``Transient`` if it is shorter than stated."""
        if length is not None and len(self._data) != length:
            raise Transient(f"the body ended after {len(self._data):,} of {length:,} bytes")
        return bytes(self._data)

    def _too_large(self, size: str) -> UnitError:
        return UnitError(
            "fetch",
            "too_large",
            f"{safe_uri(self._uri)} is {size}; allowed are {self._max_bytes:,}. Raise"
            f" {keyword('max_bytes')}",
        )


def stated_version(headers: Mapping[str, str]) -> str:
    return well_formed(headers.get("ETag") or headers.get("Last-Modified") or "")


def read_local(path: str, max_bytes: int) -> Received:
    """Reads a regular file. ``path`` is the real path that the policy returned."""
    try:
        with open(open_real(path), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnitError("fetch", "unsupported", f"{safe_uri(path)} is not a regular file")
            body = Body(path, max_bytes)
            body.announce(status.st_size)
            body.add(file.read(max_bytes + 1))
            return Received(body.finish(None), local_version(status))
    except (FileNotFoundError, NotADirectoryError):
        message = f"{safe_uri(path)} does not exist{hint(path)}"
        raise UnitError("fetch", "not_found", message) from None
    except OSError as error:
        if error.errno == errno.EISDIR:
            raise UnitError(
                "fetch", "unsupported", f"{safe_uri(path)} is a folder, not a file"
            ) from None
        if error.errno == errno.ELOOP:
            raise UnitError(
                "fetch", "refused", f"{safe_uri(path)} became a symlink while it was read"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EINVAL):
            # Kind "storage", although it is not tried again: a job can read such rows again once it
            # is fixed.
            raise UnitError("fetch", "storage", f"{safe_uri(path)}: {error.strerror}") from None
        raise Transient(f"{error.strerror or type(error).__name__}") from None


class PrivateAddress(OSError):
    """A connection to a non-public address was refused before it was made."""


class GuardedResolver(AbstractResolver):
    """Resolves only names whose addresses are all public."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = await self._inner.resolve(host, port, family)
        for answer in answers:
            if not is_public(answer["host"]):
                raise PrivateAddress(errno.EACCES, answer["host"])
        return answers

    async def close(self) -> None:
        await self._inner.close()


def _guarded_socket(address_info: Any) -> socket.socket:
    """Makes the socket for the address of a connection; this is the last check, whatever was
    checked before."""
    family, kind, protocol, _, address = address_info
    if not is_public(str(address[0])):
        raise PrivateAddress(errno.EACCES, str(address[0]))
    return socket.socket(family=family, type=kind, proto=protocol)


class HttpReader:
    """Reads http(s) addresses. Must be made and used on one event loop.

    Addresses under a prefix in ``allow`` use their own connector. All others use one that refuses
    non-public addresses, which covers redirects, a DNS name that changes between check and
    connection, and unusual notations of an address. The former use the environment's proxies; the
    latter never do.
    """

    waits = False  # a manifest from the web contains many dead servers

    def __init__(
        self,
        policy: ReadPolicy,
        *,
        timeout_s: float,
        connections: int,
        resolver: Callable[[], AbstractResolver],
    ) -> None:
        self._policy = policy
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(10.0, timeout_s), sock_read=min(30.0, timeout_s)
        )

        def session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                read_bufsize=BUFFER_BYTES,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "internvl-batch", "Accept-Encoding": "identity"},
                auto_decompress=False,  # aiohttp does not notice that a compressed body was cut
                **_LARGEST_HEADERS,
            )

        self._public = session(
            aiohttp.TCPConnector(
                limit=connections,
                resolver=GuardedResolver(resolver()),
                socket_factory=_guarded_socket,
            )
        )
        self._trusted = session(aiohttp.TCPConnector(limit=connections, resolver=resolver()))

    async def read(self, uri: str, max_bytes: int) -> Received:
        """Reads a checked URL and follows redirects, each of which is checked."""
        return await self._ask("GET", uri, lambda response: receive_body(uri, response, max_bytes))

    async def version(self, uri: str) -> str:
        """The current version of the object at a checked URL."""
        return await self._ask("HEAD", uri, lambda response: version_of(uri, response))

    async def _ask(
        self, method: str, uri: str, take: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T:
        # unsafe: accepts IP addresses too
        url, cookies = uri, aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        for _ in range(MAX_REDIRECTS + 1):
            session = self._trusted if self._policy.trusts(url) else self._public
            try:
                address = URL(url, encoded=True)
                headers = self._policy.headers_for(url, uri)
                if sent := cookies.filter_cookies(address):
                    headers["Cookie"] = "; ".join(
                        f"{cookie.key}={cookie.coded_value}" for cookie in sent.values()
                    )
                # Behind a proxy, the address of a name is unknown, so only trusted addresses are
                # sent there.
                proxy = proxy_for(address) if session is self._trusted else {}
                async with session.request(
                    method, address, headers=headers, allow_redirects=False, **proxy
                ) as response:
                    if response.status not in (301, 302, 303, 307, 308):
                        return await take(response)
                    cookies.update_cookies(response.cookies, address)
                    url = self._follow(uri, url, response.headers.get("Location", ""))
            except (aiohttp.ClientError, OSError, UnicodeError) as error:
                raise self._failure(uri, url, error) from None
        raise UnitError(
            "fetch", "refused", f"{safe_uri(uri)} redirects more than {MAX_REDIRECTS} times"
        )

    async def check_answers(self, seconds: float) -> None:
        """Does nothing: a server that is away for long is passed over, see `Silence`."""

    async def close(self) -> None:
        await self._public.close()
        await self._trusted.close()

    def _follow(self, uri: str, url: str, location: str) -> str:
        # Bytes that are not UTF-8 appear in it as lone surrogates.
        location = "".join(
            f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in location.strip()
        )
        try:
            target = urljoin(url, location)
        except ValueError:
            target = ""
        if not location or not target.startswith(("http://", "https://")):
            raise UnitError(
                "fetch",
                "refused",
                f"{safe_uri(uri)} redirects to {safe_uri(location)!r}, which is no http(s) address",
            )
        try:
            return self._policy.check(target)
        except UnitError as error:
            raise UnitError(
                "fetch", error.kind, f"{safe_uri(uri)} redirects. {error.message}"
            ) from None

    def _failure(self, uri: str, url: str, error: Exception) -> Exception:
        cause = getattr(error, "os_error", error)
        if isinstance(cause, PrivateAddress):
            via = "" if url == uri else f" ({safe_uri(uri)} redirects to it)"
            return self._policy.refusal(
                url, url, f": it leads to {cause.strerror}, which is not public{via}"
            )
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return UnitError(
                "fetch", "refused", f"{safe_uri(url)}: the server's certificate is not valid"
            )
        if isinstance(error, aiohttp.InvalidURL | UnicodeError):
            return UnitError("fetch", "bad_row", f"{safe_uri(url)} is no URL that can be asked for")
        if isinstance(error, TimeoutError):
            return Transient(f"no answer in time{self._about_proxies(url)}", "timeout", silent=True)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            unknown = getattr(cause, "errno", None) == socket.EAI_NONAME
            message = f"the host name does not resolve{self._about_proxies(url)}"
            return Transient(message, "not_found" if unknown else "storage", silent=True)
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return Transient("the proxy that the environment names does not answer", silent=True)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return Transient(f"the proxy that the environment names answers HTTP {error.status}")
        if isinstance(error, aiohttp.ClientPayloadError):
            return Transient("the body ended early")
        if isinstance(error, aiohttp.ClientResponseError):
            # Without the part of the answer that aiohttp quotes: it may be a cookie.
            said = re.split(r"[:\s]*\n|:?\s*\bb['\"]", error.message)[0]
            return Transient(f"the answer is not HTTP as it should be: {safe_text(said):.150}")
        reason = (
            os.strerror(cause.errno)
            if isinstance(cause, OSError) and cause.errno
            else type(error).__name__
        )
        return Transient(
            f"the connection failed: {reason}{self._about_proxies(url)}",
            silent=isinstance(error, aiohttp.ClientConnectorError),
        )

    def _about_proxies(self, url: str) -> str:
        """Advice for an address that may need a proxy but was requested without one; else empty."""
        address = URL(url, encoded=True)
        if self._policy.trusts(url) or not proxy_for(address):
            return ""
        mend = keyword("allow", f"{address.scheme}://")
        return (
            f" ({address.scheme.upper()}_PROXY is for addresses under {keyword('allow')} alone;"
            f" {mend})"
        )


async def receive_body(uri: str, response: aiohttp.ClientResponse, max_bytes: int) -> Received:
    """The body of a response, or the error for its status."""
    version = await version_of(uri, response)
    length = response.content_length
    body = Body(uri, max_bytes)
    body.announce(length)
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body.add(chunk)
    encodings = response.headers.get("Content-Encoding", "")
    return Received(plain_body(uri, body.finish(length), encodings, max_bytes), version)


def plain_body(uri: str, data: bytes, encodings: str, max_bytes: int) -> bytes:
    """A body without the compression that its header names; ``Transient`` if it is damaged."""
    if not encodings:
        return data
    plain = Body(uri, max_bytes)
    try:
        for piece in decoded(data, encodings):
            plain.add(piece)
    except Damaged as error:
        raise Transient(
            f"the body cannot be decompressed ({safe_text(encodings):.40}: {error})"
        ) from None
    return plain.finish(None)


async def version_of(uri: str, response: aiohttp.ClientResponse) -> str:
    """The version that a response states, or the error for its status."""
    status = response.status
    if status in TRY_AGAIN:
        raise Transient(f"HTTP {status}", wait_s=retry_after(response.headers.get("Retry-After")))
    if status in GONE:
        raise UnitError("fetch", "not_found", f"{safe_uri(uri)}: HTTP {status}")
    if status == 206:
        whole = _WHOLE.fullmatch(response.headers.get("Content-Range", ""))
        if whole is None or int(whole[1]) + 1 != int(whole[2]):
            raise Transient("only a part of it came, HTTP 206, though all was asked for")
    elif status not in (200, 203):
        hint = _CONTACT if status == 403 else ""
        raise UnitError(
            "fetch", "refused", f"{safe_uri(uri)}: the server refuses it, HTTP {status}{hint}"
        )
    return stated_version(response.headers)


def retry_after(value: str | None) -> float:
    """Seconds in a ``Retry-After`` header, given as seconds or as a date; 0 if there is none or it
    is unreadable."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
