"""Whatever is in a manifest: every row comes back, and every line is accounted for."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from tests.pipelines.manifests import errors, plan_of, read_manifest, read_plan, shard, uris

quick = settings(max_examples=60, deadline=None)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
uri = text.filter(lambda value: value.strip() == value and value and not set(value) & set("\r\n"))
names = st.text("abcxyz_ é", min_size=1, max_size=5).filter(
    lambda name: name.strip() == name and name not in ("id", "image")
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def read_bytes(data: bytes, suffix: str, **options: object) -> pa.Table:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m{suffix}"
        path.write_bytes(data)
        return read_manifest(path, **options)


def without_nulls(value: object) -> object:
    """A struct column gives every row every key, null where it had none."""
    if isinstance(value, dict):
        return {
            key: without_nulls(item)
            for key, item in value.items()
            if without_nulls(item) not in (None, {})
        }
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@quick
@given(
    st.lists(
        st.fixed_dictionaries(
            {"image": uri}, optional={"a": values, "b": values, "question": text}
        ),
        min_size=1,
    )
)
def test_jsonl_rows_come_back(rows: list[dict]) -> None:
    table = read_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows), ".jsonl")
    assert not errors(table)
    assert uris(table) == [[row["image"]] for row in rows]
    for name in {name for row in rows for name in row}:
        is_json = pa.types.is_string(table.schema.field(name).type) and not all(
            isinstance(row.get(name), str | None) for row in rows
        )
        for row, value in zip(rows, table[name].to_pylist(), strict=True):
            value = json.loads(value) if is_json and value is not None else value
            assert without_nulls(value) == without_nulls(row.get(name)) or without_nulls(
                row.get(name)
            ) in ({}, [])


@quick
@given(st.lists(names, unique=True, max_size=4), st.data())
def test_csv_rows_come_back(columns: list[str], data: st.DataObject) -> None:
    cell = text.filter(lambda value: "\x00" not in value)
    rows = data.draw(st.lists(st.tuples(uri, *[cell] * len(columns)), max_size=8))
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["image", *columns], *rows])
    table = read_bytes(buffer.getvalue().encode(), ".csv")
    assert not errors(table)
    assert [tuple(row.values()) for row in table.select(["image", *columns]).to_pylist()] == rows


@quick
@given(st.data())
def test_parquet_rows_come_back(data: st.DataObject) -> None:
    kinds = [
        pa.int32(),
        pa.float64(),
        pa.string(),
        pa.bool_(),
        pa.binary(),
        pa.list_(pa.int64()),
        pa.date32(),
    ]
    size = data.draw(st.integers(0, 30))
    kind = data.draw(st.sampled_from(kinds))
    seeds = data.draw(st.lists(st.none() | st.integers(0, 100), min_size=size, max_size=size))
    make = {
        pa.string(): str,
        pa.binary(): lambda n: bytes([n]),
        pa.list_(pa.int64()): lambda n: [n],
        pa.bool_(): bool,
    }
    column = [None if seed is None else make.get(kind, lambda n: n)(seed) for seed in seeds]
    table = pa.table({"image": [f"{n}.jpg" for n in range(size)], "value": pa.array(column, kind)})
    table = table.cast(pa.schema([("image", pa.string()), ("value", kind)]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=data.draw(st.integers(1, 10)))
    assert read_bytes(buffer.getvalue(), ".parquet").select(["image", "value"]).equals(table)


line = st.binary(max_size=40) | st.sampled_from(
    [b'{"image": "a"}', b'"', b'a.jpg,"b', b"a,b", b'""', b"", b" ", b"{}", b"\r"]
)


@quick
@given(st.lists(line, max_size=20), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_every_line_of_any_bytes_is_accounted_for(
    body: list[bytes], newline: bytes, last: bool
) -> None:
    data = newline.join(body) + (newline if last else b"")
    head = {".jsonl": b'{"image": "first"}\n', ".txt": b"", ".csv": b"image,note\n"}
    for suffix, first in head.items():
        table = read_bytes(first + data, suffix)
        filled = [
            row for row in (first + data).removeprefix(b"\xef\xbb\xbf").split(b"\n") if row.strip()
        ]
        if suffix == ".csv":  # a quoted value may span lines, so rows are at most the lines
            starts = [int(source.rpartition(":")[2]) for source in table["__source"].to_pylist()]
            assert starts == sorted(set(starts))
            assert len(table) <= len(data.split(b"\n"))
        else:
            assert len(table) == len(filled)


@quick
@given(
    st.binary(max_size=300),
    st.sampled_from([".jsonl", ".csv", ".txt", ".parquet", ".tar", ".jsonl.gz", ".txt.zst"]),
)
def test_any_bytes_are_read_or_refused_at_start(data: bytes, suffix: str) -> None:
    with contextlib.suppress(ConfigurationError):
        read_bytes(data, suffix)


GOOD_SHARD = shard(
    {f"{n:03d}": {"jpg": bytes([n]) * 700, "json": b'{"n": %d}' % n} for n in range(6)}
)
GOOD_PARQUET = (
    pq.write_table(
        pa.table({"image": [f"{n}.jpg" for n in range(500)], "n": range(500)}),
        sink := io.BytesIO(),
        row_group_size=100,
    )
    or sink.getvalue()
)


@quick
@given(st.integers(0, len(GOOD_SHARD) - 1), st.binary(min_size=1, max_size=600))
def test_a_shard_with_damage_anywhere_never_fails_the_split(start: int, damage: bytes) -> None:
    data = (GOOD_SHARD[:start] + damage + GOOD_SHARD[start + len(damage) :])[: len(GOOD_SHARD)]
    try:
        table = read_bytes(data, ".tar")
    except ConfigurationError:
        return  # already in the first header
    assert len(table) <= 12


@quick
@given(st.integers(4, len(GOOD_PARQUET) - 1), st.binary(min_size=1, max_size=60))
def test_a_parquet_file_with_damage_before_its_footer_keeps_every_row(
    start: int, damage: bytes
) -> None:
    footer = len(GOOD_PARQUET) - 8 - int.from_bytes(GOOD_PARQUET[-8:-4], "little")
    start = min(start, footer - len(damage))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.parquet"
        path.write_bytes(GOOD_PARQUET[:start] + damage + GOOD_PARQUET[start + len(damage) :])
        assert len(read_plan(plan_of(path))) == 500
