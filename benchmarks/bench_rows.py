"""Whether the cost of a row grows with the manifest: 10^5, 10^6, 10^7 rows through source, skip and
write.

    python -m benchmarks.bench_rows [--new 100000 1000000] [--done 100000 1000000 10000000]

Rows are questions without an image, and an engine stand-in answers them at once, so that what is
left is the pipeline's own work on a row. Sizes are run into an empty output, or into one where
every row is done already. Memory is anonymous pages; the object store, which all processes share,
is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import records
from benchmarks.processes import Follower, cpu_seconds, memory
from testing.stand_in import StandInEngine

ROWS_A_PART = 1_000_000  # of the manifest
ROWS_PER_FILE = 10_000  # of the results
MIB = 1 << 20
WARM_UP = 0.1  # of the rows: until then actors start
NOTED_EVERY_S = 2.0


def unit_id(number: int) -> str:
    """As long as those that are made of a URI."""
    return f"{number:032x}"


def make_manifest(folder: Path, rows: int) -> str:
    """Parquet files of questions."""
    folder.mkdir(parents=True)
    for start in range(0, rows, ROWS_A_PART):
        numbers = range(start, min(start + ROWS_A_PART, rows))
        columns = {
            "id": [unit_id(n) for n in numbers],
            "question": [f"What is {n} in words?" for n in numbers],
        }
        pq.write_table(
            pa.table(columns),
            folder / f"part-{start // ROWS_A_PART:03d}.parquet",
            row_group_size=100_000,
        )
    return str(folder)


def role(title: str) -> str | None:
    """What a process of the run does, by the title that Ray gives it."""
    if "LedgerActor" in title:
        return "ledger"
    return "worker" if title.startswith("ray::") else None


class Followed(Follower):
    """Follows a run: rows that are through, and the memory and CPU seconds of its processes by
    role."""

    def __init__(self) -> None:
        self.through: list[tuple[float, int]] = []
        self.peaks: Counter[str] = Counter()
        self.cpu: dict[int, float] = {}
        self.titles: dict[int, str] = {}
        self.rows = 0
        self.ledger: Any = None
        super().__init__(NOTED_EVERY_S)

    def look(self) -> None:
        if self.ledger is None:
            return
        self.through.append((time.monotonic(), self.rows + self.ledger.tally().skipped))
        self._weigh(os.getpid(), "driver", "driver")
        for process in psutil.Process().children(recursive=True):
            try:
                title = process.cmdline()[0]
                if (what := role(title)) is not None:
                    # What follows the brackets is the call that is running.
                    self._weigh(
                        process.pid,
                        what,
                        re.sub(r"^ray::(MapWorker\()?|\)\.\w+$|(?<=Actor)\.\w+$", "", title),
                    )
            except (psutil.Error, FileNotFoundError, ProcessLookupError, IndexError):
                continue  # it has ended

    def _weigh(self, pid: int, what: str, title: str) -> None:
        self.peaks[what] = max(self.peaks[what], memory(pid)["own"])
        if "IDLE" not in title:
            self.titles[pid] = title
        self.cpu[pid] = cpu_seconds(pid)

    def cpu_by_title(self) -> dict[str, float]:
        """CPU seconds of each kind of process that took over a second."""
        spent: Counter[str] = Counter()
        for pid, title in self.titles.items():
            spent[title.strip(")")] += self.cpu[pid]
        return {title: round(seconds, 1) for title, seconds in spent.most_common() if seconds > 1}

    def rate(self, start: float, end: float) -> float:
        """Rows a second between two shares of all rows."""
        total = self.through[-1][1]
        at = np.interp(
            [start * total, end * total], *reversed(list(zip(*self.through, strict=True)))
        )
        return (end - start) * total / float(at[1] - at[0])


def run(
    manifest: str, output: str, model: str, rows_per_block: int, limit: int | None
) -> dict[str, Any]:
    """One run of the ask job's pipeline in this process."""
    from pipelines import annotate
    from pipelines.commands.job import check_job
    from pipelines.options.tasks import job_options
    from pipelines.options.tasks.ask import make_ask
    from pipelines.report.progress import ProgressLine

    followed = Followed()
    update, drive = ProgressLine.update, annotate.drive

    def noted(self: ProgressLine, finished: int, tokens: int, failed: int) -> None:
        followed.rows = finished
        update(self, finished, tokens, failed)

    def driven(*arguments: Any) -> str:
        followed.ledger = arguments[-1]
        ended = drive(*arguments)
        followed.look()
        followed.ledger = None
        return ended

    ProgressLine.update = noted  # type: ignore[method-assign]
    annotate.drive = driven
    annotate.engine_maker = lambda *_: StandInEngine
    options = job_options("ask")(
        input=manifest,
        output=output,
        model=model,
        max_new_tokens=4,
        retries=0,
        rows_per_file=ROWS_PER_FILE,
        rows_per_block=rows_per_block,
        limit=limit,
    )
    with followed:
        record = annotate.annotate(options, *check_job(options, make_ask))
    print(record.summary(), file=sys.stderr)
    assert record.counts is not None
    return {
        "through": record.counts.results + record.counts.already_done,
        "results": record.counts.results,
        "seconds": record.seconds,
        "rate": followed.rate(WARM_UP, 1),
        "first_half": followed.rate(WARM_UP, 0.5),
        "second_half": followed.rate(0.5, 1),
        "peak_mib": {what: round(peak / MIB) for what, peak in followed.peaks.items()},
        "cpu_s": followed.cpu_by_title(),
    }


