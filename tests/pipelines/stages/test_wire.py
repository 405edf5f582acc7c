"""What one stage sends is what the next one gets, and what only one of them knows is an error that
names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from internvl_ops.engines.base import Chat, Sampling
from internvl_ops.gauge import Reading
from internvl_ops.media.parts import Part
from internvl_ops.models.prompts.rendering import Placeholder
from internvl_ops.preparer import MediaRef, Prepared
from internvl_ops.rendered import ChatConversation, RenderedConversation
from internvl_ops.replies import Numbers, Reply
from internvl_ops.tasks import NUMBERS, TEXT
from pipelines import columns as c
from pipelines.stages import wire

# On a busy machine a first example takes seconds.
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
small = st.integers(0, 2**31 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.lists(small, max_size=5).map(lambda values: np.array(values, np.int32))
number = st.floats(allow_nan=False)
samplings = st.builds(
    Sampling,
    temperature=number,
    seed=st.none() | st.integers(),
    stop_token_ids=st.lists(small, max_size=3).map(tuple),
    json_schema=st.none() | text,
    choices=st.lists(text, max_size=3).map(tuple),
)
rendered = st.builds(
    RenderedConversation,
    token_ids=ids,
    images=st.lists(st.builds(Placeholder, small, small, small), max_size=2),
    follow_ups=st.lists(ids, max_size=3),
    repair=st.none() | ids,
    sampling=samplings,
)
chats = st.builds(
    ChatConversation,
    chat=st.builds(
        Chat,
        text,
        history=st.lists(st.tuples(text, text), max_size=2),
        system_message=st.none() | text,
        max_tiles=st.none() | small,
    ),
    follow_ups=st.lists(text, max_size=3),
    repair=st.none() | text,
    sampling=samplings,
)
units = st.none() | st.lists(rendered | chats, max_size=3)
replies = st.builds(
    Reply,
    token_ids=st.lists(small, max_size=4),
    text=st.none() | text,
    prompt_tokens=small,
    completion_tokens=small,
    finish_reason=st.sampled_from(["stop", "length", "repetition"]),
    attempts=st.integers(1, 4),
    mean_logprob=st.none() | number,
    left_out=st.booleans(),
)
parts = st.builds(Part, st.none() | small, st.none() | number, st.none() | number)


def column(name: str, values: list[Any], type_: pa.DataType) -> pa.Table:
    """As a stage sees it: a slice of a larger block."""
    whole = pa.table({name: c.array([None, *values], type_)})
    return whole.slice(1)


def plain(value: Any) -> Any:
    """With arrays as lists, so that two can be compared; of arrays the type counts, too."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, RenderedConversation | ChatConversation):
        return type(value), {name: plain(one) for name, one in vars(value).items()}
    return value


@unhurried
@given(st.lists(units, max_size=4))
def test_conversations_of_both_kinds_come_back(block: list[list | None]) -> None:
    values = [None if unit is None else wire.encode_conversations(unit) for unit in block]
    rows = column(c.CONVERSATIONS, values, c.CONVERSATIONS_TYPE)
    back = [wire.decode_conversations(rows, row) for row in range(len(rows))]
    assert plain(back) == plain(block)


@unhurried
@given(
    st.lists(
        st.none() | st.lists(st.lists(st.lists(replies, max_size=2), max_size=2), max_size=2),
        max_size=3,
    )
)
def test_replies_of_any_number_of_samples_and_turns_come_back(block: list[list | None]) -> None:
    values = [None if unit is None else wire.encode_replies(unit, TEXT) for unit in block]
    rows = column(c.REPLIES, values, TEXT.replies_type)
    assert [wire.decode_replies(rows, row, TEXT) for row in range(len(rows))] == block


