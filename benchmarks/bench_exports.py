"""Whether an export's memory grows with the rows: 100,000 and 1,000,000 rows to each form that
fetches no media.

    python -m benchmarks.bench_exports [--rows 100000 1000000] [--scratch /tmp/exports]

Each export runs in a process of its own. Memory is the most that the process had, over what it had
after the imports. The
rival is what a script does: all results as one table, and a line of JSON for each row.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.records import record, write
from internvl_ops.tasks import TEXT, caption, ground, several
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.result_columns import MEASURE_COLUMNS, own_columns, result_schema
from pipelines.output.settings import METADATA_KEY

FORMS = ("sft", "sft --where", "sharegpt", "hf", "coco", "markdown", "delta", "iceberg", "lance")
LEAST = {"markdown": 100_000}  # forms of one file a row are measured with fewer
RUN, ROWS_PER_FILE, ANSWER, MIB = "20260101T000000-000001", 1000, 120, 1 << 20


def make_output(folder: Path, rows: int) -> None:
    """An output as annotate_dataset.py leaves it: a caption and two boxes a row."""
    task = several([caption(), ground(detect=True)])
    own = own_columns(task, TEXT.columns(task.columns), MEASURE_COLUMNS["image", False])
    schema = result_schema(pa.schema([("image", pa.string())]), task, own)
    told = {
        "task": task.name,
        "prompt": task.prompt,
        "model": "stand-in",
        "tasks": "caption,ground",
        "max_tiles": 6,
    }
    schema = schema.with_metadata(
        {**schema.metadata, METADATA_KEY: json.dumps(told).encode(), **mark(RUN)}
    )
    letters = (
        np.random.default_rng(0)
        .integers(97, 123, ROWS_PER_FILE * ANSWER, np.uint8)
        .tobytes()
        .decode()
    )
    answers = [letters[start : start + ANSWER] for start in range(0, len(letters), ANSWER)]
    boxes = [
        [
            {"label": f"label {row % 100}", "x1": 1.0 + side, "y1": 2.0, "x2": 300.0, "y2": 400.0}
            for side in (0, 1)
        ]
        for row in range(ROWS_PER_FILE)
    ]
    same: dict[str, Any] = {"response": answers, "caption": answers, "boxes": boxes}
    constant = {
        "width": 640,
        "height": 480,
        "num_tiles": 3,
        "prompt_tokens": 900,
        "completion_tokens": 40,
    }
    constant |= {"attempts": 1, "finish_reason": "stop", "model": "stand-in", "run_id": RUN}
    (folder / "results").mkdir(parents=True)
    for file in range(rows // ROWS_PER_FILE):
        numbers = range(file * ROWS_PER_FILE, (file + 1) * ROWS_PER_FILE)
        named = {
            "id": [f"{n:032x}" for n in numbers],
            "image": [f"/data/images/{n:032x}.jpg" for n in numbers],
        }
        values = named | same | {name: [value] * ROWS_PER_FILE for name, value in constant.items()}
        columns = [
            pa.array(values.get(field.name, [None] * ROWS_PER_FILE), field.type) for field in schema
        ]
        table = pa.Table.from_arrays(columns, schema=schema)
        pq.write_table(table, folder / "results" / parquet_name(RUN, file), compression="zstd")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def ours(form: str, source: str, target: str) -> dict[str, float]:
    from pipelines.commands.export import export
    from pipelines.exports.forms import FORMS as REGISTERED
    from pipelines.exports.options import ExportOptions

    to, _, where = form.partition(" ")
    REGISTERED[to].load()
    options = {
        "input": source,
        "output": target,
        "to": to,
        "media": "reference" if to == "hf" else "auto",
    }
    options |= {"where": "completion_tokens = 40 AND len(caption) > 20"} if where else {}
    before, began = psutil.Process().memory_info().rss, time.monotonic()
    counts = export(ExportOptions.model_validate(options))
    return {
        "seconds": time.monotonic() - began,
        "mib": (peak() - before) / MIB,
        "rows": counts.rows_out,
    }


def rival(_: str, source: str, target: str) -> dict[str, float]:
    import pyarrow.dataset

    before, began = psutil.Process().memory_info().rss, time.monotonic()
    table = pyarrow.dataset.dataset(f"{source}/results").to_table(
        columns=["id", "image", "caption", "boxes"]
    )
    with open(target, "w") as file:
        for row in table.to_pylist():
            file.write(json.dumps(row) + "\n")
    return {"seconds": time.monotonic() - began, "mib": (peak() - before) / MIB, "rows": len(table)}


def measured(what: str, form: str, source: Path, target: Path) -> dict[str, float]:
    """One export, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.bench_exports",
        "--one",
        what,
        form,
        str(source),
        str(target),
    ]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[
            -1
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/internvl-bench-exports"))
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, *arguments = options.one
        print(json.dumps({"ours": ours, "rival": rival}[what](*arguments)))
        return
    records = []
    for rows in options.rows:
        shutil.rmtree(options.scratch, ignore_errors=True)
        make_output(options.scratch / "out", rows)
        script = measured("rival", "", options.scratch / "out", options.scratch / "rival.jsonl")
        for form in FORMS:
            if rows > LEAST.get(form, rows):
                continue
            one = measured("ours", form, options.scratch / "out", options.scratch / "export")
            shutil.rmtree(options.scratch / "export")
            is_rival = form == "sft"
            records.append(
                record(
                    f"{form}, {rows:,} rows, memory",
                    "MiB",
                    one["mib"],
                    rival_name="one table in memory" if is_rival else "",
                    rival=script["mib"] if is_rival else None,
                    expected=rows,
                    got=int(one["rows"]),
                    less_is_better=True,
                )
            )
            records.append(
                record(
                    f"{form}, {rows:,} rows, speed",
                    "rows/s",
                    rows / one["seconds"],
                    rival_name="one table in memory" if is_rival else "",
                    rival=rows / script["seconds"] if is_rival else None,
                    expected=rows,
                    got=int(one["rows"]),
                )
            )
            print(records[-2], records[-1], flush=True)
    shutil.rmtree(options.scratch)
    write("exports", records)


if __name__ == "__main__":
    main()
