"""How many units an engine has at once, whatever the blocks are."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from internvl_ops.engines.recovering import Recovering
from internvl_ops.generation import Generator, Retries
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.tasks import ask
from pipelines import columns as c
from pipelines.stages.generate import Generate
from tests.pipelines.stages.test_failures import prepared


class Counting:
    """An engine that holds its requests until as many are there as should be at once, and counts
    the most."""

    def __init__(self, expected: int) -> None:
        self._expected, self.dead = expected, False
        self.running = self.most = 0
        self._full = asyncio.Event()

    async def start(self) -> None: ...

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running == self._expected:
            self._full.set()
        await self._full.wait()
        for _ in range(100):  # turns of the loop, in which one too many would come
            await asyncio.sleep(0)
        self.running -= 1
        return Completion([5, 6], 10, "stop", text="yes", completion_tokens=2)

    def shutdown(self) -> None: ...


@pytest.mark.parametrize(("in_flight", "most"), [(3, 3), (8, 8), (None, 16)])
def test_an_engine_has_as_many_units_as_it_may_from_all_blocks_together(
    checkpoint: Checkpoint, in_flight: int | None, most: int
) -> None:
    engine, tokenizer = Counting(most), Tokenizer(checkpoint)

    def make(recovering: Recovering) -> Generator:
        return Generator(recovering, tokenizer, retries=Retries(times=0))

    blocks = [prepared(checkpoint, ["Why?"] * 8, ask()) for _ in range(2)]
    stage = Generate(lambda: engine, make, checkpoint.tile_size, hang_s=60, in_flight=in_flight)
    with ThreadPoolExecutor(len(blocks)) as threads:
        answered = list(threads.map(stage, blocks))
    assert [table[c.ERROR].to_pylist() for table in answered] == [[None] * 8] * 2
    assert engine.most == most
    stage.close()


def test_no_model_is_loaded_for_pages_that_their_layer_answers(checkpoint: Checkpoint) -> None:
    made: list[Counting] = []

    def make_engine() -> Counting:
        made.append(Counting(1))
        return made[-1]

    def make(recovering: Recovering) -> Generator:
        return Generator(recovering, Tokenizer(checkpoint), retries=Retries(times=0))

    stage = Generate(make_engine, make, checkpoint.tile_size, hang_s=60)
    rows = prepared(checkpoint, ["Why?"] * 2, ask())
    place = rows.schema.get_field_index(c.UNASKED)
    unasked = rows.set_column(place, c.UNASKED, pa.array(["text_layer"] * 2))
    assert stage(unasked)[c.ERROR].null_count == 2
    assert made == []
    stage(rows.slice(0, 1))  # the first page that is asked about loads it
    assert len(made) == 1
    stage.close()
