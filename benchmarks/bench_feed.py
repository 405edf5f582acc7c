"""Whether the pipeline keeps its engine busy: its throughput against the same engine fed from
memory.

    python -m benchmarks.bench_feed [--images 320] [--repeats 2]

The engine's process has one core for itself, which stands for the device; Ray, the driver, prepare
and the engine's front-end have the others. The checkpoint is random, of a size at which the engine
takes several times as long for an image as preparing it, as a GPU does. Fed from memory means: the
same rendered inputs, prepared before, as many in flight at once. Rates are of the last three
quarters of the images, so that nobody profits from what was prepared while the engine started; the
tail is in them.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.bench_pipeline import ENGINE, ENVIRONMENT, TILES, draw_images
from benchmarks.plot import chart
from benchmarks.watched import WatchedEngine

ROOT = Path(__file__).parents[1]
PLOT = ROOT / "docs" / "feed.svg"
# at which the engine takes several times as long for an image as all the rest together
LAYERS, HIDDEN = 2, 128
NEW_TOKENS = 24
IN_FLIGHT = 32
WARM_UP = 0.25  # of the images
BARE_BYTES = TILES * 3 * 448 * 448


def cores() -> tuple[set[int], int]:
    """Those for everything but the engine, and the engine's."""
    *others, engine = sorted(os.sched_getaffinity(0))
    if not others:
        sys.exit("This benchmark needs two cores: one for the engine, one for what feeds it.")
    return set(others), engine


def options_of(images: str, model: str, output: str, **more: Any) -> Any:
    from pipelines.options.tasks import job_options

    return job_options("caption")(
        input=images,
        output=output,
        model=model,
        max_tiles=TILES - 1,
        max_new_tokens=NEW_TOKENS,
        retries=0,
        engine_args=ENGINE,
        in_flight=IN_FLIGHT,
        **more,
    )


def maker(checkpoint: Any, notes: str, core: int) -> Any:
    return functools.partial(
        WatchedEngine, checkpoint, max_tiles=TILES - 1, engine_args=ENGINE, notes=notes, core=core
    )


def pipeline(images: str, model: str, notes: str, core: int) -> dict[str, Any]:
    """The caption job's pipeline on a Ray of two CPUs, whichever cores it has."""
    import pyarrow as pa
    from ray.cluster_utils import Cluster

    from pipelines import annotate
    from pipelines.commands.job import check_job
    from pipelines.options.tasks.caption import make_caption
    from pipelines.report.record import RunRecord

    through_driver = 0
    take = RunRecord.take_previews

    def taken(self: RunRecord, rows: pa.Table) -> pa.Table:
        nonlocal through_driver
        rows = take(self, rows)
        through_driver += rows.nbytes
        return rows

    RunRecord.take_previews = taken  # type: ignore[method-assign]
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 4 << 30}
    )
    try:
        with tempfile.TemporaryDirectory() as scratch:
            options = options_of(
                images, model, f"{scratch}/out", prepare_actors=1, ray_address=cluster.address
            )
            plan, checkpoint, task = check_job(options, make_caption)
            annotate.engine_maker = lambda *_: maker(checkpoint, notes, core)
            record = annotate.annotate(options, plan, checkpoint, task)
    finally:
        cluster.shutdown()
    print(record.summary(), file=sys.stderr)
    totals = record.totals
    return {
        "answered": totals.results,
        "tokens": totals.completion_tokens,
        "driver_bytes": through_driver,
    }


def from_memory(images: str, model: str, notes: str, core: int) -> dict[str, Any]:
    """The same engine and the same inputs, and nothing between them."""
    from internvl_ops.engines.recovering import Recovering
    from internvl_ops.preparer import MediaRef, Unit
    from internvl_ops.rendered import Shown
    from pipelines.commands.job import check_job
    from pipelines.options.tasks.caption import make_caption
    from pipelines.wiring.generators import generator_maker
    from pipelines.wiring.media import read_policy, reader_arguments
    from pipelines.wiring.preparers import preparer_maker

    with tempfile.TemporaryDirectory() as scratch:
        options = options_of(images, model, f"{scratch}/out")
        plan, checkpoint, task = check_job(options, make_caption)
    assert checkpoint is not None
    media = reader_arguments(options, read_policy(options, plan), plan.media_kind)
    preparer = preparer_maker(options, media, checkpoint, task)()
    units = [
        Unit(task.converse({}), [MediaRef(str(path))]) for path in sorted(Path(images).iterdir())
    ]
    preparer.prepare(units[:4])  # what is started once
    clock = time.perf_counter()
    prepared: list[Any] = preparer.prepare(units)
    prepare_s = (time.perf_counter() - clock) / len(units)
    preparer.close()

    engine = maker(checkpoint, notes, core)()

    async def run() -> list[Any]:
        generator = generator_maker(options, checkpoint, task)(Recovering(lambda: engine))
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int, unit: Any) -> Any:
            async with free:
                return await generator.answer(
                    str(number), unit.conversations, Shown(unit.tiles, unit.hashes)
                )

        return await asyncio.gather(*(one(number, unit) for number, unit in enumerate(prepared)))

    try:
        answers = asyncio.run(run())
    finally:
        engine.shutdown()
    tokens = sum(reply.completion_tokens for [[[reply]]] in answers)
    return {"answered": len(answers), "tokens": tokens, "prepare_s": prepare_s}


