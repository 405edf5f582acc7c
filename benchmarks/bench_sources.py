"""How fast manifests of every format are read, and whether memory stays flat while they grow.

Each measurement runs in a process of its own: rows per second of ``read_split`` with everything it
does (ids, places, media, checks), peak memory over what the imports take, and the exact count of
rows. The rival is the plain reader of the same file, which makes no ids and fails on a bad row: the
ceiling, not something to beat.

    python benchmarks/bench_sources.py --largest 10000000 --scratch /tmp/sources
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipelines.sources import SourceOptions, count_rows, plan_source, read_split

RESULTS = Path(__file__).parent / "results" / "sources.json"
# A folder of a million files and a gigabyte of shards are enough of those two.
LARGEST = {"files": 1_000_000, "webdataset": 100_000, "parquet_inline": 10_000}
CHUNK = 100_000


def rows(start: int, stop: int) -> Iterator[dict]:
    for n in range(start, stop):
        yield {
            "image": f"s3://bucket/images/{n:09d}.jpg",
            "question": f"What is in picture number {n}?",
            "source": "crawl",
            "score": n / 7,
            "width": n % 4000,
        }


def chunks(size: int) -> Iterator[list[dict]]:
    for start in range(0, size, CHUNK):
        yield list(rows(start, min(start + CHUNK, size)))


def make_parquet(path: Path, size: int) -> None:
    """One row group of all rows: what streams worst."""
    table = pa.concat_tables([pa.Table.from_pylist(chunk) for chunk in chunks(size)])
    pq.write_table(table, path, row_group_size=size)


def make_parquet_inline(path: Path, size: int) -> None:
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, size, 1_000):
            images = [
                {"bytes": os.urandom(100_000), "path": f"{n}.jpg"}
                for n in range(start, min(start + 1_000, size))
            ]
            writer.write_table(pa.table({"image": pa.array(images, schema.field("image").type)}))


def make_text(path: Path, size: int) -> None:
    head, line = {
        ".jsonl": ("", json.dumps),
        ".csv": (
            "image,question,source,score,width\n",
            lambda row: ",".join(map(str, row.values())),
        ),
        ".txt": ("", lambda row: row["image"]),
    }[path.suffix]
    with path.open("w") as file:
        file.write(head)
        for chunk in chunks(size):
            file.writelines(line(row) + "\n" for row in chunk)


def make_files(path: Path, size: int) -> None:
    for start in range(0, size, 1_000):
        folder = path / f"{start:09d}"
        folder.mkdir(parents=True)
        for n in range(start, start + 1_000):
            (folder / f"{n:09d}.jpg").touch()


def make_webdataset(path: Path, size: int) -> None:
    image = os.urandom(10_000)
    with tarfile.open(path, "w") as tar:
        for n in range(size):
            for suffix, data in (("jpg", image), ("json", json.dumps({"width": n}).encode())):
                member = tarfile.TarInfo(f"{n:09d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def plain_parquet(path: str) -> Iterator[int]:
    return (len(batch) for batch in pq.ParquetFile(path).iter_batches(1_000))


def plain_tar(path: str) -> Iterator[int]:
    with tarfile.open(path, "r|") as tar:
        for member in tar:
            tar.members.clear()
            file = tar.extractfile(member)
            assert file is not None
            file.read()
            yield member.name.endswith(".jpg")


def plain_text(path: str) -> Iterator[int]:
    with open(path, encoding="utf-8") as file:
        return iter([sum(1 for line in file if line.rstrip())])


# Format: how to make it, its file name, the rival's name, and the rival as the rows it counts.
Case = tuple[Callable[[Path, int], None], str, str, Callable[[str], Iterator[int]]]
CASES: dict[str, Case] = {
    "parquet": (make_parquet, "m.parquet", "pyarrow.parquet.iter_batches", plain_parquet),
    "parquet_inline": (
        make_parquet_inline,
        "m.parquet",
        "pyarrow.parquet.iter_batches",
        plain_parquet,
    ),
    "jsonl": (
        make_text,
        "m.jsonl",
        "pyarrow.json.open_json",
        lambda path: map(len, pa.json.open_json(path)),
    ),
    "csv": (
        make_text,
        "m.csv",
        "pyarrow.csv.open_csv",
        lambda path: map(len, pa.csv.open_csv(path)),
    ),
    "txt": (make_text, "m.txt", "lines of a text file", plain_text),
    "files": (
        make_files,
        "files",
        "os.walk",
        lambda path: (len(names) for _, _, names in os.walk(path)),
    ),
    "webdataset": (make_webdataset, "m.tar", "tarfile, every member read", plain_tar),
}


def measure(name: str, path: str, rival: bool) -> dict:
    """One reading, in this process."""
    before = peak_memory()
    start = time.perf_counter()
    planned = 0.0
    if rival:
        got, counted = sum(CASES[name][3](path)), None
    else:
        plan = plan_source(SourceOptions(path))
        planned = time.perf_counter() - start
        got = sum(len(table) for split in plan.splits for table in read_split(plan, split))
    seconds = time.perf_counter() - start
    if not rival:
        counted = count_rows(plan)
    return {
        "rows": got,
        "counted": counted,
        "rows_per_second": round(got / (seconds - planned)),
        "plan_seconds": round(planned, 3),
        "memory_mb": round((peak_memory() - before) / 1024),
    }


def peak_memory() -> int:
    """Peak resident memory of this process in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def run(name: str, path: Path, rival: bool) -> dict:
    command = [
        sys.executable,
        __file__,
        "--measure",
        name,
        str(path),
        *(["--rival"] if rival else []),
    ]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def bench(name: str, size: int, scratch: Path, machine: str) -> dict:
    make, file_name, rival_name, _ = CASES[name]
    path = scratch / file_name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        make(path, size)
        ours, rival = run(name, path, rival=False), run(name, path, rival=True)
    finally:
        shutil.rmtree(scratch)
    return {
        "name": f"{name}_{size}",
        "unit": "rows/s",
        "ours": ours["rows_per_second"],
        "rival_name": rival_name,
        "rival": rival["rows_per_second"],
        "ratio": round(ours["rows_per_second"] / rival["rows_per_second"], 2),
        "expected": size,
        "got": ours["rows"],
        "counted": ours["counted"],
        "memory_mb": ours["memory_mb"],
        "rival_memory_mb": rival["memory_mb"],
        "plan_seconds": ours["plan_seconds"],
        "machine": machine,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--largest",
        type=int,
        default=1_000_000,
        help="rows of the largest manifest (default 1000000)",
    )
    parser.add_argument("--formats", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--scratch", type=Path, default=Path("/tmp/bench-sources"), help="is emptied"
    )
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rival", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure, options.rival)))
        return 0
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}"
    )
    records = []
    for name in options.formats:
        largest = min(LARGEST.get(name, options.largest), options.largest)
        for size in (largest // 100, largest // 10, largest):
            records.append(bench(name, size, options.scratch, machine))
            print(json.dumps(records[-1]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    wrong = [record["name"] for record in records if record["expected"] != record["got"]]
    wrong += [
        record["name"] for record in records if record["counted"] not in (None, record["expected"])
    ]
    if wrong:
        print(f"row counts differ: {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
