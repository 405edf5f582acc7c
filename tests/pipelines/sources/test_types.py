"""Columns of every type come through one door, as types that every reader of Parquet has."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import uuid
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.arrow_types import as_type, merge, plain_type, settled
from pipelines.sources.repeated_values import may_explode, pieces
from tests.pipelines.manifests import errors, notes, plan_of, read_manifest, uris

UUID = uuid.UUID("41424344-4546-4748-894a-4b4c4d4e4f50")
STRUCT_OF_VIEWS = pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])


def naive(value: object) -> object:
    return value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pa.array(["x", None], pa.string_view()), pa.string(), ["x", None]),
        (pa.array([b"x", None], pa.binary_view()), pa.binary(), [b"x", None]),
        (pa.array(["x", None], pa.large_string()), pa.string(), ["x", None]),
        (
            pa.array([["x", None], None], pa.list_view(pa.string_view())),
            pa.list_(pa.string()),
            [["x", None], None],
        ),
        (pa.array([[1], None], pa.large_list(pa.int8())), pa.list_(pa.int8()), [[1], None]),
        (
            pa.array([[0.5, 1], None], pa.list_(pa.float16(), 2)),
            pa.list_(pa.float32()),
            [[0.5, 1.0], None],
        ),
        (pa.array(["x", None]).dictionary_encode(), pa.string(), ["x", None]),
        (pa.array([7, None]).dictionary_encode(), pa.int64(), [7, None]),
        (pa.RunEndEncodedArray.from_arrays([1, 2], ["x", None]), pa.string(), ["x", None]),
        (
            pa.StructArray.from_arrays([pa.array(["x", "y"]).dictionary_encode()], ["k"]),
            pa.struct([("k", pa.string())]),
            [{"k": "x"}, {"k": "y"}],
        ),
        (pa.array([UUID.bytes, None], pa.uuid()), pa.string(), [str(UUID), None]),
        (
            pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None])),
            pa.string(),
            ['{"a":1}', None],
        ),
        (
            pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())),
            pa.bool_(),
            [True, None],
        ),
        (
            pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
            pa.string(),
            ['{"a":1}', None],
        ),
        (pa.array([datetime.time(1, 2, 3), None]), pa.string(), ["01:02:03", None]),
        (
            pa.array([decimal.Decimal("1.5"), None], pa.decimal256(60, 1)),
            pa.string(),
            ["1.5", None],
        ),
        *(
            (
                pa.array([number, None], pa.timestamp("ns", zone)),
                pa.timestamp("us", zone),
                [moment, None],
            )
            for zone in (None, "UTC")
            for number, moment in (
                (1_700_000_000_123_456_789, datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)),
                (-1, datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)),
                (-(2**63) + 1, datetime.datetime(1677, 9, 21, 0, 12, 43, 145224)),
            )
        ),
        (
            pa.array([{"at": [1999]}, None], pa.struct([("at", pa.list_(pa.timestamp("ns")))])),
            pa.struct([("at", pa.list_(pa.timestamp("us")))]),
            [{"at": [datetime.datetime(1970, 1, 1, 0, 0, 0, 1)]}, None],
        ),
        (
            pa.array([decimal.Decimal("1.50"), None]),
            pa.decimal128(3, 2),
            [decimal.Decimal("1.50"), None],
        ),
        (pa.array([2**64 - 1, None], pa.uint64()), pa.uint64(), [2**64 - 1, None]),
        (pa.array([float("inf"), None]), pa.float64(), [float("inf"), None]),
        (pa.nulls(2), pa.string(), [None, None]),
        (pa.nulls(2, pa.list_(pa.null())), pa.list_(pa.string()), [None, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_type_that_some_readers_lack_becomes_a_plain_one(
    column: pa.Array, kind: pa.DataType, values: list
) -> None:
    assert settled(plain_type(column.type)) == kind
    for rows, expected in ((column, values), (column.slice(1), values[1:])):
        found = as_type(rows, kind)
        found.validate(full=True)
        assert [naive(value) for value in found.to_pylist()] == expected


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.int8(), pa.uint8(), pa.int16()),
        (pa.int64(), pa.uint64(), pa.decimal128(20, 0)),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.decimal128(5, 2), pa.decimal128(6, 1), pa.decimal128(7, 2)),
        (pa.date32(), pa.timestamp("ms"), pa.timestamp("ms")),
        (pa.timestamp("s", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
        (pa.date32(), pa.string(), pa.string()),
        (pa.duration("s"), pa.duration("ns"), pa.duration("ns")),
        (pa.duration("s"), pa.int64(), pa.string()),
        (pa.int64(), pa.string(), pa.string()),
        (pa.bool_(), pa.int64(), pa.string()),
        (pa.null(), pa.int8(), pa.int8()),
        (pa.string(), pa.list_(pa.string()), pa.list_(pa.string())),
        (
            pa.struct([("a", pa.int64())]),
            pa.struct([("a", pa.float64()), ("b", pa.string())]),
            pa.struct([("a", pa.float64()), ("b", pa.string())]),
        ),
        (pa.struct([("a", pa.int64())]), pa.int64(), pa.string()),
    ],
    ids=str,
)
def test_types_of_two_files_have_one_that_holds_both(
    one: pa.DataType, other: pa.DataType, both: pa.DataType
) -> None:
    assert merge(one, other) == merge(other, one) == both
    for kind in (one, other):
        assert as_type(pa.nulls(2, kind), both).type == both


def test_parts_of_every_type_read_as_one_table(tmp_path: Path) -> None:
    columns = [
        pa.array(["en", "de"]).dictionary_encode(),
        pa.array(["en", "de"], pa.string_view()),
        pa.array([1, 2]),
        pa.array([datetime.date(2024, 5, 1), None]),
        pa.array([["a"], []]),
        pa.array([{"k": 1}, None]),
    ]
    for number, column in enumerate(columns):
        pq.write_table(
            pa.table({"image": ["a.jpg", "b.jpg"], "lang": column}), tmp_path / f"{number}.parquet"
        )
    table = read_manifest(tmp_path)
    assert not errors(table)
    assert len(table) == 2 * len(columns)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (
            pa.array([{"bytes": b"1", "path": "x.png"}, {"bytes": b"2"}], STRUCT_OF_VIEWS),
            [b"1", b"2"],
        ),
        (pa.array([b"1", b"2"], pa.binary_view()), [b"1", b"2"]),
        (pa.array([b"1", b"2"]).dictionary_encode(), [b"1", b"2"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_media_of_view_types(tmp_path: Path, image: pa.Array, found: list[bytes]) -> None:
    if pa.types.is_dictionary(image.type):
        image = image.cast(pa.binary())
    pq.write_table(pa.table({"image": image}), tmp_path / "m.parquet")
    assert [
        media[0]["bytes"] for media in read_manifest(tmp_path / "m.parquet")["__media"].to_pylist()
    ] == found


def test_media_that_are_addresses_in_one_file_and_structs_in_another(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a.jpg"]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"image": [{"bytes": b"B", "path": None}]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"image": [["c.jpg", "d.jpg"]]}), tmp_path / "2.parquet")
    media = read_manifest(tmp_path)["__media"].to_pylist()
    assert [[item["bytes"] or item["uri"] for item in row] for row in media] == [
        ["a.jpg"],
        [b"B"],
        ["c.jpg", "d.jpg"],
    ]


def test_durations_in_two_files_mean_what_they_meant(tmp_path: Path) -> None:
    """In the finer unit of both; as text, with their unit."""
    for number, unit in enumerate(("s", "ms")):
        long = pa.array([2, None], pa.duration(unit))
        other = long if number else pa.array(["x", "y"])
        table = pa.table({"image": ["a", "b"], "long": long, "mixed": other})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    table = read_manifest(tmp_path)
    seconds = [long and long.total_seconds() for long in table["long"].to_pylist()]
    assert seconds == [2, None, 0.002, None]
    assert table["mixed"].to_pylist() == ["x", "y", "2 ms", None]


def test_an_id_that_is_missing_among_numbers_is_no_id(tmp_path: Path) -> None:
    """pandas makes floats of integers where some are missing."""
    table = pa.table({"id": pa.array([1.0, float("nan"), None]), "image": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "m.parquet")
    found = read_manifest(tmp_path / "m.parquet")
    assert found["id"].to_pylist() == ["1", "m.parquet:2", "m.parquet:3"]
    assert list(errors(found)) == ["m.parquet:2", "m.parquet:3"]


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (
            pa.array([UUID.bytes, uuid.UUID(int=1).bytes], pa.uuid()),
            [str(UUID), str(uuid.UUID(int=1))],
        ),
        (
            pa.array([UUID.bytes, bytes(15) + b"\x01"], pa.binary(16)),
            [UUID.bytes.hex(), "0" * 31 + "1"],
        ),
        (pa.array([2**64 - 1, 7], pa.uint64()), [str(2**64 - 1), "7"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ],
    ids=["uuid", "binary", "uint64", "dictionary"],
)
def test_ids_of_any_type_are_texts_that_do_not_depend_on_their_neighbours(
    tmp_path: Path, ids: pa.Array, found: list[str]
) -> None:
    pq.write_table(pa.table({"id": ids, "image": ["a", "b"]}), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet")["id"].to_pylist() == found
    pq.write_table(pa.table({"id": ids.slice(1), "image": ["b"]}), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet")["id"].to_pylist() == found[1:]


def test_whole_numbers_above_64_bits_are_exact(tmp_path: Path) -> None:
    large = 123456789012345678901
    lines = [
        f'{{"id": {large + n}, "image": "a", "big": {large + n}, "deep": {{"n": {large}}}}}'
        for n in range(2)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    table = read_manifest(tmp_path / "m.jsonl")
    assert table["id"].to_pylist() == [str(large), str(large + 1)]
    assert table["big"].to_pylist() == [str(large), str(large + 1)]
    assert json.loads(table["deep"].to_pylist()[0]) == {"n": large}


def test_durations_are_whole_numbers_to_duckdb(tmp_path: Path) -> None:
    taken = pa.array([datetime.timedelta(microseconds=5), None], pa.duration("us"))
    pq.write_table(pa.table({"image": ["a", "b"], "taken": taken}), tmp_path / "m.parquet")
    pq.write_table(
        read_manifest(tmp_path / "m.parquet").select(["taken"]), tmp_path / "out.parquet"
    )
    assert pq.read_table(tmp_path / "out.parquet")["taken"].to_pylist() == taken.to_pylist()
    assert duckdb.sql(f"from '{tmp_path}/out.parquet'").fetchall() == [(5,), (None,)]


def test_numbers_that_json_lacks(tmp_path: Path) -> None:
    """They stay where the column is of floats, and are null where it became JSON text."""
    lines = [
        f'{{"image": "a", "f": {number}, "mixed": {number}}}'
        for number in ("NaN", "Infinity", "0.5")
    ]
    (tmp_path / "m.jsonl").write_text("\n".join([*lines, '{"image": "a", "mixed": "text"}']))
    table = read_manifest(tmp_path / "m.jsonl")
    assert str(table["f"].to_pylist()) == "[nan, inf, 0.5, None]"
    assert table["mixed"].to_pylist() == ["null", "null", "0.5", '"text"']


def test_whole_numbers_that_a_double_has_no_digits_for_make_text_of_floats(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        f'{{"image": "a", "n": {2**53 + 1}}}\n{{"image": "b", "n": 0.5}}'
    )
    assert read_manifest(tmp_path / "m.jsonl")["n"].to_pylist() == [str(2**53 + 1), "0.5"]


class TestRepeatedValues:
    """A few bytes of Parquet that say a long value once and mean it a thousand times."""

    @pytest.mark.parametrize("nested", [False, True])
    def test_they_are_read_in_pieces(self, tmp_path: Path, nested: bool) -> None:
        long = pa.DictionaryArray.from_arrays(
            pa.array([0] * 400, pa.int32()), pa.array(["q" * (1 << 20)])
        )
        column = (
            pa.ListArray.from_arrays(pa.array(range(401), pa.int32()), long) if nested else long
        )
        pq.write_table(
            pa.table({"image": ["a"] * 400, "note": column}),
            tmp_path / "m.parquet",
            compression="zstd",
        )
        plan = plan_of(tmp_path / "m.parquet")
        from pipelines.sources import read_split

        sizes = []
        for table in read_split(plan, plan.splits[0], batch_bytes=8 << 20):
            sizes.append((len(table), table.nbytes))
        assert sum(rows for rows, _ in sizes) == 400
        assert max(size for _, size in sizes) < 40 << 20

    def test_ordinary_columns_are_read_as_ever(self, tmp_path: Path) -> None:
        pq.write_table(
            pa.table({"image": [f"{n}.jpg" for n in range(5_000)]}), tmp_path / "m.parquet"
        )
        metadata = pq.ParquetFile(tmp_path / "m.parquet").metadata
        assert may_explode(metadata, 1_000) == []

    def test_pieces_are_all_of_the_rows_in_order(self) -> None:
        values = pa.array([f"{n}" * 1_000 for n in range(50)] * 2).dictionary_encode()
        batch = pa.RecordBatch.from_arrays([pa.array(range(100)), values], ["n", "v"])
        found = list(pieces(batch, 10_000))
        assert pa.Table.from_batches(found).to_pylist() == batch.to_pylist()
        assert len(found) > 5


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud83d", "a\udc00b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.lists(
            st.dictionaries(st.sampled_from(["a", "b", "c"]), json_values, max_size=3),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 4),
)
def test_whatever_is_carried_no_row_is_lost_and_the_table_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[dict]], sampled: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    for number, rows in enumerate(parts):
        lines = [json.dumps({"image": f"{number}-{n}.jpg", **row}) for n, row in enumerate(rows)]
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.sources.jsonl._SAMPLED_ROWS", sampled)
        table = read_manifest(folder)
        again = read_manifest(folder)
    assert not errors(table)
    assert uris(table) == [
        [f"{number}-{n}.jpg"] for number, rows in enumerate(parts) for n in range(len(rows))
    ]
    assert table["id"].equals(again["id"])
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    assert pq.read_table(io.BytesIO(buffer.getvalue())).num_rows == len(table)
    for row in notes(table).values():
        assert all(note.startswith("Not kept: ") for note in row)