def spawn(scratch: Path, manifest: str, **more: Any) -> dict[str, Any]:
    """One run in a process of its own, into ``scratch/out``."""
    answer = scratch / "answer.json"
    options = {
        "manifest": manifest,
        "output": f"{scratch}/out",
        "model": scratch / "model",
        "answer": answer,
    } | more
    said = [
        f"--{option.replace('_', '-')}={value}"
        for option, value in options.items()
        if value is not None
    ]
    environment = os.environ | {"RAY_worker_niceness": "0"}
    subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_rows", *said], check=True, env=environment
    )
    return json.loads(answer.read_text())


def make_output(scratch: Path, manifest: str, rows: int, rows_per_block: int) -> None:
    """Results of all rows, as runs before would have left them: those of a short run, with the ids
    of the others."""
    spawn(scratch, manifest, rows_per_block=rows_per_block, limit=ROWS_PER_FILE // 10)
    (first,) = (scratch / "out" / "results").iterdir()
    some = pq.read_table(first)
    column = some.column_names.index("id")
    for start in range(len(some), rows, ROWS_PER_FILE):
        numbers = range(start, min(start + ROWS_PER_FILE, rows))
        more = some.take(pa.array(np.arange(len(numbers)) % len(some)))
        more = more.set_column(
            column, some.schema.field("id"), pa.array([unit_id(n) for n in numbers])
        )
        pq.write_table(more, first.with_name(f"made-{start:09d}.parquet"))


def measure(name: str, rows: int, rows_per_block: int) -> dict[str, Any]:
    """``new`` rows, or rows that are all ``done``."""
    from testing.tiny import make_tiny_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        manifest = make_manifest(scratch / "manifest", rows)
        make_tiny_checkpoint(scratch / "model", layers=1, hidden=64)
        if name == "done":
            make_output(scratch, manifest, rows, rows_per_block)
        found = spawn(scratch, manifest, rows_per_block=rows_per_block)
    print(f"{rows:,} rows, {name}: {json.dumps(found)}", flush=True)
    return found


WHAT = {"new": "rows written", "done": "rows found done"}
WHO = {"driver": "the driver", "ledger": "the ledger", "worker": "the largest worker"}


def as_records(
    name: str, found: dict[int, dict[str, Any]], rows_per_block: int
) -> list[dict[str, Any]]:
    """Rate and memory of each size against the smallest."""
    smallest = min(found)
    written = []
    for rows, mine in found.items():
        said: dict[str, Any] = {
            "expected": rows,
            "got": mine["through"],
            "rows_per_block": rows_per_block,
        }
        said["rival_name"] = f"the same of {smallest:,} rows" if rows > smallest else ""
        more = {key: mine[key] for key in ("seconds", "first_half", "second_half", "cpu_s")}
        least = found[smallest]["rate"] if rows > smallest else None
        what = f"{WHAT[name]}, of {rows:,}"
        written.append(records.record(what, "rows/s", mine["rate"], rival=least, **said, **more))
        for who, shown in WHO.items():
            least = found[smallest]["peak_mib"][who] if rows > smallest else None
            peak = mine["peak_mib"][who]
            written.append(
                records.record(
                    f"{what}: most memory of {shown}",
                    "MiB",
                    peak,
                    rival=least,
                    less_is_better=True,
                    **said,
                )
            )
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--new", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes run through"
    )
    parser.add_argument(
        "--done",
        type=int,
        nargs="*",
        default=[100_000, 1_000_000, 10_000_000],
        help="sizes found done",
    )
    parser.add_argument("--rows-per-block", type=int, default=1000)
    parser.add_argument("--part", action="store_true", help="leave other records as they are")
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    for hidden in ("--manifest", "--output", "--model", "--answer"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        found = run(
            arguments.manifest,
            arguments.output,
            arguments.model,
            arguments.rows_per_block,
            limit=arguments.limit,
        )
        Path(arguments.answer).write_text(json.dumps(found))
        return 0
    written = []
    for name, sizes in (("new", arguments.new), ("done", arguments.done)):
        if sizes:
            every = {rows: measure(name, rows, arguments.rows_per_block) for rows in sizes}
            written += as_records(name, every, arguments.rows_per_block)
    wrong = records.write("rows", written, part=arguments.part)
    print(f"counts differ: {', '.join(wrong)}" if wrong else "every row is through")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
