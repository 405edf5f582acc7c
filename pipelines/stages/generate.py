"""Turns tiles and token ids into answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.engines.base import Engine, EngineDead
from internvl_ops.engines.device_load import DeviceLoad
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.gauge import Gauge
from internvl_ops.generation import Answerer
from internvl_ops.tasks import TEXT, Outcome
from pipelines import columns as c
from pipelines.failures import fill
from pipelines.ledger.ledger import Claims
from pipelines.stages import wire
from pipelines.stages.row_values import worker_name

CLOSING_S = 10.0  # limit for what an engine leaves to do


class Generate:
    """GPU actor: hosts the engine and keeps it full.

    Ray calls it from many threads at once, each with a block. All threads wait on one event loop,
    in which the engine runs. A slow row delays only the rows of its own block.

    Args:
        make_engine: Makes an engine that is not yet started.
        make_generator: Makes what has the conversations, from the running engine.
        tile_size: Side of a tile, in pixels.
        hang_s: As in `Recovering`.
        ledger: Receives the events of the process.
        outcome: What the answers are.
        in_flight: Units that the engine has at once; the others of the blocks wait. None for all.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine[Any]],
        make_generator: Callable[[Recovering[Any]], Answerer],
        tile_size: int,
        hang_s: float,
        ledger: Claims | None = None,
        outcome: Outcome = TEXT,
        in_flight: int | None = None,
    ) -> None:
        self._side, self._outcome = tile_size, outcome
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="engine").start()
        # The first request starts the engine, so a run that has nothing to do loads no model.
        self._engine = Recovering(make_engine, hang_s=hang_s)
        self._name = worker_name()
        self._places: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Semaphore(in_flight) if in_flight else contextlib.nullcontext()
        )
        self.begin(make_generator, ledger)

    def begin(
        self, make_generator: Callable[[Recovering[Any]], Answerer], ledger: Claims | None = None
    ) -> None:
        """Begins a job with the same engine. No row may be in progress.

        Args:
            make_generator: As for the class.
            ledger: As for the class.
        """
        if ledger is not None:
            ledger.take_events()
        self._engine.asked, self._load = Gauge(), DeviceLoad()
        self._generator = make_generator(self._engine)

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __call__(self, rows: pa.Table) -> pa.Table:
        # Read the gauge when rows arrive: the last reading then excludes the end of the run, when
        # no rows remain.
        arrived = self._engine.asked.read()
        device_s = self._load.busy_s if arrived else None
        errors = rows[c.ERROR].to_pylist()
        unasked = wire.unasked_rows(rows)
        fine = [row for row, error in enumerate(errors) if error is None and not unasked[row]]
        replies: list[dict[str, Any] | None] = [None] * len(rows)
        for row, outcome in zip(fine, self._on_loop(self._answer(rows, fine)), strict=True):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            else:
                replies[row] = {c.REPLIES: wire.encode_replies(outcome, self._outcome)}
        rows = c.set_errors(
            rows.drop_columns([c.CONVERSATIONS, c.TILES, c.HASHES, c.PICTURES]), errors
        )
        rows = fill(rows, "generate", replies, pa.schema([(c.REPLIES, self._outcome.replies_type)]))
        # loading the model does not count as idle time
        reading = arrived or self._engine.asked.at_start()
        return wire.with_reading(rows, c.ENGINE_GAUGE, self._name, reading, device_s=device_s)

    def close(self) -> None:
        """Ends the engine. In an actor it ends with the actor."""
        self._on_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        await self._engine.shutdown()
        await asyncio.sleep(0)  # an engine of connections closes them in a task that begins now
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=CLOSING_S)

    async def _answer(self, rows: pa.Table, fine: Sequence[int]) -> list[list[Any] | UnitError]:
        async def one(row: int) -> list[Any] | UnitError:
            # The name contains the position in the manifest, so that a repeated id does not clash
            # in the engine.
            name = f"{rows[c.POSITION][row].as_py()}-{os.urandom(4).hex()}"
            try:
                conversations = wire.decode_conversations(rows, row)
                assert conversations is not None, "a row without an error is prepared"
                async with self._places:
                    return await self._generator.answer(
                        name, conversations, wire.decode_shown(rows, row, self._side)
                    )
            except (EngineDead, ConfigurationError):
                raise  # not the unit's fault: the job ends, and the same command resumes it
            except Exception as error:
                return unforeseen("generate", error)

        return await asyncio.gather(*(one(row) for row in fine))
