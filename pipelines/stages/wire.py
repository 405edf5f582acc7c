"""What travels between the stages: encodes values as Arrow columns and decodes them in the next
stage.

Each kind of value has its pair here: `encode_replies` and `decode_replies`, and so on. Their Arrow
types are in `pipelines.columns`; that of replies is in the outcome of the task. Both directions are
strict: an unknown or missing field is not a null but a `WireError` that names the field.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from internvl_ops.engines.base import Chat, Sampling
from internvl_ops.errors import ConfigurationError
from internvl_ops.gauge import Reading
from internvl_ops.media.parts import Part
from internvl_ops.models.prompts.rendering import Placeholder
from internvl_ops.page_texts.block_places import Box
from internvl_ops.preparer import MediaRef, Prepared
from internvl_ops.rendered import ChatConversation, RenderedConversation, Shown
from internvl_ops.tasks import Outcome, Task
from internvl_ops.tasks.outcomes import Size
from pipelines import columns as c

_T = TypeVar("_T")
PreparedConversation = RenderedConversation | ChatConversation
_CONVERSATION = c.CONVERSATIONS_TYPE.value_type
_IMAGE = _CONVERSATION.field("images").type.value_type
_CHAT = ("chat", "follow_ups", "repair")  # keys in the JSON of a chat conversation
_MEND = "Install the same version of this project on every node."


class WireError(ConfigurationError):
    """Two stages disagree about the data between them. Every row would fail in the same way, so it
    ends the job."""


@dataclass(frozen=True)
class GaugeReading:
    """A reading of one actor's gauge, attached to a row.

    Args:
        worker: Name of the actor.
        since: As in `Reading`, like the next three.
        at: Time of the reading.
        busy_s: Seconds in which anything was in progress.
        held_s: Seconds of all items together.
        device_s: Seconds that its devices computed; None if nothing measures them.
    """

    worker: str
    since: float
    at: float
    busy_s: float
    held_s: float
    device_s: float | None


def media_of(rows: pa.Table) -> list[list[MediaRef]]:
    """The files of each row."""
    column = _column(rows, c.MEDIA, c.MEDIA_TYPE)
    return [
        [MediaRef(item["uri"] or "", item["bytes"]) for item in media or []]
        for media in column.to_pylist()
    ]


def asked_of(row: pa.Table, task: Task) -> dict[str, object]:
    """The values that the task reads from the single row in ``row``."""
    return {name: row[name][0].as_py() for name in task.reads if name in row.column_names}


def size_of(row: pa.Table) -> Size:
    """The size of the unit in the single row of ``row``."""
    points = _column(row, c.PAGE_POINTS, pa.list_(pa.float64()))[0].as_py()
    width, height = row["width"][0].as_py(), row["height"][0].as_py()
    return Size(width, height, None if points is None else tuple(points))


def layer_lines(row: pa.Table) -> list[tuple[str, Box]]:
    """The lines of the text layer of the single row in ``row``, each with its box."""
    boxes = _column(row, c.LAYER_BOXES, c.LAYER_BOXES_TYPE)[0].as_py() or ()
    texts = (row["text_layer"][0].as_py() or "").split("\n") if boxes else ()
    return [(text, tuple(box)) for text, box in zip(texts, boxes, strict=True)]


def encode_part(part: Part | None) -> dict[str, object] | None:
    """Encodes a part of a file as a cell of ``__part``."""
    return None if part is None else _packed(part, _names(c.PART_TYPE))


def decode_part(row: pa.Table) -> Part | None:
    """The part in the single row of ``row``; None if the unit is a whole file."""
    found = _column(row, c.PART, c.PART_TYPE)[0].as_py()
    return None if found is None else _unpacked(Part, found)


def exploded(
    part: Part | None, *, parent: str | None, version: str | None, num_parts: int | None = None
) -> dict[str, object]:
    """The values that the explode stage adds for one unit, one for each column of
    `columns.EXPLODED`."""
    shown = Part() if part is None else part
    values = {
        c.PART: encode_part(part),
        "parent": parent,
        "page": shown.page,
        "clip_start": shown.start,
        "clip_end": shown.end,
        c.NUM_PARTS: num_parts,
        "source_version": version,
    }
    return _complete(values, c.EXPLODED.names, "an exploded row")


def prepared(
    unit: Prepared, *, notes: Sequence[str], places: Sequence[str] | None, preview: bytes | None
) -> dict[str, object]:
    """The values that the prepare stage adds for one unit, one for each column of
    `columns.PREPARED`.

    Args:
        unit: The prepared unit.
        notes: Notes on how the manifest was read; they come before those of the unit.
        places: Locations of its media, safe to display.
        preview: Picture for the report.
    """
    sent = replace(unit, tiles=unit.tiles[:0], hashes=[], pictures=[]) if unit.unasked else unit
    values = {
        c.CONVERSATIONS: encode_conversations(unit.conversations),
        c.TILES: encode_tiles(sent.tiles),
        c.HASHES: sent.hashes,
        c.PICTURES: sent.pictures,
        c.UNASKED: unit.unasked or None,
        "width": unit.width,
        "height": unit.height,
        "num_tiles": unit.num_tiles,
        "num_frames": unit.num_images,
        "notes": [*notes, *unit.notes],
        c.PAGE_POINTS: None if unit.info is None or not all(unit.info.points) else unit.info.points,
        c.LAYER_BOXES: None if unit.layer is None else unit.layer.boxes,
        "page_label": None if unit.info is None else unit.info.label or None,
        "document_info": None if unit.info is None else unit.info.about or None,
        "source_version": unit.version or None,
        c.PLACES: places,
        c.PREVIEW: preview,
    }
    return _complete(values, c.PREPARED.names, "a prepared row")


def measured(unit: Prepared) -> dict[str, object]:
    """The measures of a unit's picture, one for each column of `columns.STATS`; none if it has
    none."""
    return {} if unit.stats is None else _packed(unit.stats, c.STATS.names)


def layered(unit: Prepared) -> dict[str, object]:
    """The text of a page's layer, one value for each column of `columns.TEXT_LAYER`; none if nobody
    looked."""
    layer = unit.layer
    if layer is None:
        return {}
    values = {
        "text_layer": layer.text or None,
        "text_layer_doubts": list(layer.doubts),
    }
    return _complete(values, c.TEXT_LAYER.names, "a text layer")


def unasked_rows(rows: pa.Table) -> list[str | None]:
    """The finish reasons of the rows about which no engine is asked; None for the others."""
    found: list[str | None] = _column(rows, c.UNASKED, pa.string()).to_pylist()
    return found


def encode_conversations(conversations: Iterable[PreparedConversation]) -> list[dict[str, object]]:
    """Encodes a unit's conversations as a cell of ``__conversations``."""
    return [
        _chat_value(one) if isinstance(one, ChatConversation) else _rendered_value(one)
        for one in conversations
    ]


