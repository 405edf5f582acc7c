"""What blocks, requests in flight and the order of rows do to an engine, on a stand-in for one;
without Ray.

    python -m benchmarks.bench_batching

A block is given back when its slowest row is done, so that rows in flight are not all rows that
run. Answers have lengths as captions and pages have them: most short, some as long as is allowed.
Time is the device's own.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np

from benchmarks import records
from internvl_ops.engines.base import Request, Sampling
from pipelines.blocks import WAITING
from testing.stand_in import Latency, StandInEngine

# A step of 20 ms with 256 running, and 3,400 prompt tokens in 20 ms; a hundred times quicker than
# that.
DEVICE = Latency(
    prompt_tokens=3400,
    prefill_s=6e-8,
    step_s=1.2e-4,
    decode_s=3e-7,
    max_running=256,
    tokens_per_step=8,
)
ROWS = 8000
LONGEST = 512
FLIGHTS, BLOCKS = (128, 256, 320, 512, 1024), (1, 8, 40)
USUAL = (512, 8)  # as the pipeline does it on a GPU
HELD_BLOCKS = (16, 64)


def lengths() -> np.ndarray:
    """Tokens of each answer, int64 of shape (rows,): log-normal around 60, cut at 512."""
    drawn = np.random.default_rng(0).lognormal(np.log(60), 0.8, ROWS)
    return np.clip(drawn, 4, LONGEST).astype(np.int64)


async def feed(
    tokens: np.ndarray, in_flight: int, block: int, held: int | None = None
) -> tuple[float, float]:
    """Seconds of the device for all rows, and seconds at the end in which nobody waited any more.

    Args:
        tokens: Of each answer.
        in_flight: Rows that the engine has at once.
        block: Rows of a block.
        held: Rows in the blocks that the engine holds; as many as are in flight by default.
    """
    emptied = 0.0
    told: list[tuple[float, int, int]] = []
    engine = StandInEngine(DEVICE, told=lambda *seen: told.append(seen))
    free = asyncio.Semaphore(max(1, (held or in_flight) // block))
    places = asyncio.Semaphore(in_flight)

    async def row(length: int) -> None:
        async with places:
            await engine.generate(Request(""), Sampling(max_new_tokens=length))

    async def one(rows: np.ndarray) -> None:
        nonlocal emptied
        async with free:
            emptied = told[-1][0] if told else 0.0
            await asyncio.gather(*(row(int(length)) for length in rows))

    await asyncio.gather(
        *(one(tokens[start : start + block]) for start in range(0, len(tokens), block))
    )
    return engine.busy_s, told[-1][0] - emptied


def main() -> int:
    drawn = lengths()
    found = {
        (flight, block): asyncio.run(feed(drawn, flight, block))
        for flight in FLIGHTS
        for block in BLOCKS
        if flight // block >= 2
    }
    usual, tail = found[USUAL]
    written = []
    for (flight, block), (seconds, _) in found.items():
        said: dict[str, Any] = {
            "expected": ROWS,
            "got": ROWS,
            "answers": "4 to 512 tokens, log-normal",
        }
        name = f"{flight} in flight, blocks of {block}"
        rival = {"rival_name": f"{USUAL[0]} in flight, blocks of {USUAL[1]}", "rival": ROWS / usual}
        written.append(records.record(name, "rows/s", ROWS / seconds, **rival, **said))
    for block in HELD_BLOCKS:
        seconds, _ = asyncio.run(feed(drawn, USUAL[0], block, WAITING * USUAL[0]))
        name = f"{USUAL[0]} in flight, blocks of {block}, {WAITING} times as many held"
        written.append(
            records.record(
                name,
                "rows/s",
                ROWS / seconds,
                rival_name="512 in flight, blocks of 1",
                rival=ROWS / found[USUAL[0], 1][0],
                expected=ROWS,
                got=ROWS,
            )
        )
    for name, order in (
        ("longest first", np.sort(drawn)[::-1]),
        ("shortest first", np.sort(drawn)),
    ):
        seconds, last = asyncio.run(feed(order, *USUAL))
        rival = {"rival_name": "in the order of the manifest", "rival": ROWS / usual}
        written.append(
            records.record(
                f"{name}, lengths known before",
                "rows/s",
                ROWS / seconds,
                **rival,
                expected=ROWS,
                got=ROWS,
                tail_share={"ours": round(last / seconds, 4), "rival": round(tail / usual, 4)},
            )
        )
    for record in written:
        print(record["name"], record["ours"], record["ratio"], record.get("tail_share", ""))
    return bool(records.write("batching", written))


if __name__ == "__main__":
    sys.exit(main())
