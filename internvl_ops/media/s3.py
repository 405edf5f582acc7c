"""Makes one attempt to read one object of an S3 store."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import botocore.exceptions as aws
import fsspec
from yarl import URL

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media.proxies import proxy_for
from internvl_ops.media.transports import (
    BUFFER_BYTES,
    CHUNK_BYTES,
    GONE,
    TRY_AGAIN,
    Body,
    Transient,
    plain_body,
    receive_body,
    retry_after,
)
from internvl_ops.stores import s3_config
from internvl_ops.stores.base import Received, Settings
from internvl_ops.stores.redaction import safe_text, safe_uri

T = TypeVar("T")

_CREDENTIALS = (
    f"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE. {s3_config.ANONYMOUS}"
)
# Settings of botocore that change how it connects.
_CONNECTS = frozenset(
    {"proxies", "proxies_config", "client_cert", "connector_args", "http_session_cls"}
)
_SILENT = (aws.ConnectionError, aws.HTTPClientError, aiohttp.ClientError, OSError, TimeoutError)
_LOOK_S = 10.0  # how long the result of one check whether a store answers is used
# Error codes for credentials that were valid before.
_EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "InvalidToken",
        "TokenRefreshRequired",
    }
)


class S3Reader:
    """Reads ``s3://`` objects with the credentials, endpoint and settings that `s3_config` finds.

    An object is requested by a signed URL, and aiohttp reads the response. That is a third of the
    work of botocore's own ``get_object``, which costs a decoder on the same core 10 % of its rate.
    If that does not return the object at once, botocore tries: it handles error codes, other
    regions, and every setting. botocore also reads the object if requests carry more than bucket
    and key, such as who pays for them, or if it is configured to connect in its own way.

    Expired credentials are looked up again, in the files, variables and services that they came
    from.

    Must be made and used on one event loop.

    Args:
        timeout_s: Maximum seconds for one attempt.
        connections: Maximum number of simultaneous connections.
        settings: How stores are read.
    """

    waits = True

    def __init__(self, *, timeout_s: float, connections: int, settings: Settings) -> None:
        self._timeout_s = timeout_s
        self._connections = connections
        self._settings = settings
        self._looked: tuple[float, bool] = (float("-inf"), True)
        self._looking = asyncio.Lock()
        self._filesystem: Any = None
        self._replaced: list[Any] = []  # clients that requests may still be using
        self._renewing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def read(self, uri: str, max_bytes: int) -> Received:
        """Reads an object by a checked ``s3://bucket/key`` URI."""

        async def get(client: Any, bucket: str, key: str) -> Received:
            asked = self._parameters(client.get_object, bucket, key)
            quick = len(asked) == 2 and not _CONNECTS.intersection(self._filesystem.config_kwargs)
            data = await self._read_signed(client, uri, asked, max_bytes) if quick else None
            return await _get_object(client, uri, asked, max_bytes) if data is None else data

        return await self._ask(uri, get)

    async def version(self, uri: str) -> str:
        """The current ETag of an object."""

        async def head(client: Any, bucket: str, key: str) -> str:
            return (
                await client.head_object(**self._parameters(client.head_object, bucket, key))
            ).get("ETag", "")

        return await self._ask(uri, head)

    async def _ask(self, uri: str, ask: Callable[[Any, str, str], Awaitable[T]]) -> T:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not key:
            raise UnitError("fetch", "bad_row", f"{safe_uri(uri)} names a bucket and no object")
        client = await self._client()
        try:
            return await ask(client, bucket, key)
        except aws.ClientError as error:
            if _expired(error):
                await self._renew(client)
            raise _failure(uri, error) from None
        except aws.NoCredentialsError:
            raise UnitError(
                "fetch", "storage", f"{safe_uri(uri)}: no credentials. {_CREDENTIALS}"
            ) from None
        except aws.ParamValidationError:
            raise UnitError(
                "fetch", "bad_row", f"{safe_uri(uri)} is no valid bucket and key"
            ) from None
        except (aws.ConnectTimeoutError, aws.ReadTimeoutError, TimeoutError):
            raise Transient("no answer in time", "timeout", silent=True) from None
        except aiohttp.ClientPayloadError:
            raise Transient("the body ended early") from None
        except (aws.BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise Transient(
                f"the connection failed: {type(error).__name__}", silent=isinstance(error, _SILENT)
            ) from None

    async def check_answers(self, seconds: float) -> None:
        """Checks whether the store responds at all, even with a refusal.

        Args:
            seconds: For how long requests for an object failed.

        Raises:
            ConfigurationError: It does not respond, so every further object would take as long.
        """
        async with self._looking:
            at, answers = self._looked
            if time.monotonic() - at > _LOOK_S:
                answers = await self._answers()
                self._looked = time.monotonic(), answers
        if not answers:
            where = safe_uri((await self._client()).meta.endpoint_url)
            raise ConfigurationError(
                f"{where}: this S3 store has not answered for {seconds:.0f} s. Check"
                " AWS_ENDPOINT_URL and the network; the same command goes on"
            )

    async def _answers(self) -> bool:
        client = await self._client()
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.list_buckets()
        except _SILENT:
            return False
        except Exception:  # any response counts, whatever it is
            return True
        return True

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._filesystem is not None:
            for client in (*self._replaced, await self._filesystem.set_session()):
                await client.close()

    async def _renew(self, client: Any) -> None:
        """Looks up a client's credentials again, unless another request did so in the meantime."""
        async with self._renewing:
            if client is await self._filesystem.set_session():
                self._replaced.append(client)
                await self._filesystem.set_session(refresh=True)

    def _parameters(self, method: Any, bucket: str, key: str) -> dict[str, Any]:
        """Bucket and key, and the further parameters that s3fs is configured to send."""
        found: dict[str, Any] = self._filesystem._get_s3_method_kwargs(
            method, Bucket=bucket, Key=key
        )
        return found

    async def _read_signed(
        self, client: Any, uri: str, asked: dict[str, Any], max_bytes: int
    ) -> Received | None:
        """The object; None if botocore should try."""
        url = await client.generate_presigned_url("get_object", Params=asked)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._certificates()),
                timeout=self._timeouts(),
                read_bufsize=BUFFER_BYTES,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "internvl-batch", "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        address = URL(url, encoded=True)
        try:
            async with self._session.get(
                address, allow_redirects=False, **proxy_for(address)
            ) as response:
                if response.status == 200 or response.status in TRY_AGAIN:
                    return await receive_body(uri, response, max_bytes)
                return None
        except aiohttp.ClientSSLError:
            return None  # botocore uses certifi's authorities

    def _certificates(self) -> ssl.SSLContext | bool:
        """Which authorities verify certificates, as the operator configured botocore."""
        told = self._filesystem.client_kwargs.get("verify")
        if told is None:
            told = self._filesystem.session.get_config_variable("ca_bundle")
        if not isinstance(told, str):
            return told is not False
        folder = os.path.isdir(told)
        return ssl.create_default_context(
            cafile=None if folder else told, capath=told if folder else None
        )

    async def _client(self) -> Any:
        try:
            if self._filesystem is None:
                self._filesystem = self._open()
            return await self._filesystem.set_session()
        except (aws.BotoCoreError, TypeError, ValueError, KeyError) as error:
            self._filesystem = None
            raise ConfigurationError(
                f"S3 cannot be set up as configured: {safe_text(str(error))}. Check the AWS_* and"
                " FSSPEC_S3_* variables, and their files"
            ) from None

    def _open(self) -> Any:
        timeouts = self._timeouts()
        return fsspec.filesystem(
            "s3",
            asynchronous=True,
            loop=asyncio.get_running_loop(),
            skip_instance_cache=True,
            **s3_config.options(
                anonymous=self._settings.s3_anonymous,
                requester_pays=self._settings.s3_requester_pays,
                signature_version="s3v4",
                connect_timeout=timeouts.sock_connect,
                read_timeout=timeouts.sock_read,
                max_pool_connections=self._connections,
                # the Fetcher retries, in the same way for every transport
                retries={"total_max_attempts": 1},
            ),
        )

    def _timeouts(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None,
            sock_connect=min(10.0, self._timeout_s),
            sock_read=min(30.0, self._timeout_s),
        )


