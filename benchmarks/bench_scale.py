"""How many engines one driver keeps busy: 1 to 64 GPU actors on a Ray cluster of fake nodes, with
an engine stand-in.

    python -m benchmarks.bench_scale [--engines 1 4 16 64] [--nodes 4 16] [--special half full]
    [--part]

The cluster is real but for its nodes, which are all this machine, and its GPUs, which are numbers:
scheduling, object store and pipeline are what they are on many machines. The engine is
`testing.stand_in`, which waits as long as a GPU would compute; rows are questions, so that
preparing them costs next to nothing. The ideal is as many times what the device that is stood in
for can do at most as there are engines.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import records
from benchmarks.processes import Follower, cpu_seconds, memory
from testing.stand_in import Latency, make_stand_in

LENGTHS = (16, 24, 32, 40, 48)  # tokens of an answer
NEW_TOKENS = 32  # on average
# Four requests a second at most where 16 run, each of 13 tiles and 32 new tokens: slow for a GPU,
# so that two cores drive many.
DEVICE = Latency(prompt_tokens=3400, prefill_s=1 / 34_000, step_s=0.05, decode_s=0.0015625)
STORE = 256 << 20


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        engines: Their number.
        nodes: That have them.
        running: Rows that run at once in an engine, which has twice as many in flight.
        fillings: Rows of the run, in times of what its engines have in flight.
        slow: How many times slower one of the engines is.
        start_s: Seconds until an engine is ready.
        pace: How many times slower all engines are.
        block: Rows in a block; None for the default.
    """

    engines: int
    nodes: int
    running: int = 16
    fillings: int = 6
    slow: float = 1.0
    start_s: float = 0.0
    pace: float = 1.0
    block: int | None = None

    @property
    def device(self) -> Latency:
        return replace(DEVICE.slower(self.pace), start_s=self.start_s, max_running=self.running)

    @property
    def in_flight(self) -> int:
        return 2 * self.running

    @property
    def rows(self) -> int:
        return self.engines * self.fillings * self.in_flight

    @property
    def ideal(self) -> float:
        """Rows a second that the devices can do at most."""
        return (self.engines - 1 + 1 / self.slow) * self.device.rate(NEW_TOKENS)

    @property
    def name(self) -> str:
        name = (
            f"{self.engines} engine{'s' * (self.engines > 1)} on {self.nodes}"
            f" node{'s' * (self.nodes > 1)}"
        )
        said = {
            f"one {self.slow:g} times slower": self.slow != 1,
            f"that start in {self.start_s:g} s": self.start_s != 0,
            f"each {self.pace:g} times slower": self.pace != 1,
            f"{self.in_flight} rows in flight in each": self.running != Run.running,
            f"blocks of {self.block}": self.block is not None,
            f"{self.fillings * self.in_flight} rows each": self.fillings != Run.fillings,
        }
        return ", ".join([name, *(what for what, so in said.items() if so)])


# Runs with other engines than usual.
SPECIAL = {
    "slow": Run(4, 4, slow=4.0),
    "start": Run(4, 4, start_s=30.0),  # for the minutes that a large model takes
    "half": Run(64, 16, pace=2.0),
    "full": Run(16, 4, running=256, fillings=3),  # in flight what is by default on a GPU
}


def make_questions(path: Path, rows: int) -> str:
    """A manifest of questions, each with the length of its answer, so that they do not end
    together."""
    numbers = range(rows)
    lengths = np.random.default_rng(0).permutation(np.resize(LENGTHS, rows))
    columns = {
        "id": [f"{n:06d}" for n in numbers],
        "question": [f"What is {n} in words?" for n in numbers],
        "sampling_params": [json.dumps({"max_new_tokens": int(length)}) for length in lengths],
    }
    pq.write_table(pa.table(columns), path)
    return str(path)


