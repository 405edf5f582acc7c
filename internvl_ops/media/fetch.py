"""Reads media by URI: many in parallel, with retries after temporary failures, and only what the
policy allows."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import os
import queue
import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.frame_files import frame_folder_version, is_frame_folder, read_frame_folder
from internvl_ops.media.s3 import S3Reader
from internvl_ops.media.silence import Silence
from internvl_ops.media.stored import StoreReader
from internvl_ops.media.transports import Body, HttpReader, Transient, read_local
from internvl_ops.stores.base import Received
from internvl_ops.stores.local import local_version
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.schemes import SCHEME

T = TypeVar("T")
_VERSIONS_KEPT = 10_000
LONGEST_WAIT_S = 30.0  # between two attempts, even if a server asks for more


class Fetcher:
    """Reads local files, objects of every store, ``http(s)://`` and ``data:`` URIs into memory.

    Every method may be called from any thread. One background thread runs all transfers. It starts
    with the first transfer, so a Fetcher can be pickled and costs nothing until it is used.

    Args:
        policy: What may be read.
        max_bytes: Maximum bytes of one object, enforced by the stated length and while the body
            arrives.
        timeout_s: Maximum seconds for one attempt.
        attempts: How often an object is tried if the failure may be temporary: 408, 429, 5xx, a
            reset or refused connection, a timeout, a truncated body.
        outage_s: How long a store may be down before its objects fail, however many attempts that
            takes. If an S3 store then gives no response at all, the run ends. Raise it if your
            store has longer maintenance windows. For a web server, ``attempts`` alone applies,
            since a manifest from the web contains many dead servers. A web server that has been
            silent for this long is skipped, except for one object every half minute.
        concurrency: Maximum number of parallel transfers. 64 small objects in flight hide a latency
            of 50 ms behind a decoder that takes 5 ms; raise it for slower stores.
        backoff_s: First wait between attempts; it doubles each time, up to half a minute, plus or
            minus a half.
        frame_folders: Read a local folder, or a glob of names in one, as a video of frame images;
            see `frame_files`.
        resolver: Makes the DNS resolver; for tests.
    """

    def __init__(
        self,
        policy: ReadPolicy,
        *,
        max_bytes: int = 1 << 28,
        timeout_s: float = 120.0,
        attempts: int = 5,
        outage_s: float = 180.0,
        concurrency: int = 64,
        backoff_s: float = 0.25,
        frame_folders: bool = False,
        resolver: Callable[[], AbstractResolver] = ThreadedResolver,
    ) -> None:
        self.policy = policy
        self.max_bytes, self.timeout_s, self.attempts, self.outage_s = (
            max_bytes,
            timeout_s,
            attempts,
            outage_s,
        )
        self.concurrency, self.backoff_s, self.resolver = concurrency, backoff_s, resolver
        self.frame_folders = frame_folders
        self._versions: OrderedDict[str, str] = OrderedDict()  # in the order of arrival
        self._worker: _Worker | None = None
        self._lock = threading.Lock()

    def fetch(self, uri: str) -> bytes:
        """The bytes of one object.

        Raises:
            UnitError: stage ``fetch``; ``attempts`` is the number of attempts.
        """
        return self._submit(uri, _Worker.fetch).result()

    def fetch_many(self, uris: Iterable[str]) -> list[bytes | UnitError]:
        """The bytes or the error of each object, in the order of ``uris``."""
        found = dict(self.stream(uris))
        return [found[index] for index in range(len(found))]

    def stream(self, uris: Iterable[str]) -> Iterator[tuple[int, bytes | UnitError]]:
        """Pairs of (position in ``uris``, bytes or error), in the order of completion.

        It reads ``uris`` only as fast as results are consumed: at most twice ``concurrency``
        objects are in flight or ready. Leaving the loop early cancels what is in flight.
        """
        done: queue.SimpleQueue[tuple[int, Future[bytes]]] = queue.SimpleQueue()
        open_futures: dict[int, Future[bytes]] = {}
        pending = enumerate(uris)
        try:
            while True:
                for index, uri in itertools.islice(
                    pending, 2 * self.concurrency - len(open_futures)
                ):
                    open_futures[index] = self._submit(uri, _Worker.fetch)
                    open_futures[index].add_done_callback(partial(_put, done, index))
                if not open_futures:
                    return
                index, future = done.get()
                del open_futures[index]
                error = future.exception()
                if error is None:
                    yield index, future.result()
                elif isinstance(error, Exception) and not isinstance(error, ConfigurationError):
                    yield index, unforeseen("fetch", error)
                else:
                    raise error
        finally:
            for future in open_futures.values():
                future.cancel()

    def version(self, uri: str) -> str:
        """The version of a recently fetched object when it was read; see `Received`. Empty if
        unknown."""
        return self._versions.get(uri, "")

    def versions_now(self, uris: Iterable[str]) -> list[str | None]:
        """The current version of each object; ``None`` if it cannot be determined."""
        futures = [self._submit(uri, _Worker.version) for uri in uris]
        return [None if future.exception() else future.result() for future in futures]

    def note_version(self, uri: str, version: str) -> None:
        self._versions[uri] = version
        while len(self._versions) > _VERSIONS_KEPT:
            self._versions.popitem(last=False)

    def close(self) -> None:
        """Ends the background thread and its connections; the next call starts it again."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_worker", "_lock")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _worker=None, _lock=threading.Lock())

    def _submit(self, uri: str, ask: Callable[[_Worker, str], Coroutine[Any, Any, T]]) -> Future[T]:
        with self._lock:
            if self._worker is None:
                self._worker = _Worker(self)
            return self._worker.run(ask(self._worker, uri))