SYSTEMS = {"pipeline": pipeline, "memory": from_memory}


def seen(notes: Path, images: int) -> dict[str, Any]:
    """What the engine noted, from the first request to the last answer."""
    samples = [json.loads(line) for line in notes.read_text().splitlines() if line.endswith("]")]
    samples = [sample for sample in samples if sample[1] + sample[2] + sample[3]]
    end = next(index for index, sample in enumerate(samples) if sample[3] >= images)
    start = next(index for index, sample in enumerate(samples) if sample[3] >= WARM_UP * images)
    rows = samples[end][3] - samples[start][3]
    window = samples[start:end]
    # The last rows of any run are fewer than the engine could take.
    filling = [sample for sample in window if images - sample[3] > IN_FLIGHT]
    return {
        "rate": rows / (samples[end][0] - samples[start][0]),
        "idle": sum(not sample[1] + sample[2] for sample in window) / len(window),
        "fewest": min(sample[1] + sample[2] for sample in filling),
        "mean_running": statistics.mean(sample[1] for sample in filling),
        "mean_waiting": statistics.mean(sample[2] for sample in filling),
        "samples": len(window),
        "bytes_per_image": samples[end][4] / images,
        "views": samples[end][5],
        "curve": [
            [round(sample[0] - samples[0][0], 2), sample[1], sample[2]]
            for sample in samples[: end + 1]
        ],
    }


def spawn(system: str, images: Path, model: str, scratch: Path) -> dict[str, Any]:
    """One system in a process of its own, on all cores but the engine's."""
    others, _ = cores()
    notes, answer = scratch / "notes.jsonl", scratch / "answer.json"
    notes.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "benchmarks.bench_feed",
        "--system",
        system,
        "--folder",
        images,
    ]
    command += ["--model", model, "--notes", notes, "--answer", answer]
    subprocess.run(
        [str(word) for word in command],
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"},
        check=True,
        cwd=ROOT,
        timeout=600,
        preexec_fn=lambda: os.sched_setaffinity(0, others),
    )
    return json.loads(answer.read_text()) | seen(notes, len(list(images.iterdir())))


def as_records(found: dict[str, dict[str, Any]], images: int) -> list[dict[str, Any]]:
    mine, rival = found["pipeline"], found["memory"]
    said: dict[str, Any] = {"expected": images, "got": mine["answered"]}
    setup = {
        "engine": f"random weights, {1 / rival['rate']:.3f} s an image on a core of its own",
        "prepare_seconds_per_image": round(rival["prepare_s"], 4),
        "in_flight": IN_FLIGHT,
        "completion_tokens": {"ours": mine["tokens"], "rival": rival["tokens"]},
    }
    fed = "the same engine fed from memory"
    figures = {key: mine[key] for key in ("fewest", "mean_running", "mean_waiting", "samples")}
    return [
        records.record(
            "images end to end, engine on a core of its own",
            "images/s",
            mine["rate"],
            rival_name=fed,
            rival=rival["rate"],
            **said,
            **setup,
        ),
        records.record(
            "engine without a request while rows remain",
            "% of the time",
            100 * mine["idle"],
            rival_name=fed,
            rival=None,
            **said,
            **figures,
        ),
        records.record(
            "bytes that reach the engine",
            "MB/image",
            mine["bytes_per_image"] / 1e6,
            rival_name="13 bare tiles of 448",
            rival=BARE_BYTES / 1e6,
            less_is_better=True,
            **said,
            tiles_are_views_of_the_object_store=mine["views"],
        ),
        records.record(
            "bytes that go through the driver",
            "MB/image",
            mine["driver_bytes"] / images / 1e6,
            rival_name="13 bare tiles of 448",
            rival=BARE_BYTES / 1e6,
            less_is_better=True,
            **said,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=2, help="runs of each; the medians count")
    for hidden in ("--system", "--folder", "--model", "--notes", "--answer"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.system:
        core = max(os.sched_getaffinity(0) ^ set(range(os.cpu_count() or 1)))
        found = SYSTEMS[arguments.system](arguments.folder, arguments.model, arguments.notes, core)
        Path(arguments.answer).write_text(json.dumps(found))
        return 0

    from testing.tiny import make_tiny_checkpoint

    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        draw_images(scratch / "images", arguments.images)
        model = str(
            make_tiny_checkpoint(scratch / "model", tile_size=448, layers=LAYERS, hidden=HIDDEN)
        )
        for _ in range(arguments.repeats):
            for name in SYSTEMS:
                runs[name].append(spawn(name, scratch / "images", model, scratch))
                print(
                    name,
                    {key: value for key, value in runs[name][-1].items() if key != "curve"},
                    flush=True,
                )
    found = {
        name: sorted(several, key=lambda run: run["rate"])[len(several) // 2]
        for name, several in runs.items()
    }
    curve = found["pipeline"]["curve"]
    PLOT.write_text(
        chart(
            "Requests in the engine, fed by the pipeline",
            "seconds from the first request",
            {
                "running": [(at, running) for at, running, _ in curve],
                "running and waiting": [(at, running + waiting) for at, running, waiting in curve],
            },
        )
    )
    wrong = records.write("feed", as_records(found, arguments.images))
    print(
        f"counts differ: {', '.join(wrong)}"
        if wrong
        else f"fed {found['pipeline']['rate'] / found['memory']['rate']:.3f}"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
