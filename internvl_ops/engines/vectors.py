"""An engine of vectors in plain torch: pictures and texts of many units in one batch."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from internvl_ops.engines.base import EngineDead, Request, Sampling, Watch
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import note, say_step
from internvl_ops.models.encoders.config import Encoder, Pooling
from internvl_ops.replies import Numbers, States

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

BATCH = 64  # pictures, or texts, in one pass of the model
ARGUMENTS = ("dtype", "batch")


@dataclass(eq=False)
class _Waiting:
    """A request and where its vector goes."""

    request: Request
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Numbers | States]


class VectorEngine:
    """Makes one vector of each request, on the first accelerator that this process sees, else on
    the CPU.

    All requests that wait are computed together: pictures with pictures, texts with texts, at most
    `batch` at once. A request with several tiles, pages or frames gets the mean of their vectors.
    Pictures stay uint8 until they are on the device.

    Args:
        encoder: What to load.
        pooling: As in `Tower.pooled` and `Dual.pooled`; ``none`` gives `States` instead: the
            last hidden state of the vision model, tile by tile.
        normalise: Give every vector the length one.
        labels: Token ids of the texts that say each label. The answer about a picture is then its
            vector and, after it, the probability of each label: the softmax of the cosines with the
            labels' vectors, times the checkpoint's logit scale. A label's vector is the mean of
            those of its texts, as CLIP Benchmark makes it.
        engine_args: ``dtype``, such as ``float32``; by default the one that is stored. ``batch``,
            64 by default; it is halved whenever the device's memory is too small.

    Raises:
        ConfigurationError: The encoder has no such vectors, or an argument is unknown.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        pooling: Pooling,
        normalise: bool = True,
        labels: Sequence[Sequence[np.ndarray]] = (),
        engine_args: Mapping[str, Any] | None = None,
    ) -> None:
        encoder.size(pooling)
        arguments = dict(engine_args or {})
        if unknown := sorted(arguments.keys() - set(ARGUMENTS)):
            raise ConfigurationError(
                f"{keyword('engine_args')}: {unknown[0]!r} is not an argument of the engine of"
                f" vectors: {', '.join(ARGUMENTS)}."
            )
        self._encoder, self._pooling, self._normalise, self._labels = (
            encoder,
            pooling,
            normalise,
            labels,
        )
        self._dtype = str(arguments.get("dtype", encoder.dtype))
        self._batch = int(arguments.get("batch", BATCH))
        if self._batch < 1:
            raise ConfigurationError(
                f"{keyword('engine_args')}: batch {self._batch}: at least 1 is needed."
            )
        self.dead = False
        self._model: Any = None
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False

    async def start(self) -> None:
        """Loads the model.

        Raises:
            ConfigurationError: A weight is missing, or torch has no such ``dtype``.
            EngineDead: The model does not fit on the device.
        """
        if self._model is None:
            await asyncio.get_running_loop().run_in_executor(None, self._load)
            self._thread = threading.Thread(target=self._run, daemon=True, name="vectors")
            self._thread.start()

    def _load(self) -> None:
        say_step(logger, "loading the weights")
        import torch

        from internvl_ops.models.encoders.dual import load_dual
        from internvl_ops.models.encoders.tower import load_tower

        dtype = getattr(torch, self._dtype, None)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ConfigurationError(
                f"{keyword('engine_args')}: dtype {self._dtype!r}: give float32, bfloat16 or"
                " float16."
            )
        self._device = torch.accelerator.current_accelerator() or torch.device("cpu")
        dual = self._encoder.reads_texts
        model = (
            load_dual(self._encoder)
            if dual
            else load_tower(self._encoder, projected=self._pooling == "projected")
        )
        try:
            model = model.to(self._device, dtype)
            self._label_vectors = self._of_labels(model) if self._labels else None
            self._model = model
        except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
            raise EngineDead(f"the model does not fit the device: {error}") from error

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Numbers | States:
        """The vector of one request: of its tiles, or without tiles of its token ids.

        Raises:
            UnitError: There is neither, or the vector holds something else than finite numbers.
            EngineDead: The engine is not running, or the device failed.
        """
        if self._model is None or self.dead or self._over:
            raise EngineDead("the engine is not running: call start() first.")
        if not _has_tiles(request) and not len(request.token_ids):
            raise UnitError(
                "generate", "bad_row", "nothing to embed: the unit has no picture and no text"
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop, loop.create_future())
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify()
        return await waiting.future

    def shutdown(self) -> None:
        """Frees the device; safe to call again."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._model = None

    def _run(self) -> None:
        """Computes what waits, until the engine is shut down. Runs in a thread of its own."""
        while (taken := self._take()) is not None:
            model = self._model
            if model is None:
                self._fail(taken, EngineDead("the engine was shut down"))
                return
            try:
                vectors = self._vectors(model, [one.request for one in taken])
            except Exception as error:
                self.dead = True
                with self._changed:
                    taken += self._waiting
                    self._waiting.clear()
                self._fail(taken, EngineDead(f"the device failed: {error}"))
                return
            for one, vector in zip(taken, vectors, strict=True):
                self._give(one, vector)

    def _take(self) -> list[_Waiting] | None:
        """The next requests of one kind, as many as make a batch; None if the engine is shut
        down."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            if not self._waiting:
                return None
            taken = [self._waiting.popleft()]
            pictures = _has_tiles(taken[0].request)
            size = _size(taken[0].request)
            while self._waiting:
                following = self._waiting[0].request
                if _has_tiles(following) != pictures or size + _size(following) > self._batch:
                    break
                size += _size(following)
                taken.append(self._waiting.popleft())
            return [one for one in taken if not one.future.cancelled()]

    def _vectors(self, model: Any, requests: Sequence[Request]) -> list[np.ndarray]:
        import torch

        if not requests:
            return []
        with torch.inference_mode():
            if self._pooling == "none":
                return self._states(model, requests)
            if _has_tiles(requests[0]):
                found = self._of_tiles(model, requests)
            else:
                ids = [torch.from_numpy(one.token_ids.astype(np.int64)) for one in requests]
                found = torch.cat(
                    [self._halving(model.pooled_texts, part) for part in _parts(ids, self._batch)]
                )
            of_length_one = torch.nn.functional.normalize(found, dim=1)
            found = of_length_one if self._normalise else found
            if self._label_vectors is not None:
                logits = of_length_one @ self._label_vectors.T * model.logit_scale.float().exp()
                found = torch.cat([found, logits.softmax(1)], 1)
            return list(found.cpu().numpy())

    def _of_labels(self, model: Any) -> torch.Tensor:
        """The vector of each label, of length one: float32 of shape (labels, size)."""
        import torch

        vectors = []
        with torch.inference_mode():
            for texts in self._labels:
                ids = [torch.from_numpy(one.astype(np.int64)) for one in texts]
                each = torch.cat(
                    [self._halving(model.pooled_texts, part) for part in _parts(ids, self._batch)]
                )
                mean = torch.nn.functional.normalize(each, dim=1).mean(0)
                vectors.append(torch.nn.functional.normalize(mean, dim=0))
        return torch.stack(vectors)

    def _of_tiles(self, model: Any, requests: Sequence[Request]) -> torch.Tensor:
        import torch

        counts = [_size(one) for one in requests]
        tiles = torch.from_numpy(
            np.concatenate([one.tiles for one in requests if one.tiles is not None])
        )

        def pooled(part: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = model.pooled(part.to(self._device), self._pooling)
            return found

        each = torch.cat([self._halving(pooled, part) for part in tiles.split(self._batch)])
        return torch.stack([part.mean(0) for part in each.split(counts)])

    def _states(self, model: Any, requests: Sequence[Request]) -> list[np.ndarray]:
        """The last hidden states of each request, float32 of shape (tokens of all tiles, width)."""
        import torch

        tower = getattr(model, "tower", model)
        tiles = torch.from_numpy(
            np.concatenate([one.tiles for one in requests if one.tiles is not None])
        )

        def states(part: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = tower(part.to(self._device)).float()
            return torch.nn.functional.normalize(found, dim=2) if self._normalise else found

        each = torch.cat([self._halving(states, part) for part in tiles.split(self._batch)])
        parts = each.split([_size(one) for one in requests])
        return [part.flatten(0, 1).cpu().numpy() for part in parts]

    def _halving(self, work: Any, batch: Any) -> torch.Tensor:
        """``work(batch)``; if the device's memory is too small, in halves."""
        import torch

        try:
            found: torch.Tensor = work(batch)
            return found
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        half = len(batch) // 2
        if half < self._batch:
            self._batch = half
            note(
                logger,
                "batch_halved",
                f"The device's memory is too small for {len(batch)} at once; now {half}.",
            )
        return torch.cat([self._halving(work, batch[:half]), self._halving(work, batch[half:])])

    @staticmethod
    def _give(one: _Waiting, vector: np.ndarray) -> None:
        def put() -> None:
            if one.future.cancelled():
                return
            if np.isfinite(vector).all():
                tokens = len(one.request.token_ids) or None
                states = vector.ndim > 1
                one.future.set_result(
                    States(vector.tobytes(), tokens) if states else Numbers(vector, tokens)
                )
            else:
                message = (
                    f"the vector holds {np.count_nonzero(~np.isfinite(vector))} values that are no"
                    " finite numbers"
                )
                one.future.set_exception(UnitError("generate", "engine_failed", message))

        one.loop.call_soon_threadsafe(put)

    @staticmethod
    def _fail(taken: Sequence[_Waiting], error: EngineDead) -> None:
        for one in taken:
            one.loop.call_soon_threadsafe(_end, one.future, error)


def _end(future: asyncio.Future[Numbers | States], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _has_tiles(request: Request) -> bool:
    return request.tiles is not None and len(request.tiles) > 0


def _size(request: Request) -> int:
    return len(request.tiles) if request.tiles is not None and len(request.tiles) else 1


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
