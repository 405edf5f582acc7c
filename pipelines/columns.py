"""The columns of a row between stages, and the column that holds a row's error.

A table between stages holds ``id``, the manifest's own columns (passed through untouched), and the
columns named here. Internal names start with ``__``, so that they cannot clash with a manifest's
own columns; they never reach a file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import UnitError, well_formed
from pipelines.flags import in_flags

ID = "id"
SOURCE = "__source"  # where the row is in the manifest, for a person: "manifest.jsonl:17"
# the same for the ledger: one int64 per manifest row, stable when it is read again
POSITION = "__position"
KEY = "__key"  # 16 bytes that identify the unit in the ledger
MEDIA = "__media"
# locations of the media, without credentials, for the error of a row that fails
PLACES = "__places"
NOTES = "__notes"  # what the user should know about how the manifest was read
ERROR = "__error"
PART = "__part"  # page or clip of the file that the unit is
CONVERSATIONS = "__conversations"  # rendered: token ids, positions of the images, sampling
TILES = "__tiles"  # uint8 tiles of all images, (tiles, 3, S, S) in C order
HASHES = "__hashes"  # hash of each image in the prompt
PICTURES = "__pictures"  # image files instead of tiles, for an engine that tiles itself
PREVIEW = "__preview"  # a small JPEG for the report; only some rows have one
# the finish reason of a unit about which no engine is asked, such as a blank page; else null
UNASKED = "__unasked"
REPLIES = "__replies"  # of the type that the outcome of the task says
# gauge of the actor that prepared the row, read when the row was done
PREPARE_GAUGE = "__prepare_gauge"
ENGINE_GAUGE = "__engine_gauge"  # gauge of the actor that answered, read when the row arrived
PAGE_POINTS = "__page_points"  # width and height of a PDF's page in points; null for other media
# the boxes of the lines of a page's text layer, as shares of its width and height; null without one
LAYER_BOXES = "__layer_boxes"
# in results: the first that is there is a task's answer
ANSWERS = ("caption", "text", "answer", "response")
# units of the whole file that the unit is a part of; null if only some of them were wanted
NUM_PARTS = "num_parts"
MORE = "more_columns"  # JSON of the values for which the output has no column

MEDIA_TYPE = pa.list_(pa.struct([("uri", pa.string()), ("bytes", pa.large_binary())]))
ERROR_TYPE = pa.struct(
    [
        ("stage", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("retriable", pa.bool_()),
    ]
)
# Columns that the read stage adds to the manifest's own.
READ = pa.schema(
    [
        (SOURCE, pa.string()),
        (POSITION, pa.int64()),
        (MEDIA, MEDIA_TYPE),
        (ERROR, ERROR_TYPE),
        (NOTES, pa.list_(pa.string())),
    ]
)
IDS_TYPE = pa.list_(pa.int32())
PART_TYPE = pa.struct([("page", pa.int32()), ("start", pa.float64()), ("end", pa.float64())])
CONVERSATIONS_TYPE = pa.list_(
    pa.struct(
        [
            ("token_ids", IDS_TYPE),
            (
                "images",
                pa.list_(
                    pa.struct([(name, pa.int32()) for name in ("offset", "length", "num_tiles")])
                ),
            ),
            ("follow_ups", pa.list_(IDS_TYPE)),
            ("repair", IDS_TYPE),
            ("sampling", pa.string()),  # JSON
            # JSON; replaces all fields above for an engine that renders itself
            ("chat", pa.string()),
        ]
    )
)
# An `internvl_ops.gauge.Reading`, the name of its worker, and the seconds that its devices
# computed.
READING_TYPE = pa.struct(
    [
        ("worker", pa.string()),
        *((name, pa.float64()) for name in ("since", "at", "busy_s", "held_s", "device_s")),
    ]
)
EXPLODED = pa.schema(
    [
        (PART, PART_TYPE),
        ("parent", pa.string()),
        ("page", pa.int32()),
        ("clip_start", pa.float64()),
        ("clip_end", pa.float64()),
        (NUM_PARTS, pa.int32()),
        ("source_version", pa.string()),
    ]
)
PART_COLUMNS = ("parent", "page", "clip_start", "clip_end", NUM_PARTS)
LAYER_BOXES_TYPE = pa.list_(pa.list_(pa.float32()))
PREPARED = pa.schema(
    [
        (CONVERSATIONS, CONVERSATIONS_TYPE),
        (TILES, pa.large_binary()),
        (HASHES, pa.list_(pa.string())),
        (PICTURES, pa.list_(pa.large_binary())),
        (UNASKED, pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_tiles", pa.int32()),
        ("num_frames", pa.int32()),
        ("notes", pa.list_(pa.string())),
        (PAGE_POINTS, pa.list_(pa.float64())),
        (LAYER_BOXES, LAYER_BOXES_TYPE),
        ("page_label", pa.string()),
        ("document_info", pa.string()),  # JSON, with a document's first page
        ("source_version", pa.string()),
        (PLACES, pa.list_(pa.string())),
        (PREVIEW, pa.binary()),
    ]
)

# What --text-layer adds as a page is drawn; see `internvl_ops.media.text_layer.TextLayer`.
TEXT_LAYER = pa.schema(
    [
        ("text_layer", pa.string()),
        ("text_layer_doubts", pa.list_(pa.string())),
    ]
)
# What it adds to an answer; see `internvl_ops.page_texts.layer_comparison.Comparison`.
COMPARED = pa.schema(
    [
        ("text_layer_similarity", pa.float64()),
        ("text_layer_word_similarity", pa.float64()),
        ("only_in_answer", pa.list_(pa.string())),
        ("only_in_text_layer", pa.list_(pa.string())),
        ("text_layer_flags", pa.list_(pa.string())),
    ]
)
# What --media-stats adds; see `internvl_ops.media.picture_stats.PictureStats`.
STATS = pa.schema(
    [
        ("image_hash", pa.string()),
        ("image_phash", pa.string()),
        ("ink_share", pa.float64()),
        ("sharpness", pa.float64()),
        ("entropy", pa.float64()),
    ]
)


def answer_column(names: Collection[str]) -> str | None:
    """The column of results that holds a task's answer as a text; None if there is none."""
    return next((name for name in ANSWERS if name in names), None)


