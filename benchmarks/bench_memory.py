"""Whether the host memory of the GPU actor and of the driver stays flat over a long run.

    python -m benchmarks.bench_memory [--rows 5000]

Small images and a tiny checkpoint, so that thousands of rows pass in minutes: what grows, grows by
the row. Memory is anonymous pages; tiles in the object store, which all workers share, are not in
it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks import records
from benchmarks.processes import MemorySampler

MIB = 1 << 20
WARM_UP = 0.2  # of the rows: until then pools fill and code is loaded
ROLES = {"front_end": "GPU actor", "driver": "driver"}


def draw_images(folder: Path, count: int) -> None:
    """Writes ``count`` different images of 64 by 48."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / f"{index:05d}.jpg")


def run(rows: int, scratch: Path) -> tuple[MemorySampler, int]:
    """Captions ``rows`` images; returns the samples and how many results stand in the output."""
    import pyarrow.dataset as ds

    from pipelines.annotate import annotate
    from pipelines.commands.job import check_job
    from pipelines.options.tasks import job_options
    from pipelines.options.tasks.caption import make_caption
    from pipelines.report.progress import ProgressLine
    from testing.tiny import make_tiny_checkpoint

    draw_images(scratch / "images", rows)
    options = job_options("caption")(
        input=str(scratch / "images"),
        output=str(scratch / "out"),
        model=str(make_tiny_checkpoint(scratch / "model", tile_size=56, layers=1, hidden=64)),
        max_tiles=2,
        max_new_tokens=2,
        retries=0,
        commit_seconds=5,
        rows_per_file=500,
    )
    sampler = MemorySampler()
    update = ProgressLine.update

    def noted(self: ProgressLine, finished: int, tokens: int, failed: int) -> None:
        sampler.rows = finished
        update(self, finished, tokens, failed)

    ProgressLine.update = noted  # type: ignore[method-assign]
    try:
        with sampler:
            record = annotate(options, *check_job(options, make_caption))
    finally:
        ProgressLine.update = update  # type: ignore[method-assign]
    print(record.summary(), json.dumps(record.measures.rates()))
    return sampler, ds.dataset(scratch / "out" / "results").count_rows()


def halves(sampler: MemorySampler, role: str, rows: int, kind: str = "own") -> tuple[float, float]:
    """Mean MiB over the first and over the second half of the rows after warm-up."""
    found = [(at, bytes_[kind] / MIB) for at, whose, bytes_ in sampler.samples if whose == role]
    warm, middle = rows * WARM_UP, rows * (1 + WARM_UP) / 2
    return mean(m for at, m in found if warm <= at < middle), mean(
        m for at, m in found if at >= middle
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument(
        "--samples", type=Path, help="also write every sample, as JSON, to this file"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sampler, got = run(arguments.rows, Path(scratch))
    if arguments.samples:
        arguments.samples.write_text(json.dumps(sampler.samples))
    written = []
    for role, name in ROLES.items():
        first, second = halves(sampler, role, arguments.rows)
        written.append(
            records.record(
                f"memory of the {name}",
                "MiB",
                second,
                rival_name=(
                    f"the same in the first half; {WARM_UP:.0%} of the rows left out as warm-up"
                ),
                rival=first,
                less_is_better=True,
                expected=arguments.rows,
                got=got,
                pss=[round(m) for m in halves(sampler, role, arguments.rows, "pss")],
                samples=sum(whose == role for _, whose, _ in sampler.samples),
            )
        )
        print(json.dumps(written[-1]))
    return bool(records.write("memory", written))


if __name__ == "__main__":
    sys.exit(main())
