"""Outputs to export: written by the project's own writer, as a run does, without the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import TEXT, Task, ocr
from pipelines import columns as c
from pipelines.commands.export import export
from pipelines.exports.counts import ExportCounts
from pipelines.exports.options import ExportOptions
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger
from pipelines.options.command_line import build_options
from pipelines.output.folder import RUNS, OutputFolder
from pipelines.output.result_columns import MEASURE_COLUMNS, own_columns, result_schema
from pipelines.output.settings import METADATA_KEY
from pipelines.output.writer import Writer

RUN = "20260101T000000-{:06x}"


def write_output(
    uri: Path | str,
    task: Task,
    rows: Sequence[dict[str, Any]],
    *,
    manifest: pa.Schema,
    kind: MediaKind = "image",
    explodes: bool = False,
    base: Path | str | None = None,
    rows_per_file: int = 1000,
    run: int = 1,
    settings: dict[str, Any] | None = None,
) -> OutputFolder:
    """Writes an output as a run would: rows through the ledger and the writer, and the run's
    record.

    Args:
        uri: Where to.
        task: The task.
        rows: Values of the manifest's columns and of the results, by name; every row needs an
            ``id``.
        manifest: The manifest's columns.
        kind: Kind of media.
        explodes: Whether files were split into units.
        base: The input of the run, a folder.
        rows_per_file: As the option.
        run: Number of the run.
        settings: Settings of the run besides task, prompt and model.
    """
    output = OutputFolder(str(uri))
    own = own_columns(task, TEXT.columns(task.columns), MEASURE_COLUMNS[kind, explodes])
    schema = result_schema(manifest, task, own)
    run_id = RUN.format(run)
    told = {
        "task": task.name,
        "prompt": task.prompt,
        "model": "tiny",
        "max_tiles": 6,
        **(settings or {}),
    }
    ledger = Ledger()
    ledger.claim([row["id"] for row in rows], range(len(rows)))
    finished = pa.schema(
        [
            (c.ID, pa.string()),
            (c.SOURCE, pa.string()),
            (c.POSITION, pa.int64()),
            (c.KEY, pa.binary(16)),
            (c.ERROR, c.ERROR_TYPE),
            *(field for field in schema if field.name not in ("id", "model", "run_id")),
        ]
    )
    defaults = {
        "width": 640,
        "height": 480,
        "num_tiles": 3,
        "finish_reason": "stop",
        "attempts": 1,
        "notes": [],
    }
    defaults |= {"prompt_tokens": 100, "completion_tokens": 7}
    full = [
        defaults | row | {c.SOURCE: f"m:{place}", c.POSITION: place, c.KEY: unit_key(row["id"], 1)}
        for place, row in enumerate(rows)
    ]
    metadata = {METADATA_KEY: json.dumps(told, sort_keys=True).encode()}
    with Writer(
        output,
        ledger,
        schema,
        run_id=run_id,
        model="tiny",
        rows_per_file=rows_per_file,
        metadata=metadata,
    ) as writer:
        for start in range(0, len(full), rows_per_file):
            writer.add(pa.Table.from_pylist(full[start : start + rows_per_file], finished))
    record = {
        "run_id": run_id,
        "status": "done",
        "configuration": {"input": str(base) if base else None},
    }
    output.write_bytes(f"{RUNS}/{run_id}/run.json", json.dumps(record).encode())
    return output


def write_pages(uri: Path | str, rows: Sequence[dict[str, Any]], base: Path | str) -> OutputFolder:
    """As `write_output`, of a run of ocr whose manifest names a ``document`` in each row."""
    manifest = pa.schema([("document", pa.string())])
    return write_output(
        uri, ocr(), rows, manifest=manifest, kind="document", explodes=True, base=base
    )


def exported(source: Path | str, target: Path | str, to: str, **options: Any) -> ExportCounts:
    """Exports as the command does."""
    return export(
        build_options(
            ExportOptions, {"input": str(source), "output": str(target), "to": to, **options}
        )
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