@unhurried
@given(
    st.lists(
        st.none() | st.lists(st.lists(st.floats(allow_nan=False), max_size=3), max_size=2),
        max_size=3,
    )
)
def test_numbers_come_back_exactly(block: list[list[list[float]] | None]) -> None:
    units = [
        None if unit is None else [Numbers(values, prompt_tokens=7) for values in unit]
        for unit in block
    ]
    values = [None if unit is None else wire.encode_replies(unit, NUMBERS) for unit in units]
    rows = column(c.REPLIES, values, NUMBERS.replies_type)
    back = [wire.decode_replies(rows, row, NUMBERS) for row in range(len(rows))]
    assert [unit and [one.values.tolist() for one in unit] for unit in back] == [
        unit and list(unit) for unit in block
    ]
    assert {one.prompt_tokens for unit in back for one in unit or ()} <= {7}


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.booleans()), max_size=3))
def test_tiles_of_any_shape_come_back(shapes: list[tuple[int, int, bool]]) -> None:
    block = []
    for count, side, turned in shapes:
        tiles = np.arange(count * 3 * side * side, dtype=np.uint8).reshape(count, 3, side, side)
        block.append(tiles.transpose(0, 1, 3, 2) if turned else tiles)  # not in C order, then
    rows = column(c.TILES, [wire.encode_tiles(tiles) for tiles in block], pa.large_binary())
    for row, tiles in enumerate(block):
        back = wire.decode_tiles(rows, row, tiles.shape[-1])
        assert back.dtype == np.uint8
        assert np.array_equal(back, tiles)


def test_tiles_of_another_size_are_not_taken_for_tiles() -> None:
    rows = column(c.TILES, [wire.encode_tiles(np.zeros((1, 3, 4, 4), np.uint8))], pa.large_binary())
    with pytest.raises(ValueError, match="48 bytes are no whole number of tiles of 3 x 5 x 5"):
        wire.decode_tiles(rows, 0, 5)


@unhurried
@given(st.lists(st.none() | parts, max_size=4))
def test_parts_come_back(block: list[Part | None]) -> None:
    values = [wire.encode_part(part) for part in block]
    rows = column(c.PART, values, c.PART_TYPE)
    assert [wire.decode_part(rows.slice(row, 1)) for row in range(len(rows))] == block


@unhurried
@given(
    st.none() | st.builds(Reading, number, number, number, number),
    st.none() | number,
    st.integers(0, 2),
)
def test_a_reading_comes_back_from_every_block_that_has_rows(
    reading: Reading | None, device_s: float | None, size: int
) -> None:
    rows = wire.with_reading(
        pa.table({"id": ["x"] * size}), c.ENGINE_GAUGE, "node-1", reading, device_s=device_s
    )
    mark = None
    if reading is not None and size:
        mark = wire.GaugeReading(
            "node-1", reading.since, reading.at, reading.busy_s, reading.held_s, device_s
        )
    assert wire.decode_reading(rows, c.ENGINE_GAUGE) == mark


def test_media_come_back_and_no_media_are_an_empty_list() -> None:
    media = [[{"uri": "a.jpg", "bytes": None}, {"uri": None, "bytes": b"jpeg"}], None, []]
    rows = column(c.MEDIA, media, c.MEDIA_TYPE)
    assert wire.media_of(rows) == [[MediaRef("a.jpg"), MediaRef("", b"jpeg")], [], []]


def test_hashes_and_pictures_go_with_the_tiles() -> None:
    unit = Prepared(
        [],
        np.zeros((0, 3, 1, 1), np.uint8),
        [],
        ["h1", "h2"],
        4,
        3,
        ["seen"],
        "etag",
        [b"one", b"two"],
    )
    values = wire.prepared(unit, notes=["read"], places=["a.jpg"], preview=None)
    rows = pa.Table.from_pylist([values | {c.TILES: bytes(values[c.TILES])}], c.PREPARED)
    shown = wire.decode_shown(rows, 0, 8)
    assert (shown.hashes, shown.pictures) == (["h1", "h2"], [b"one", b"two"])
    assert shown.tiles is not None
    assert shown.tiles.shape == (0, 3, 8, 8)
    assert rows.select(["notes", "num_frames", "num_tiles", "source_version"]).to_pylist() == [
        {"notes": ["read", "seen"], "num_frames": 2, "num_tiles": None, "source_version": "etag"}
    ]


def unlike(type_: pa.DataType, change: Callable[[list[pa.Field]], list[pa.Field]]) -> pa.DataType:
    """``type_`` with the fields of its innermost struct changed, as another version might have
    them."""
    if pa.types.is_list(type_):
        return pa.list_(unlike(type_.value_type, change))
    return pa.struct(change(list(type_)))


