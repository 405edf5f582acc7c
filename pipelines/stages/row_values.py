"""Values that several stages write into rows."""

from __future__ import annotations

import os
import socket

from internvl_ops.errors import Stage, UnitError
from pipelines import columns as c


def repeated(stage: Stage, unit_id: str, source: str) -> dict[str, object]:
    """The error of a unit whose id another unit has too."""
    message = (
        f"id {unit_id!r} at {source} stands further up already; the first unit with it is kept"
    )
    return c.error_value(UnitError(stage, "duplicate_id", message))


def worker_name() -> str:
    """Name of an actor, unique within a run."""
    return f"{socket.gethostname()}-{os.getpid()}"