def decode_conversations(rows: pa.Table, row: int) -> list[PreparedConversation] | None:
    """The conversations of a row; None if the row failed and has none.

    Token ids of prompts are views on the column, since converting thousands of them to Python
    numbers is slow.
    """
    cell = _column(rows, c.CONVERSATIONS, c.CONVERSATIONS_TYPE)[row]
    if not cell.is_valid:
        return None
    values = cell.values
    chats = values.field("chat")
    return [
        _chat(values, number) if chats[number].is_valid else _rendered(values, number)
        for number in range(len(values))
    ]


def encode_tiles(tiles: np.ndarray) -> memoryview | bytes:
    """The buffer of the array, without a copy: Arrow copies it once into the block that goes to the
    engine."""
    return np.ascontiguousarray(tiles).data.cast("B") if tiles.size else b""


def decode_tiles(rows: pa.Table, row: int, side: int) -> np.ndarray:
    """uint8 of shape (tiles, 3, side, side): a view on the column."""
    content = np.frombuffer(_column(rows, c.TILES, pa.large_binary())[row].as_buffer(), np.uint8)
    if content.size % (3 * side * side):
        raise ValueError(
            f"{content.size} bytes are no whole number of tiles of 3 x {side} x {side}"
        )
    return content.reshape(-1, 3, side, side)


def decode_shown(rows: pa.Table, row: int, side: int) -> Shown:
    """The tiles, hashes and pictures that the conversations of a row are about."""
    hashes = _column(rows, c.HASHES, c.PREPARED.field(c.HASHES).type)
    pictures = _column(rows, c.PICTURES, c.PREPARED.field(c.PICTURES).type)
    return Shown(decode_tiles(rows, row, side), hashes[row].as_py(), pictures[row].as_py())


def encode_replies(replies: Any, outcome: Outcome) -> Any:
    """Encodes the replies of a unit, nested as the outcome says, as a cell of ``__replies``."""
    return _nested(replies, outcome.replies_type)


def _nested(replies: Any, type_: pa.DataType) -> Any:
    if pa.types.is_list(type_):
        return [_nested(one, type_.value_type) for one in replies]
    return _packed(replies, _names(type_))


def decode_replies(rows: pa.Table, row: int, outcome: Outcome) -> Any:
    """The replies of a row, nested as the outcome says; None if the row failed and has none."""
    found = _column(rows, c.REPLIES, outcome.replies_type)[row].as_py()
    return None if found is None else _made(found, outcome.reply)


def _made(found: Any, reply: type[Any]) -> Any:
    return (
        [_made(one, reply) for one in found] if isinstance(found, list) else _unpacked(reply, found)
    )


def with_reading(
    table: pa.Table,
    column: str,
    worker: str,
    reading: Reading | None,
    device_s: float | None = None,
) -> pa.Table:
    """``table`` with the same reading of a gauge in every row.

    Args:
        table: A table without this column.
        column: ``__prepare_gauge`` or ``__engine_gauge``.
        worker: Name of the worker that the gauge belongs to.
        reading: The reading; None, written as null, if nothing has begun yet.
        device_s: Seconds that the worker's devices computed.
    """
    value = None
    if reading is not None:
        value = _packed(
            GaugeReading(worker, **vars(reading), device_s=device_s), _names(c.READING_TYPE)
        )
    return table.append_column(column, pa.repeat(pa.scalar(value, c.READING_TYPE), len(table)))