class _Reader(Protocol):
    """Makes one attempt to read an object; see `transports`.

    Attributes:
        waits: Whether objects wait while the store is down.
    """

    waits: bool

    async def read(self, uri: str, max_bytes: int) -> Received: ...

    async def version(self, uri: str) -> str: ...

    async def check_answers(self, seconds: float) -> None: ...


def _put(
    done: queue.SimpleQueue[tuple[int, Future[bytes]]], index: int, future: Future[bytes]
) -> None:
    done.put((index, future))


class _Worker:
    """The background thread with its event loop and connections."""

    def __init__(self, settings: Fetcher) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        # File reads and DNS look-ups block; the default executor has too few threads for either.
        self._loop.set_default_executor(ThreadPoolExecutor(min(32, settings.concurrency), "fetch"))
        threading.Thread(target=self._loop.run_forever, name="fetch-loop", daemon=True).start()
        self.run(self._open()).result()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        self.run(self._shut()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def fetch(self, uri: str) -> bytes:
        """The bytes of one object."""
        received = await self._patiently(uri, self._read)
        self._settings.note_version(uri, received.version)
        return received.data

    async def version(self, uri: str) -> str:
        """The current version of one object."""
        return await self._patiently(uri, self._version)

    async def _patiently(self, uri: str, ask: Callable[[str], Awaitable[T]]) -> T:
        """The result of ``ask``, with retries after temporary failures."""
        # a local path is checked when it is read, in a thread
        if not self._settings.policy.is_local(uri):
            uri = self._settings.policy.check(uri)
        reader = self._reader_of(uri)
        server = "/".join(uri.split("/", 3)[:3]) if reader in (self._http, self._stored) else ""
        began = time.monotonic()
        for attempt in itertools.count(1):
            try:
                async with self._slots:
                    if attempt == 1 and server:
                        self._check_silence(uri, server)
                    found = await self._attempt(uri, ask)
                self._silence.answered(server)
                return found
            except UnitError as error:
                error.attempts = attempt
                raise
            except Transient as failure:
                # The slot is free during this wait, so that dead hosts do not delay the others.
                wait = self._wait(attempt, failure)
                took_s = time.monotonic() - began
                if not failure.silent:
                    self._silence.answered(server)
                if not self._goes_on(reader, attempt, took_s + wait):
                    message = f"{safe_uri(uri)}: {failure.message}, after {attempt} attempts"
                    if failure.silent and server:
                        self._silence.gave_up(server, took_s)
                    elif failure.silent and reader is not None:
                        await reader.check_answers(took_s)
                    if failure.ends_run:
                        raise ConfigurationError(
                            f"{message}. Renew them; the same command goes on"
                        ) from None
                    raise UnitError("fetch", failure.kind, message, attempt) from None
            except ConfigurationError:
                raise
            except Exception as error:
                # An unexpected error must fail one row, not the job. Its text is left out: it may
                # repeat the URI.
                message = f"{safe_uri(uri)}: unexpected {type(error).__name__}"
                raise UnitError("fetch", "storage", message, attempt) from None
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _check_silence(self, uri: str, server: str) -> None:
        seconds = self._silence.passed_over(server)
        if seconds is not None:
            message = (
                f"{safe_uri(uri)}: its server has not answered for {seconds:.0f} s, so it was not"
                " asked again"
            )
            raise UnitError("fetch", "storage", message)

    def _wait(self, attempt: int, failure: Transient) -> float:
        backoff = self._settings.backoff_s * 2 ** min(attempt - 1, 16)
        return max(
            min(failure.wait_s, LONGEST_WAIT_S),
            min(backoff, LONGEST_WAIT_S) * random.uniform(0.5, 1.5),
        )

    def _goes_on(self, reader: _Reader | None, attempt: int, elapsed_s: float) -> bool:
        if attempt < self._settings.attempts:
            return True
        return reader is not None and reader.waits and elapsed_s < self._settings.outage_s

    async def _attempt(self, uri: str, ask: Callable[[str], Awaitable[T]]) -> T:
        limit = self._settings.timeout_s
        try:
            async with asyncio.timeout(limit):
                return await ask(uri)
        except TimeoutError:
            raise Transient(f"not there after {limit:g} s", "timeout", silent=True) from None

    async def _read(self, uri: str) -> Received:
        max_bytes = self._settings.max_bytes
        if self._settings.policy.is_local(uri):
            return await asyncio.to_thread(self._read_local, uri, max_bytes)
        reader = self._reader_of(uri)
        return (
            await reader.read(uri, max_bytes) if reader else Received(read_data(uri, max_bytes), "")
        )

    async def _version(self, uri: str) -> str:
        if self._settings.policy.is_local(uri):
            return await asyncio.to_thread(self._local_version, uri)
        reader = self._reader_of(uri)
        return await reader.version(uri) if reader else ""

    def _reader_of(self, uri: str) -> _Reader | None:
        """What reads a checked URI; None for a local file and for one that carries its bytes."""
        match = SCHEME.match(uri)
        scheme = match[1].lower() if match else "file"
        return None if scheme == "file" else self._readers.get(scheme, self._stored)

    def _read_local(self, uri: str, max_bytes: int) -> Received:
        path = self._settings.policy.check(uri)
        if self._settings.frame_folders and is_frame_folder(path):
            version = frame_folder_version(path)
            return Received(read_frame_folder(path, self._read_frame, max_bytes), version)
        return read_local(path, max_bytes)

    def _read_frame(self, path: str) -> bytes:
        # Checked like the folder: a link in the folder may lead to a file that may not be read.
        return read_local(self._settings.policy.check(path), self._settings.max_bytes).data

    def _local_version(self, uri: str) -> str:
        path = self._settings.policy.check(uri)
        return frame_folder_version(path) if is_frame_folder(path) else local_version(os.stat(path))

    async def _open(self) -> None:
        settings = self._settings
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._silence = Silence(settings.outage_s)
        self._s3 = S3Reader(
            timeout_s=settings.timeout_s,
            connections=settings.concurrency,
            settings=settings.policy.store_settings,
        )
        self._http = HttpReader(
            settings.policy,
            timeout_s=settings.timeout_s,
            connections=settings.concurrency,
            resolver=settings.resolver,
        )

        self._stored = StoreReader(settings.policy.store_settings)
        # The schemes with a faster way than their store has.
        self._readers: dict[str, _Reader] = {
            "s3": self._s3,
            "http": self._http,
            "https": self._http,
        }

    async def _shut(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._http.close()
        await self._s3.close()


_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_IN_BASE64 = re.compile(r";\s*base64\s*$", re.IGNORECASE)  # blanks are allowed, as in browsers


def read_data(uri: str, max_bytes: int) -> bytes:
    """The bytes that a ``data:`` URI carries, base64 or percent-encoded."""
    head, comma, payload = uri.partition(",")
    if not comma:
        raise UnitError(
            "fetch", "bad_row", f"{safe_uri(uri)} carries no data. Write data:image/png;base64,…"
        )
    data = unquote_to_bytes(payload)
    if _IN_BASE64.search(head):
        # As browsers read it: blanks and line breaks are skipped, padding may be missing. Both
        # alphabets are read.
        plain = data.translate(_URL_SAFE, b" \t\r\n\f").rstrip(b"=")
        try:
            data = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
        except binascii.Error:
            raise UnitError("fetch", "corrupt", f"{safe_uri(uri)} is not valid base64") from None
    body = Body(uri, max_bytes)
    body.add(data)
    return body.finish(None)
