"""What a person waits for in the viewer over a million units in 1,000 files, as answers of the
running command.

The command is started as a user starts it, and asked over HTTP as its page asks. Each question is
asked several times; the middle time counts. The rival is what one does in a notebook: pandas reads
the columns that the question needs, and answers it.

    python -m benchmarks.bench_viewer --files 1000 --scratch /tmp/viewer
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.records import record, write

ROWS_PER_FILE = 1000
TIMES = 5
WORDS = ("a", "the", "red", "blue", "car", "dog", "on", "street", "with", "two", "people",
         "standing", "near", "large", "building", "under", "clear", "sky", "holding", "umbrella",
         "bicycle", "in", "rain", "market")  # fmt: skip
RUN = "20260101T000000-abcdef"


def make_output(folder: Path, files: int) -> None:
    """An output of captions as a job leaves it; seeded."""
    (folder / "results").mkdir(parents=True)
    draw = random.Random(0)
    for file in range(files):
        captions = [
            " ".join(draw.choices(WORDS, k=draw.randint(15, 45))) for _ in range(ROWS_PER_FILE)
        ]
        ids = [f"shard-{file:05}/{row:04}.jpg" for row in range(ROWS_PER_FILE)]
        tokens = pa.array([len(text) // 4 for text in captions], pa.int32())
        number = [draw.randint(200, 2000) for _ in range(ROWS_PER_FILE)]
        table = pa.table(
            {
                "id": ids,
                "image": ids,
                "more_columns": pa.nulls(ROWS_PER_FILE, pa.string()),
                "response": captions,
                "caption": captions,
                "width": pa.array(number, pa.int32()),
                "height": pa.array(reversed(number), pa.int32()),
                "num_tiles": pa.array([1 + value % 13 for value in number], pa.int32()),
                "prompt_tokens": pa.array([256 * (1 + value % 13) for value in number], pa.int32()),
                "completion_tokens": tokens,
                "finish_reason": ["length" if value % 50 == 0 else "stop" for value in number],
                "attempts": pa.array([1] * ROWS_PER_FILE, pa.int32()),
                "notes": pa.array([[]] * ROWS_PER_FILE, pa.list_(pa.string())),
                "source_version": ids,
                "model": ["org/model"] * ROWS_PER_FILE,
                "run_id": [RUN] * ROWS_PER_FILE,
            }
        )
        pq.write_table(table, folder / "results" / f"{RUN}-{file:06d}.parquet", compression="zstd")


class Page:
    """The command, started, and its page's requests."""

    def __init__(self, folder: Path) -> None:
        start = time.perf_counter()
        command = [sys.executable, "-m", "internvl_batch", "view", str(folder), "--no-browser"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        address = self._process.stdout.readline().strip()
        self.started_s = time.perf_counter() - start
        self._base = address.partition("/?")[0]
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        start = time.perf_counter()
        self._opener.open(address).read()
        self.get("outputs")
        self.get("rows")
        self.opened_s = time.perf_counter() - start

    def get(self, path: str, **query: Any) -> Any:
        return json.load(
            self._opener.open(f"{self._base}/api/{path}?{urllib.parse.urlencode(query)}")
        )

    def close(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


def middle(ask: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the middle one of several answers, and the last answer."""
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), answer


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--files", type=int, default=1000)
    arguments.add_argument("--scratch", type=Path)
    given = arguments.parse_args()
    scratch = given.scratch or Path(tempfile.mkdtemp(prefix="bench-viewer-"))
    folder = scratch / "output"
    try:
        make_output(folder, given.files)
        write("viewer", measure(folder, given.files * ROWS_PER_FILE))
    finally:
        shutil.rmtree(scratch)


def measure(folder: Path, size: int) -> list[dict[str, Any]]:
    page = Page(folder)
    results = f"{folder}/results"
    records = []

    def add(
        name: str,
        ours: float,
        got: int,
        notebook: Callable[[], int] | None,
        expected: int | None = None,
    ) -> None:
        rival, count = (None, expected) if notebook is None else middle(notebook)
        records.append(
            record(
                f"{size:,} units, {name}",
                "s",
                ours,
                rival_name="pandas",
                rival=rival,
                expected=int(count or 0),
                got=got,
                less_is_better=True,
            )
        )

    def read(*columns: str) -> pd.DataFrame:
        return pd.read_parquet(results, columns=list(columns))

    def asked(path: str, **query: Any) -> tuple[float, Any]:
        return middle(lambda: page.get(path, **query))

    try:
        rows = page.get("outputs")["outputs"][0]["tables"]["results"]["rows"]
        add("the command starts", page.started_s, rows, None, size)
        add("the page opens", page.opened_s, rows, None, size)
        seconds, told = asked("count", equal='{"finish_reason": "length"}')
        add(
            "filter",
            seconds,
            told["rows"],
            lambda: int((read("finish_reason").finish_reason == "length").sum()),
        )
        seconds, told = asked("count", search="umbrella dog")
        add(
            "search",
            seconds,
            told["rows"],
            lambda: int(
                read("id", "response")
                .response.str.contains("umbrella dog", case=False, regex=False)
                .sum()
            ),
        )
        seconds, told = asked("count", where="completion_tokens > 40 AND width < 500")
        add(
            "condition in SQL",
            seconds,
            told["rows"],
            lambda: len(
                read("completion_tokens", "width").query("completion_tokens > 40 and width < 500")
            ),
        )
        seconds, told = asked("rows", sort="completion_tokens", descending=1)
        add(
            "the 50 longest",
            seconds,
            sum(row["completion_tokens"] for row in told["rows"]),
            lambda: int(
                pd.read_parquet(results).nlargest(50, "completion_tokens").completion_tokens.sum()
            ),
        )
        seconds, told = asked("histogram", column="completion_tokens")
        add(
            "histogram",
            seconds,
            sum(one["rows"] for one in told["bins"]),
            lambda: len(read("completion_tokens")),
        )
        seconds, told = asked("rows", sample=50, seed=int(time.time()))
        add("draw a sample", seconds, len(told["rows"]), lambda: len(read("id").sample(50)))
    finally:
        page.close()
    return records


if __name__ == "__main__":
    main()
