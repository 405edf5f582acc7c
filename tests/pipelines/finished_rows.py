"""Rows as they reach the writer: what a unit looks like at the end of its way."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from internvl_ops.errors import ErrorKind, UnitError
from internvl_ops.tasks import TEXT, caption
from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.output.result_columns import MEASURE_COLUMNS, own_columns

CAPTION = caption(prompt="What is this?")
IMAGE = own_columns(CAPTION, TEXT.columns(CAPTION.columns), MEASURE_COLUMNS["image", False])
# What Parse leaves of a row: no media, no tiles, no completion.
FINISHED = pa.schema(
    [
        (c.ID, pa.string()),
        (c.SOURCE, pa.string()),
        (c.POSITION, pa.int64()),
        (c.KEY, pa.binary(16)),
        (c.ERROR, c.ERROR_TYPE),
        *(field for field in IMAGE if field.name not in ("model", "run_id")),
    ]
)


def row(
    unit_id: str, *, kind: ErrorKind | None = None, occurrence: int = 1, message: str = "it broke"
) -> dict:
    """One finished unit: an answer, or an error of ``kind``."""
    common = {
        c.ID: unit_id,
        c.SOURCE: f"m.jsonl:{unit_id}",
        c.POSITION: 0,
        c.KEY: unit_key(unit_id, occurrence),
    }
    if kind:
        return common | {c.ERROR: c.error_value(UnitError("decode", kind, message))}
    return common | {
        "response": f" a picture of {unit_id}",
        "caption": f"a picture of {unit_id}",
        "width": 640,
        "height": 480,
        "num_tiles": 3,
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "finish_reason": "stop",
        "attempts": 1,
        "notes": [],
        "source_version": '"etag"',
    }


def table(rows: Sequence[dict], passthrough: pa.Schema | None = None) -> pa.Table:
    """``rows`` as one table, with the manifest's own columns where they have them."""
    schema = FINISHED if passthrough is None else pa.unify_schemas([FINISHED, passthrough])
    return pa.Table.from_pylist(list(rows), schema)
