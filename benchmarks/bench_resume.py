"""What it costs to go on: ten million finished rows in 10,000 files, known again before a run
begins.

Each measurement runs in a process of its own: seconds to read the output, seconds to find for every
row of a manifest that it needs no work, and the most memory over what the imports take. The rival
is what a script does: the ids of the whole folder by ``pyarrow.dataset``, in a Python set.

    python -m benchmarks.bench_resume --files 10000 --scratch /tmp/resume
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from benchmarks.records import record, write

ROWS_PER_FILE = 1000
ANSWER = 120  # bytes of a caption


def ids(file: int) -> list[str]:
    """Ids as long as those that are made of a URI."""
    return [f"{file * ROWS_PER_FILE + row:032x}" for row in range(ROWS_PER_FILE)]


def make_output(folder: Path, files: int) -> None:
    """An output as jobs leave it, but for the columns between id and answer."""
    (folder / "results").mkdir(parents=True)
    letters = (
        np.random.default_rng(0)
        .integers(97, 123, ROWS_PER_FILE * ANSWER, np.uint8)
        .tobytes()
        .decode()
    )
    answers = pa.array(
        [letters[start : start + ANSWER] for start in range(0, len(letters), ANSWER)]
    )
    numbers = pa.array(range(ROWS_PER_FILE), pa.int32())
    for file in range(files):
        columns = {
            "id": ids(file),
            "response": answers,
            "caption": answers,
            "width": numbers,
            "height": numbers,
        }
        pq.write_table(
            pa.table(columns), folder / "results" / f"run-{file:06d}.parquet", compression="zstd"
        )


def memory() -> int:
    return psutil.Process().memory_info().rss


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def ours(folder: str, files: int) -> dict[str, float]:
    from pipelines.ledger.ledger import SKIP, Ledger
    from pipelines.output.folder import OutputFolder
    from pipelines.output.resume import load_output

    before, clock = memory(), time.perf_counter()
    ledger = Ledger()
    load_output(ledger, OutputFolder(folder), retry_errors=False)
    ledger.counts()
    loaded = time.perf_counter()
    known = 0
    for file in range(files):
        start = file * ROWS_PER_FILE
        known += ledger.claim(ids(file), range(start, start + ROWS_PER_FILE)).count(SKIP)
    assert ledger.counts().already_done == known
    return _measured(before, clock, loaded, known)


def a_set(folder: str, files: int) -> dict[str, float]:
    before, clock = memory(), time.perf_counter()
    table = pyarrow.dataset.dataset(f"{folder}/results").to_table(columns=["id"])
    done = set(table["id"].to_pylist())
    loaded = time.perf_counter()
    known = sum(unit in done for file in range(files) for unit in ids(file))
    return _measured(before, clock, loaded, known)


def _measured(before: int, clock: float, loaded: float, known: int) -> dict[str, float]:
    return {
        "load": loaded - clock,
        "look": time.perf_counter() - loaded,
        "memory": peak() - before,
        "known": known,
    }


def measured(way: str, folder: Path, files: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bench_resume", "--way", way, "--files", str(files)]
    done = subprocess.run(
        [*command, "--scratch", folder], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/internvl-resume"))
    parser.add_argument("--way", choices=["ours", "set"])
    arguments = parser.parse_args()
    folder = arguments.scratch / f"{arguments.files}"
    if arguments.way:
        way = ours if arguments.way == "ours" else a_set
        print(json.dumps(way(str(arguments.scratch), arguments.files)))
        return
    if not (folder / "results").exists():
        make_output(folder, arguments.files)
    rows = arguments.files * ROWS_PER_FILE
    here, rival = (
        measured("ours", folder, arguments.files),
        measured("set", folder, arguments.files),
    )
    what = f"{rows:,} finished rows in {arguments.files:,} files"
    rival_name = "pyarrow.dataset and a Python set"
    common = {
        "rival_name": rival_name,
        "expected": rows,
        "got": int(here["known"]),
        "less_is_better": True,
    }
    wrong = write(
        "resume",
        [
            record(f"{what}, read", "s", here["load"], rival=rival["load"], **common),
            record(f"{what}, each found again", "s", here["look"], rival=rival["look"], **common),
            record(
                f"{what}, memory",
                "MiB",
                here["memory"] / 2**20,
                rival=rival["memory"] / 2**20,
                **common,
            ),
        ],
    )
    sys.exit(f"not the expected count: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