async def _get_object(client: Any, uri: str, asked: dict[str, Any], max_bytes: int) -> Received:
    answer = await client.get_object(**asked)
    body = Body(uri, max_bytes)
    async with answer["Body"] as stream:
        body.announce(answer.get("ContentLength"))
        while chunk := await stream.read(CHUNK_BYTES):
            body.add(chunk)
    data = body.finish(answer.get("ContentLength"))
    plain = plain_body(uri, data, answer.get("ContentEncoding", ""), max_bytes)
    return Received(plain, answer.get("ETag", ""))


def _expired(error: aws.ClientError) -> bool:
    said = error.response.get("Error", {})
    code, words = str(said.get("Code", "")), str(said.get("Message", "")).lower()
    return code in _EXPIRED or (code == "AccessDenied" and "expired" in words)


def _failure(uri: str, error: aws.ClientError) -> Exception:
    if _expired(error):
        return Transient(f"the credentials have expired ({_code(error)})", ends_run=True)
    code = _code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in ("NoSuchKey", "NoSuchBucket", "NoSuchVersion") or status in GONE:
        return UnitError("fetch", "not_found", f"{safe_uri(uri)}: {code or status}")
    if status in TRY_AGAIN or code in (
        "SlowDown",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "InternalError",
    ):
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return Transient(
            f"{code or 'error'} (HTTP {status})", wait_s=retry_after(headers.get("retry-after"))
        )
    # Mostly wrong credentials, which an operator can fix. Kind "storage" lets a job read these rows
    # again.
    return UnitError(
        "fetch",
        "storage",
        f"{safe_uri(uri)}: {code or 'error'} (HTTP {status}). Check the AWS_* variables."
        f" {s3_config.ANONYMOUS}",
    )


def _code(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
