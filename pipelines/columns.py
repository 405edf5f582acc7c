"""The columns a row travels with between stages, and how a failed row carries its failure.

A table between stages holds ``id``, the manifest's own columns (passed through untouched), and the columns named here.
Names start with ``__`` so that they cannot meet a manifest's own; none of them reaches a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import UnitError
from pipelines.sources.options import ERROR_TYPE

ID = "id"
SOURCE = "__source"  # where in the manifest the row stands, for a person: "manifest.jsonl:17"
POSITION = "__position"  # the same for the ledger: one int64 a manifest row, stable over re-reads
KEY = "__key"  # 16 bytes that stand for the unit in the ledger
MEDIA = "__media"
ERROR = "__error"
PART = "__part"  # which page or clip of the file the unit is
PROMPT = "__prompt"  # token ids of the whole rendered prompt
TILES = "__tiles"  # uint8 tiles of all images, (tiles, 3, S, S) in C order
IMAGES = "__images"  # where each image stands in the prompt
PREVIEW = "__preview"  # a small JPEG for the report; only some rows have one
COMPLETION = "__completion"

PART_TYPE = pa.struct([("page", pa.int32()), ("start", pa.float64()), ("end", pa.float64())])
IMAGES_TYPE = pa.list_(
    pa.struct([("offset", pa.int32()), ("length", pa.int32()), ("num_tiles", pa.int32()), ("hash", pa.string())])
)
COMPLETION_TYPE = pa.struct(
    [("token_ids", pa.list_(pa.int32())), ("prompt_tokens", pa.int32()), ("finish_reason", pa.string())]
)
EXPLODED = pa.schema(
    [
        (PART, PART_TYPE),
        ("parent", pa.string()),
        ("page", pa.int32()),
        ("clip_start", pa.float64()),
        ("clip_end", pa.float64()),
    ]
)
PREPARED = pa.schema(
    [
        (PROMPT, pa.list_(pa.int32())),
        (TILES, pa.large_binary()),
        (IMAGES, IMAGES_TYPE),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_tiles", pa.int32()),
        ("num_frames", pa.int32()),
        ("notes", pa.list_(pa.string())),
        (PREVIEW, pa.binary()),
    ]
)
ANSWERED = pa.schema(
    [
        ("response", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("finish_reason", pa.string()),
    ]
)


def error_value(error: UnitError) -> dict[str, object]:
    """``error`` as one cell of the error column."""
    return {
        "stage": error.stage,
        "kind": error.kind,
        "message": error.message,
        "attempts": error.attempts,
        "retriable": error.retriable,
    }


def with_columns(table: pa.Table, columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """``table`` with ``columns`` (arrays or lists) added or replaced, each typed as in ``schema``."""
    for name, values in columns.items():
        array = values if isinstance(values, pa.Array) else pa.array(values, schema.field(name).type)
        index = table.schema.get_field_index(name)
        field = schema.field(name)
        table = table.append_column(field, array) if index < 0 else table.set_column(index, field, array)
    return table


def set_errors(table: pa.Table, errors: Sequence[dict | None]) -> pa.Table:
    """``table`` with its error column replaced; ``None`` where a row is fine."""
    return with_columns(table, {ERROR: errors}, pa.schema([(ERROR, ERROR_TYPE)]))