def cluster_of(nodes: int, engines: int) -> Any:
    """A head with CPUs for prepare, and nodes that share the engines' GPUs."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": STORE}
    )
    for number in range(min(nodes, engines)):
        gpus = len(range(number, engines, nodes))
        cluster.add_node(num_cpus=gpus, num_gpus=gpus, object_store_memory=STORE)
    cluster.wait_for_nodes()
    return cluster


def measure(run: Run, scratch: Path) -> dict[str, Any]:
    """The ask job's pipeline in this process."""
    from pipelines import annotate
    from pipelines.blocks import plan_blocks, rows_of
    from pipelines.commands.job import check_job
    from pipelines.options.tasks import job_options
    from pipelines.options.tasks.ask import make_ask
    from pipelines.report.progress import ProgressLine
    from testing.tiny import make_tiny_checkpoint

    finished: list[tuple[float, int]] = []
    update = ProgressLine.update

    def noted(self: ProgressLine, done: int, tokens: int, failed: int) -> None:
        finished.append((time.monotonic(), done))
        update(self, done, tokens, failed)

    ProgressLine.update = noted  # type: ignore[method-assign]
    slow = str(scratch / "slow")
    annotate.engine_maker = lambda *_: functools.partial(make_stand_in, run.device, run.slow, slow)
    cluster = cluster_of(run.nodes, run.engines)
    try:
        options = job_options("ask")(
            input=make_questions(scratch / "manifest.parquet", run.rows),
            output=str(scratch / "out"),
            model=str(make_tiny_checkpoint(scratch / "model", layers=1, hidden=64)),
            max_new_tokens=max(LENGTHS),
            retries=0,
            prepare_actors=max(1, run.engines // 16),
            engines=run.engines,
            gpus_per_engine=1,
            in_flight=run.in_flight,
            rows_per_block=run.block,
            ray_address=cluster.address,
        )
        job = check_job(options, make_ask)
        rows = rows_of(options, job[0])
        blocks = plan_blocks(options, job[1], rows, run.engines, run.in_flight)
        with Usage() as usage:
            record = annotate.annotate(options, *job)
    finally:
        cluster.shutdown()
    print(record.summary(), file=sys.stderr)
    at, done = np.array(finished).T
    # Steady is from where a fifth is through, when every engine is up, to where only what is in
    # flight is left.
    first, last = 0.2 * run.rows, run.rows - run.engines * run.in_flight
    window = np.interp([first, last], done, at)
    steady_s = float(window[1] - window[0])
    used = usage.cpu(*window)
    return {
        "results": record.totals.results,
        "rate": (last - first) / steady_s,
        "tail_s": float(at[-1] - window[1]),
        "cpu_s_per_row": {
            what: round(seconds / (last - first), 5) for what, seconds in used.items()
        },
        "cores_busy": round(sum(used.values()) / steady_s, 2),
        "worker_mib": usage.largest_worker_mib,
        "seconds": round(record.seconds, 1),
        "rows_per_block": blocks.rows,
    }


class Usage(Follower):
    """CPU seconds of this process and its descendants, by what they do, over time; memory of the
    largest worker."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, dict[str, float]]] = []
        self._names: dict[int, str] = {}
        self._looks = 0
        self.largest_worker_mib = 0
        super().__init__(2.0)

    def cpu(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds between two times of the monotonic clock."""
        at = [when for when, _ in self._seen]
        kinds = {kind for _, used in self._seen for kind in used}
        both = {
            kind: np.interp([start, end], at, [used.get(kind, 0.0) for _, used in self._seen])
            for kind in sorted(kinds)
        }
        return {
            kind: float(used[1] - used[0]) for kind, used in both.items() if used[1] - used[0] > 0.1
        }

    def look(self) -> None:
        used: dict[str, float] = {}
        self._looks += 1
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            kind = self._kind(process)
            used[kind] = used.get(kind, 0.0) + cpu_seconds(process.pid)
        self._seen.append((time.monotonic(), used))

    def _kind(self, process: psutil.Process) -> str:
        if process.pid == os.getpid():
            return "driver"
        name = self._names.get(process.pid, "")
        if not name.startswith("ray::Map"):  # a worker is told late what it is for
            with contextlib.suppress(psutil.Error):
                name = self._names[process.pid] = (process.cmdline() or [""])[0]
        # The kernel takes milliseconds to add up the memory of a process that shares as much.
        if "MapWorker" in name and self._looks % 20 == 0:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                self.largest_worker_mib = max(
                    self.largest_worker_mib, memory(process.pid)["own"] >> 20
                )
        return next(
            (stage for stage in ("Generate", "Prepare", "Parse", "Ledger") if stage in name),
            "Ray itself",
        )


def spawn(run: Run) -> dict[str, Any]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        said = json.dumps(asdict(run))
        command = [
            sys.executable,
            "-m",
            "benchmarks.bench_scale",
            "--answer",
            str(answer),
            "--run",
            said,
        ]
        subprocess.run(
            command, check=True, env=os.environ | {"RAY_worker_niceness": "0"}, timeout=1200
        )
        return json.loads(answer.read_text())


def as_record(run: Run, found: dict[str, Any]) -> dict[str, Any]:
    return records.record(
        run.name,
        "rows/s",
        found["rate"],
        rival_name="what the devices can do at most",
        rival=run.ideal,
        expected=run.rows,
        got=found["results"],
        **{key: value for key, value in found.items() if key not in ("rate", "results")},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--nodes", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--blocks", type=int, nargs="*", help="rows per block")
    parser.add_argument("--fillings", type=int, default=Run.fillings, help="rows of a run")
    parser.add_argument(
        "--special",
        choices=SPECIAL,
        nargs="*",
        default=list(SPECIAL),
        help="other engines than usual",
    )
    parser.add_argument("--part", action="store_true", help="leave other records as they are")
    for hidden in ("--answer", "--run"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(Run(**json.loads(arguments.run)), Path(scratch))
        Path(arguments.answer).write_text(json.dumps(found))
        return 0

    plan = [
        Run(engines, nodes, block=block, fillings=arguments.fillings)
        for block in arguments.blocks or [None]
        for engines in arguments.engines
        for nodes in sorted({min(nodes, engines) for nodes in arguments.nodes})
    ]
    written = []
    for run in [*plan, *(SPECIAL[name] for name in arguments.special)]:
        written.append(as_record(run, spawn(run)))
        print(json.dumps(written[-1]), flush=True)
    wrong = records.write("scale", written, part=arguments.part)
    print(f"counts differ: {', '.join(wrong)}" if wrong else "every row is through")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