def decode_reading(rows: pa.Table, column: str) -> GaugeReading | None:
    """The reading in the rows of one block; None if the block is empty or nothing had begun."""
    cells = _column(rows, column, c.READING_TYPE)
    found = cells[0].as_py() if len(cells) else None
    return None if found is None else _unpacked(GaugeReading, found)


def _rendered_value(conversation: RenderedConversation) -> dict[str, object]:
    value = _packed(conversation, [name for name in _names(_CONVERSATION) if name != "chat"])
    images = [_packed(image, _names(_IMAGE)) for image in conversation.images]
    return value | {
        "images": images,
        "sampling": _sampling_text(conversation.sampling),
        "chat": None,
    }


def _rendered(values: pa.StructArray, number: int) -> RenderedConversation:
    ids, repair = values.field("token_ids")[number], values.field("repair")[number].as_py()
    return RenderedConversation(
        token_ids=ids.values.to_numpy(),
        images=[_unpacked(Placeholder, image) for image in values.field("images")[number].as_py()],
        follow_ups=[
            np.asarray(ids, np.int32) for ids in values.field("follow_ups")[number].as_py()
        ],
        repair=None if repair is None else np.asarray(repair, np.int32),
        sampling=_sampling(values.field("sampling")[number].as_py()),
    )


def _chat_value(conversation: ChatConversation) -> dict[str, object]:
    """Encodes everything but the sampling in ``chat``; the other columns belong to rendered
    conversations."""
    value = _packed(conversation, [*_CHAT, "sampling"])
    if conversation.chat.pictures:
        raise WireError(
            f"{c.CONVERSATIONS}: a chat's 'pictures' travel in {c.PICTURES}, not in the chat"
        )
    value["chat"] = _packed(conversation.chat, [one.name for one in fields(Chat)])
    sampling = _sampling_text(value.pop("sampling"))
    return dict.fromkeys(_names(_CONVERSATION)) | {"chat": json.dumps(value), "sampling": sampling}


def _chat(values: pa.StructArray, number: int) -> ChatConversation:
    asked = _complete(
        json.loads(values.field("chat")[number].as_py()), _CHAT, "a chat conversation"
    )
    chat = _unpacked(Chat, asked["chat"])
    return ChatConversation(
        chat=replace(
            chat, history=[(question, answer) for question, answer in chat.history], pictures=()
        ),
        follow_ups=asked["follow_ups"],
        repair=asked["repair"],
        sampling=_sampling(values.field("sampling")[number].as_py()),
    )


def _sampling_text(sampling: Sampling) -> str:
    return json.dumps(_packed(sampling, [one.name for one in fields(Sampling)]))


@functools.lru_cache(256)
def _sampling(text: str) -> Sampling:
    values = json.loads(text)
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return _unpacked(Sampling, values | lists)


def _names(struct: pa.StructType) -> list[str]:
    return [field.name for field in struct]


def _packed(value: Any, names: Sequence[str]) -> dict[str, Any]:
    return _complete(dict(vars(value)), names, type(value).__name__)


def _unpacked(made: type[_T], values: Mapping[str, Any]) -> _T:
    names = [one.name for one in fields(made)]  # type: ignore[arg-type]  # all that travel are dataclasses
    return made(**_complete(values, names, made.__name__))


def _complete(values: Mapping[str, Any], names: Sequence[str], what: str) -> dict[str, Any]:
    """``values``, after a check that they have exactly these names."""
    if values.keys() != set(names):
        raise WireError(_differ(what, values, names))
    return dict(values)


def _column(rows: pa.Table, name: str, type_: pa.DataType) -> pa.ChunkedArray:
    """A column, after a check that it has exactly this type."""
    if name not in rows.column_names:
        raise WireError(_differ("a row", rows.column_names, [*rows.column_names, name]))
    column = rows[name]
    if column.type != type_:
        found, known = _struct_of(column.type), _struct_of(type_)
        if found is not None and known is not None and set(_names(found)) != set(_names(known)):
            raise WireError(_differ(f"column {name}", _names(found), _names(known)))
        raise WireError(
            f"between two stages, column {name} is {column.type}; {type_} is needed. {_MEND}"
        )
    return column


def _struct_of(type_: pa.DataType) -> pa.StructType | None:
    while pa.types.is_list(type_):
        type_ = type_.value_type
    return type_ if pa.types.is_struct(type_) else None


def _differ(what: str, found: Iterable[str], known: Iterable[str]) -> str:
    missing, unknown = sorted(set(known) - set(found)), sorted(set(found) - set(known))
    parts = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
    parts += [f"has {', '.join(map(repr, unknown))}, which is unknown"] if unknown else []
    return f"between two stages, {what} {' and '.join(parts)}. {_MEND}"