DECODERS: dict[str, tuple[pa.DataType, Callable[[pa.Table], object]]] = {
    c.CONVERSATIONS: (c.CONVERSATIONS_TYPE, lambda rows: wire.decode_conversations(rows, 0)),
    c.REPLIES: (TEXT.replies_type, lambda rows: wire.decode_replies(rows, 0, TEXT)),
    c.PART: (c.PART_TYPE, wire.decode_part),
    c.ENGINE_GAUGE: (c.READING_TYPE, lambda rows: wire.decode_reading(rows, c.ENGINE_GAUGE)),
    c.MEDIA: (c.MEDIA_TYPE, wire.media_of),
}


@pytest.mark.parametrize("name", DECODERS)
class TestAnotherVersion:
    """Of one of the stages, as on a node where an older one is installed."""

    def refused(self, name: str, type_: pa.DataType) -> str:
        rows = pa.table({name: pa.nulls(1, type_)})
        with pytest.raises(wire.WireError) as caught:
            DECODERS[name][1](rows)
        return str(caught.value)

    def test_sends_a_field_that_is_unknown(self, name: str) -> None:
        sent = unlike(DECODERS[name][0], lambda there: [*there, pa.field("mood", pa.string())])
        message = self.refused(name, sent)
        assert f"column {name} has 'mood', which is unknown" in message
        assert "the same version" in message

    def test_does_not_send_a_field(self, name: str) -> None:
        type_ = DECODERS[name][0]
        gone: list[str] = []

        def without_last(there: list[pa.Field]) -> list[pa.Field]:
            gone.append(there[-1].name)
            return there[:-1]

        message = self.refused(name, unlike(type_, without_last))
        assert f"column {name} lacks '{gone[0]}'" in message

    def test_sends_a_field_in_another_type(self, name: str) -> None:
        sent = unlike(
            DECODERS[name][0], lambda there: [there[0].with_type(pa.date32()), *there[1:]]
        )
        assert "date32" in self.refused(name, sent)

    def test_does_not_send_the_column(self, name: str) -> None:
        with pytest.raises(wire.WireError, match=f"lacks '{name}'"):
            DECODERS[name][1](pa.table({"id": ["a"]}))


@dataclass
class Moody(Reply):
    """A reply with a field that has no place in the column."""

    mood: str = "good"


def test_a_field_without_a_place_is_not_dropped() -> None:
    with pytest.raises(wire.WireError, match="Moody has 'mood', which is unknown"):
        wire.encode_replies([[[Moody([], "a", 1, 1, "stop")]]], TEXT)


def test_pictures_of_a_chat_are_not_dropped() -> None:
    asked = ChatConversation(Chat("What?", pictures=[b"jpeg"]), [], None, Sampling())
    with pytest.raises(wire.WireError, match="'pictures' travel in __pictures"):
        wire.encode_conversations([asked])


@pytest.mark.parametrize("inside", ["chat", "sampling"])
@pytest.mark.parametrize("name", ["unknown", "missing"])
def test_json_inside_a_conversation_is_as_strict(inside: str, name: str) -> None:
    (value,) = wire.encode_conversations([ChatConversation(Chat("What?"), [], None, Sampling())])
    told = json.loads(str(value[inside]))
    if name == "unknown":
        told["mood"], named = "good", "has 'mood'"
    else:
        named = f"lacks '{next(iter(told))}'"
        del told[next(iter(told))]
    rows = column(c.CONVERSATIONS, [[value | {inside: json.dumps(told)}]], c.CONVERSATIONS_TYPE)
    with pytest.raises(wire.WireError, match=named):
        wire.decode_conversations(rows, 0)


def innermost(type_: pa.DataType) -> pa.StructType:
    return innermost(type_.value_type) if pa.types.is_list(type_) else type_


@pytest.mark.parametrize(
    ("struct", "made"),
    [
        (innermost(TEXT.replies_type), Reply),
        (innermost(NUMBERS.replies_type), Numbers),
        (c.PART_TYPE, Part),
        (c.READING_TYPE, wire.GaugeReading),
    ],
    ids=["reply", "numbers", "part", "reading"],
)
def test_columns_have_the_fields_of_what_they_hold(struct: pa.StructType, made: type) -> None:
    assert [field.name for field in struct] == [one.name for one in fields(made)]
