"""An engine for vectors of texts by any server with OpenAI's ``/embeddings``: vLLM's, TEI's,
Infinity's, Ollama's, OpenAI's own."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from internvl_ops.engines.base import EngineDead, Request, Sampling, Watch
from internvl_ops.engines.endpoint import Endpoint, Patience, api_key
from internvl_ops.engines.vector_answers import answer_of
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import say_step
from internvl_ops.replies import Numbers, States

logger = logging.getLogger(__name__)

PATH = "/embeddings"
BATCH, CONCURRENCY = 64, 8
_SHORTER = "Shorten the text."
_Waiting = tuple[str, "asyncio.Future[np.ndarray]"]


class ServedVectorEngine:
    """An endpoint. The key is read from the environment variable OPENAI_API_KEY, if that is set.

    Texts that wait are sent together. If the server refuses a batch, it is sent again in halves, so
    that one bad text costs its own unit alone.

    Args:
        base_url: The server's address, including ``/v1``.
        model: The server's name of the model.
        size: Length of a vector; another one from the server ends the job. None takes any.
        normalise: Give every vector the length one.
        batch: Texts in one request, 64 by default; lower it for a server that takes fewer.
        concurrency: Simultaneous requests, 8 by default; raise it if the server is not busy.
        patience: How long to wait for the server.
        extra_body: Fields added to each request, such as ``{"dimensions": 256}``.

    Raises:
        ConfigurationError: ``batch`` or ``concurrency`` is below 1.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        size: int | None = None,
        normalise: bool = True,
        batch: int = BATCH,
        concurrency: int = CONCURRENCY,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        for name, value in (("batch", batch), ("concurrency", concurrency)):
            if value < 1:
                raise ConfigurationError(
                    f"{keyword('engine_args')}: {name} {value}: at least 1 is needed."
                )
        self.dead = False
        self._base_url, self._model, self._size, self._normalise = base_url, model, size, normalise
        self._batch, self._concurrency, self._patience = batch, concurrency, patience
        self._extra_body = dict(extra_body or {})
        self._endpoint: Endpoint | None = None
        self._waiting: deque[_Waiting] = deque()
        self._asking: set[asyncio.Task[None]] = set()
        self._due = False

    async def start(self) -> None:
        """Waits until the server gives a vector.

        Raises:
            ConfigurationError: The server refuses the key, does not serve the model, or gives
                vectors of another length.
            EngineDead: The server is away for longer than the patience allows.
        """
        if self._endpoint is not None:
            return
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        say_step(logger, "waiting for the server")
        self._endpoint = Endpoint(
            self._base_url,
            api_key(),
            self._patience,
            self._concurrency,
            too_long=_SHORTER,
        )
        try:
            await self._vectors(self._endpoint, ["a"])
        except UnitError as error:
            await self.close()
            raise ConfigurationError(
                f"{keyword('base_url', self._base_url)}: it gives no vector of a text:"
                f" {error.message}"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Numbers | States:
        """The vector of a text.

        Raises:
            UnitError: ``prompt_too_long``, ``timeout``, or ``engine_failed`` for this text alone.
            ConfigurationError: The server refuses every request of this kind.
            EngineDead: The server is away for longer than the patience allows.
        """
        if self._endpoint is None:
            raise EngineDead("the engine is not running: call start() first.")
        if request.chat is None:
            raise UnitError("generate", "bad_row", "nothing to embed: the unit has no text")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[np.ndarray] = loop.create_future()
        self._waiting.append((request.chat.question, future))
        if not self._due:  # what else is asked in this turn of the loop goes along
            self._due = True
            loop.call_soon(self._send)
        return answer_of(await future, normalise=self._normalise)

    async def close(self) -> None:
        """Like `shutdown`, but awaitable: when it returns, every connection is closed."""
        endpoint, self._endpoint = self._endpoint, None
        for task in self._asking:
            task.cancel()
        _fail(list(self._waiting), EngineDead("the engine was shut down"))
        self._waiting.clear()
        if endpoint is not None:
            await endpoint.close()

    def shutdown(self) -> None:
        """Closes the connections; safe to call again. The server keeps running."""
        if self._endpoint is None:
            return
        closed = asyncio.run_coroutine_threadsafe(self.close(), self._loop)
        if threading.get_ident() != self._thread:
            closed.result(timeout=10)

    def _send(self) -> None:
        self._due = False
        while self._waiting and len(self._asking) < self._concurrency:
            taken: list[_Waiting] = []
            while self._waiting and len(taken) < self._batch:
                one = self._waiting.popleft()
                taken += [] if one[1].done() else [one]
            if taken:
                task = asyncio.get_running_loop().create_task(self._ask(taken))
                self._asking.add(task)
                task.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        if self._endpoint is not None:
            self._send()

    async def _ask(self, taken: Sequence[_Waiting]) -> None:
        """Answers some texts, or gives their futures the reason why not."""
        try:
            if self._endpoint is None:
                raise EngineDead("the engine was shut down")
            vectors = await self._vectors(self._endpoint, [text for text, _ in taken])
        except UnitError as error:
            if len(taken) == 1:
                _fail(taken, error)
                return
            half = len(taken) // 2
            await asyncio.gather(self._ask(taken[:half]), self._ask(taken[half:]))
        except asyncio.CancelledError:
            _fail(taken, EngineDead("the engine was shut down"))
        except Exception as error:
            _fail(taken, error)
        else:
            for (_, future), vector in zip(taken, vectors, strict=True):
                if not future.done():
                    future.set_result(vector)

    async def _vectors(self, endpoint: Endpoint, texts: list[str]) -> list[np.ndarray]:
        body = {
            "model": self._model,
            "input": texts,
            "encoding_format": "float",
            **self._extra_body,
        }
        found = await endpoint.post(PATH, body, _reader(len(texts)))
        wrong = [len(one) for one in found if self._size is not None and len(one) != self._size]
        if wrong:
            raise ConfigurationError(
                f"{endpoint.name} gives a vector of {wrong[0]:,} numbers, and gave one of"
                f" {self._size:,} when the job began. Does it serve the same model? Run the job"
                " again, into a new output if the model is another one."
            )
        return found


def served_size(base_url: str, model: str, **others: Any) -> int:
    """Length of a server's vectors, learnt from that of one text.

    Args:
        base_url: As in `ServedVectorEngine`.
        model: As there.
        others: Further arguments of it.

    Raises:
        ConfigurationError: The server does not answer, refuses the key, or does not serve the
            model.
    """
    patience = Patience(away_s=0, answer_s=10, attempts=1)
    engine = ServedVectorEngine(base_url, model, **(others | {"patience": patience}))

    async def ask() -> int:
        try:
            await engine.start()
            assert engine._endpoint is not None, "it was started"
            return len((await engine._vectors(engine._endpoint, ["a"]))[0])
        except EngineDead as error:
            why = str(error).partition(". ")[0] or "it does not answer"
            raise ConfigurationError(
                f"{keyword('base_url')}: {why}. The length of its vectors has to be known before"
                " the job: start the server first."
            ) from error
        finally:
            await engine.close()

    # In a thread of its own, because a caller may have an event loop already, as a notebook has.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, ask()).result()


def _reader(count: int) -> Callable[[Any], list[np.ndarray]]:
    """Reads the vectors of so many texts out of an answer."""

    def read(answer: Any) -> list[np.ndarray]:
        data = sorted(answer["data"], key=lambda one: int(one["index"]))
        if [one["index"] for one in data] != list(range(count)):
            raise ValueError(f"{len(data)} vectors for {count} texts")
        return [_vector(one["embedding"]) for one in data]

    return read


def _vector(given: Any) -> np.ndarray:
    if isinstance(given, str):  # where encoding_format is base64
        return np.frombuffer(base64.b64decode(given), "<f4").astype(np.float32)
    vector = np.asarray(given, np.float32)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(f"a vector of the shape {vector.shape}")
    return vector


def _fail(taken: Sequence[_Waiting], error: Exception) -> None:
    for _, future in taken:
        if not future.done():
            future.set_exception(error)
