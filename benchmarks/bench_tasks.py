"""What three tasks over the same images cost in one pass, against three passes, and against one
task alone.

The same engine, fed by the same preparer, on images it has not seen: in one pass an image is
fetched, tiled and encoded once, and the image before the question is in the engine's caches when
the second and third task ask. CPU time of this process and all below it, so that what else the
machine does does not count.

    python -m benchmarks.bench_tasks
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from benchmarks import records
from benchmarks.bench_parity import picture
from benchmarks.processes import cpu_seconds

IMAGES, TILES, NEW_TOKENS = 12, 12, 16
SIZE = (1344, 1008)  # 4 x 3 tiles of 448, and the thumbnail
MODEL = {"tile_size": 448, "layers": 4, "hidden": 256}
SETTINGS = {
    "enforce_eager": True,
    "max_num_seqs": 16,
    "kv_cache_memory_bytes": 3 << 30,
    "max_model_len": 8192,
}


def cpu_now() -> float:
    """CPU seconds of this process and all below it."""
    me = psutil.Process()
    return sum(cpu_seconds(process.pid) for process in [me, *me.children(recursive=True)])


class Bench:
    """One engine, and the jobs' own preparer and generator around it."""

    def __init__(self, folder: Path) -> None:
        from internvl_ops.engines import Sampling, VllmEngine
        from internvl_ops.generation import Generator, Retries
        from internvl_ops.media.access import ReadPolicy
        from internvl_ops.media.image_options import ImageOptions
        from internvl_ops.media.parts import DecodeOptions
        from internvl_ops.models.checkpoints.config import load_checkpoint
        from internvl_ops.models.tokenizers.tokenizer import Tokenizer
        from internvl_ops.preparer import Preparer, ReadLimits
        from testing.tiny import make_tiny_checkpoint

        self._folder = folder
        checkpoint = load_checkpoint(str(make_tiny_checkpoint(folder / "model", **MODEL)))
        self.engine = VllmEngine(checkpoint, engine_args=SETTINGS)
        self._generator = Generator(self.engine, Tokenizer(checkpoint), retries=Retries(times=0))
        reading = (
            ReadPolicy(str(folder)),
            DecodeOptions(image=ImageOptions(max_tiles=TILES)),
            ReadLimits(),
        )
        self.preparer = Preparer(checkpoint, reading, sampling=Sampling(ignore_stop=True))
        self._drawn = 0

    def draw(self, count: int) -> list[str]:
        """Images that are not those drawn before."""
        names = []
        for _ in range(count):
            image = picture(*SIZE)
            image.paste(
                Image.new("RGB", (64, 64), (self._drawn % 256, 7, 99)),
                (32 * (self._drawn % 40), 40),
            )
            names.append(f"{self._drawn}.jpg")
            image.save(self._folder / names[-1], quality=90)
            self._drawn += 1
        return names

    async def run(self, tasks: Sequence[Any], names: Sequence[str]) -> dict[str, float]:
        """One pass over the images."""
        from internvl_ops.errors import UnitError
        from internvl_ops.preparer import MediaRef, Unit

        started, cpu = time.monotonic(), cpu_now()
        conversations = [
            one for task in tasks for one in task.converse({"phrase": "the red square"})
        ]
        units = [Unit(conversations, [MediaRef(name)]) for name in names]
        prepared = [one for one in self.preparer.prepare(units) if not isinstance(one, UnitError)]
        from internvl_ops.rendered import Shown

        answers = await asyncio.gather(
            *(
                self._generator.answer(
                    f"{name}-{self._drawn}", one.conversations, Shown(one.tiles, one.hashes)
                )
                for name, one in zip(names, prepared, strict=True)
            )
        )
        replies = [
            reply for unit in answers for samples in unit for turns in samples for reply in turns
        ]
        return {
            "seconds": time.monotonic() - started,
            "cpu": cpu_now() - cpu,
            "tokens": sum(reply.completion_tokens for reply in replies),
        }


async def measure(folder: Path) -> dict[str, dict[str, float]]:
    from internvl_ops.tasks import caption, ground, ocr

    bench = Bench(folder)
    tasks = [make(max_new_tokens=NEW_TOKENS) for make in (caption, ocr, ground)]
    await bench.engine.start()
    try:
        await bench.run(tasks[:1], bench.draw(2))  # what is paid once
        alone = await bench.run(tasks[:1], bench.draw(IMAGES))
        together = await bench.run(tasks, bench.draw(IMAGES))
        # An image is new to each of three passes over a dataset: by the second its caches have been
        # used for others.
        passes = [await bench.run([task], bench.draw(IMAGES)) for task in tasks]
    finally:
        bench.engine.shutdown()
        bench.preparer.close()
    apart = {key: sum(one[key] for one in passes) for key in alone}
    return {"one task": alone, "three tasks in one pass": together, "three passes": apart}


def main() -> int:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(Path(scratch)))
    together, tokens = found["three tasks in one pass"], 3 * IMAGES * NEW_TOKENS
    more = {
        "unit": "CPU s/image",
        "expected": tokens,
        "less_is_better": True,
        "images": IMAGES,
        "tiles": TILES + 1,
    }
    written = [
        records.record(
            "three tasks in one pass",
            ours=together["cpu"] / IMAGES,
            rival_name=name,
            rival=found[name]["cpu"] / IMAGES,
            got=int(together["tokens"]),
            rival_got=int(found[name]["tokens"]),
            wall_s={
                "ours": round(together["seconds"], 2),
                "rival": round(found[name]["seconds"], 2),
            },
            **more,  # type: ignore[arg-type]
        )
        for name in ("three passes", "one task")
    ]
    wrong = records.write("tasks", written)
    for entry in written:
        print(
            f"{entry['name']}: {entry['ours']} CPU s/image, {entry['rival_name']} {entry['rival']}:"
            f" {entry['ratio']}"
        )
    if wrong:
        print(f"counts differ: {', '.join(wrong)}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
