"""What several stages read from rows, and write into them."""

from __future__ import annotations

import os
import socket

import pyarrow as pa

from internvl_ops.errors import Stage, UnitError
from internvl_ops.prepare import MediaRef
from internvl_ops.tasks import Task
from pipelines import columns as c


def media_of(rows: pa.Table) -> list[list[MediaRef]]:
    """The files of each row."""
    return [[MediaRef(item["uri"] or "", item["bytes"]) for item in media or []] for media in rows[c.MEDIA].to_pylist()]


def asked_of(row: pa.Table, task: Task) -> dict[str, object]:
    """What the task looks at in the one row of ``row``."""
    return {name: row[name][0].as_py() for name in task.reads if name in row.column_names}


def repeated(stage: Stage, unit_id: str, source: str) -> dict[str, object]:
    """The error of a unit whose id another has."""
    message = f"id {unit_id!r} at {source} stands further up already; the first unit with it is kept"
    return c.error_value(UnitError(stage, "duplicate_id", message))


def worker_name() -> str:
    """Of an actor, among all of a run."""
    return f"{socket.gethostname()}-{os.getpid()}"
