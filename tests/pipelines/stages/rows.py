"""Rows as they come from the manifest, in memory, for tests of single stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines import columns as c
from pipelines.columns import MEDIA_TYPE
from pipelines.ledger.finished import unit_key


def manifest_rows(ids: Sequence[str], **columns: Sequence[Any]) -> pa.Table:
    """A row an id, without an error; media only where ``columns`` has ``__media``."""
    size = len(ids)
    fixed = {
        c.ID: pa.array(ids, pa.string()),
        c.SOURCE: pa.array([f"m.jsonl:{n + 1}" for n in range(size)], pa.string()),
        c.POSITION: pa.array(range(size), pa.int64()),
        c.KEY: pa.array([unit_key(unit_id) for unit_id in ids], pa.binary(16)),
        c.MEDIA: pa.array(columns.pop(c.MEDIA, [[]] * size), MEDIA_TYPE),
        c.ERROR: pa.nulls(size, c.ERROR_TYPE),
    }
    return pa.table(fixed | {name: pa.array(values) for name, values in columns.items()})
