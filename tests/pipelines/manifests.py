"""Writes manifests of every format and reads them back through the sources."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources import SourceOptions, SourcePlan, count_rows, plan_source, read_split


def write_manifest(path: Path, rows: list[dict]) -> Path:
    """Writes rows in the format of the path's suffix; ``.txt`` takes the image of each."""
    suffix = path.suffix
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=max(1, len(rows) // 3))
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(row["image"] + "\n" for row in rows))
    return path


def shard(samples: dict[str, dict[str, bytes]]) -> bytes:
    """A tar with one member a key and suffix."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for key, members in samples.items():
            for suffix, data in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def plan_of(uri: object, **options: object) -> SourcePlan:
    return plan_source(SourceOptions(str(uri), **options))  # type: ignore[arg-type]


def read_plan(plan: SourcePlan, batch_rows: int = 1_000) -> pa.Table:
    """All rows, after checking what holds for every source: one schema, exact count, positions that
    are unique."""
    tables = [table for split in plan.splits for table in read_split(plan, split, batch_rows)]
    assert all(
        table.schema == plan.table_schema and 0 < len(table) <= batch_rows for table in tables
    )
    table = pa.concat_tables([plan.table_schema.empty_table(), *tables])
    table.validate(full=True)
    assert count_rows(plan) in (len(table), None)
    assert plan.total_rows in (len(table), None)
    positions = table["__position"].to_pylist()
    assert positions == sorted(set(positions))
    assert table["id"].null_count == 0
    return table


def read_manifest(uri: object, **options: object) -> pa.Table:
    return read_plan(plan_of(uri, **options))


def uris(table: pa.Table) -> list[list[str] | None]:
    return [media and [item["uri"] for item in media] for media in table["__media"].to_pylist()]


def notes(table: pa.Table) -> dict[str, list[str]]:
    """What is noted of how rows were read, by where they stand."""
    rows = table.select(["__source", "__notes"]).to_pylist()
    return {row["__source"]: row["__notes"] for row in rows if row["__notes"]}


def errors(table: pa.Table) -> dict[str, str]:
    """Messages of the bad rows, by where they stand."""
    rows = table.select(["__source", "__error"]).to_pylist()
    bad = {row["__source"]: row["__error"] for row in rows if row["__error"]}
    assert all(
        (e["stage"], e["kind"], e["attempts"], e["retriable"]) == ("read", "bad_row", 1, False)
        for e in bad.values()
    )
    return {source: error["message"] for source, error in bad.items()}
