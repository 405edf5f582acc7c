"""Tiles and token ids become answers."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.engines.base import Chat, Engine, EngineDead, Sampling
from internvl_ops.engines.device_load import DeviceLoad
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.generation import ChatConversation, Generator, RenderedConversation, Retries, Shown
from internvl_ops.models.config import Checkpoint
from internvl_ops.models.rendering import Placeholder
from internvl_ops.models.tokenizer import Tokenizer
from pipelines import columns as c
from pipelines.failures import fill
from pipelines.ledger.ledger import Book
from pipelines.stages.rows import worker_name


class Generate:
    """GPU actor: hosts the engine and keeps it full.

    Ray calls it from many threads at once, each with a small block; all of them wait on one event loop, in which the
    engine runs. A slow row keeps back the few rows of its own block and nothing else.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        make_generator: Callable[[Recovering], Generator],
        tile_size: int,
        hang_s: float,
        ledger: Book | None = None,
    ) -> None:
        if ledger is not None:
            ledger.take_events()
        self._side = tile_size
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="engine").start()
        # Its engine is started by the first request: a run that finds nothing to do loads no model.
        self._engine = Recovering(make_engine, hang_s=hang_s)
        self._generator = make_generator(self._engine)
        self._name, self._load = worker_name(), DeviceLoad()

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __call__(self, rows: pa.Table) -> pa.Table:
        # Read as the rows come, the last reading is of when rows remained; what follows is the end running out.
        arrived = self._engine.asked.read()
        device_s = self._load.busy_s if arrived else None
        errors = rows[c.ERROR].to_pylist()
        fine = [row for row, error in enumerate(errors) if error is None]
        replies: list[dict | None] = [None] * len(rows)
        for row, outcome in zip(fine, self._on_loop(self._answer(rows, fine)), strict=True):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            else:
                said = [[[vars(reply) for reply in turns] for turns in samples] for samples in outcome]
                replies[row] = {c.REPLIES: said}
        rows = c.set_errors(rows.drop_columns([c.CONVERSATIONS, c.TILES, c.HASHES, c.PICTURES]), errors)
        rows = fill(rows, "generate", replies, pa.schema([(c.REPLIES, c.REPLIES_TYPE)]))
        reading = arrived or self._engine.asked.at_start()  # loading the model is no idling
        return c.with_reading(rows, c.ENGINE_GAUGE, self._name, reading, device_s=device_s)

    async def _answer(self, rows: pa.Table, fine: Sequence[int]) -> list[list | UnitError]:
        async def one(row: int) -> list | UnitError:
            # The place in the manifest, so that an id that a user gives twice cannot meet itself in the engine.
            name = f"{rows[c.POSITION][row].as_py()}-{os.urandom(4).hex()}"
            try:
                return await self._generator.answer(name, _conversations(rows, row), self._shown(rows, row))
            except (EngineDead, ConfigurationError):
                raise  # no unit's fault: the job ends, and the same command resumes it
            except Exception as error:
                return unforeseen("generate", error)

        return await asyncio.gather(*(one(row) for row in fine))

    def _shown(self, rows: pa.Table, row: int) -> Shown:
        return Shown(
            np.frombuffer(rows[c.TILES][row].as_buffer(), np.uint8).reshape(-1, 3, self._side, self._side),
            rows[c.HASHES][row].as_py(),
            rows[c.PICTURES][row].as_py(),
        )


def make_generator(
    engine: Recovering,
    checkpoint: Checkpoint | None,
    trust_remote_code: bool,
    retries: Retries,
    stop: Sequence[str],
    samples: int,
) -> Generator:
    """What has the conversations with ``engine``; without a checkpoint where that answers in texts."""
    tokenizer = None if checkpoint is None else Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
    return Generator(engine, tokenizer, retries=retries, stop=stop, samples=samples)


def _conversations(rows: pa.Table, row: int) -> list[RenderedConversation] | list[ChatConversation]:
    """The conversations of a row; token ids as views, since turning thousands of them into numbers takes a while."""
    values = rows[c.CONVERSATIONS][row].values
    if values.field("chat").null_count == 0:
        return [_chat(value) for value in values.to_pylist()]
    prompts = values.field("token_ids")
    return [
        RenderedConversation(
            token_ids=prompts[number].values.to_numpy(),
            images=[Placeholder(**image) for image in values.field("images")[number].as_py()],
            follow_ups=[np.asarray(ids, np.int32) for ids in values.field("follow_ups")[number].as_py()],
            repair=_ids(values.field("repair")[number].as_py()),
            sampling=_sampling(values.field("sampling")[number].as_py()),
        )
        for number in range(len(values))
    ]


def _chat(value: dict[str, str]) -> ChatConversation:
    told = json.loads(value["chat"])
    return ChatConversation(Chat(**told["chat"]), told["follow_ups"], told["repair"], _sampling(value["sampling"]))


def _ids(values: list[int] | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values, np.int32)


@functools.lru_cache(256)
def _sampling(text: str) -> Sampling:
    values = json.loads(text)
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Sampling(**(values | lists))