def error_value(error: UnitError) -> dict[str, object]:
    """``error`` as one cell of the error column, for the person who runs the job."""
    return {
        "stage": error.stage,
        "kind": error.kind,
        "message": in_flags(error.message),
        "attempts": error.attempts,
        "retriable": error.retriable,
    }


def with_columns(table: pa.Table, columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """``table`` with ``columns`` (arrays or lists) added or replaced, each typed as in
    ``schema``."""
    for name, values in columns.items():
        index, field = table.schema.get_field_index(name), schema.field(name)
        column = values if isinstance(values, pa.Array) else array(values, field.type)
        table = (
            table.append_column(field, column)
            if index < 0
            else table.set_column(index, field, column)
        )
    return table


def set_errors(table: pa.Table, errors: Sequence[dict[str, Any] | None]) -> pa.Table:
    """``table`` with its error column replaced; ``None`` for rows without an error."""
    return with_columns(table, {ERROR: errors}, pa.schema([(ERROR, ERROR_TYPE)]))


def array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """An Arrow array of ``values``; a lone surrogate, which models produce in JSON emoji, becomes
    U+FFFD."""
    try:
        return pa.array(values, type_)
    except UnicodeEncodeError:
        return pa.array([_well_formed(value) for value in values], type_)


def _well_formed(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        return {_well_formed(name): _well_formed(one) for name, one in value.items()}
    return [_well_formed(one) for one in value] if isinstance(value, list | tuple) else value
