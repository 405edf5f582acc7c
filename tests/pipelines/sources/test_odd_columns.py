"""Columns that are only carried: what readers of Parquet cannot read is noted, and never costs a
row."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipelines.manifests import errors, notes, plan_of, read_manifest, read_plan

FAR = 2**31 - 1


def manifest(path: Path, column: pa.Array, rows: int = 0, **options: object) -> Path:
    size = rows or len(column)
    images = pa.array([f"{n}.jpg" for n in range(size)])
    pq.write_table(pa.table({"image": images, "x": column}), path / "m.parquet", **options)
    return path / "m.parquet"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, FAR], pa.date32()),
        pa.array([0, -FAR], pa.date32()),
        pa.array([0, 2**62], pa.timestamp("ms")),
        pa.array([0, 2**63 - 1], pa.timestamp("us", "UTC")),
        pa.array([[0], [FAR]], pa.list_(pa.date32())),
        pa.array([{"at": 0}, {"at": FAR}], pa.struct([("at", pa.date32())])),
    ],
)
def test_times_that_no_reader_has_are_null_and_noted(tmp_path: Path, column: pa.Array) -> None:
    table = read_manifest(manifest(tmp_path, column))
    assert table["x"][0].as_py() is not None
    assert table["x"].null_count == 1
    assert "not within the years 1 to 9999" in notes(table)["m.parquet:2"][0]
    pq.write_table(table.select(["id", "x"]), tmp_path / "out.parquet")
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 2


def test_infinity_of_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    duckdb.sql(
        f"COPY (SELECT 'a.jpg' AS image, 'infinity'::TIMESTAMP AS seen) TO '{path}' (FORMAT"
        " parquet)"
    )
    table = read_manifest(path)
    assert table["seen"].to_pylist() == [None]
    assert not errors(table)


@pytest.mark.parametrize("zone", ["Mars/Phobos", "EST5EDT7", "local time", "+05:30", "-00:00"])
def test_moments_in_a_zone_that_is_not_known_are_shown_in_utc(tmp_path: Path, zone: str) -> None:
    """Polars knows no offsets, and fails at the whole file."""
    column = pa.array([0, 1_700_000_000_000_000], pa.timestamp("us", zone))
    table = read_manifest(manifest(tmp_path, column))
    assert table["x"].type == pa.timestamp("us", "UTC")
    assert table["x"].cast(pa.int64()).to_pylist() == [0, 1_700_000_000_000_000]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Europe/Berlin", "UTC"])
def test_a_zone_that_is_known_stays(tmp_path: Path, zone: str) -> None:
    assert (
        read_manifest(manifest(tmp_path, pa.array([0], pa.timestamp("us", zone))))["x"].type.tz
        == zone
    )


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.null(), 2), pa.list_(pa.null()), pa.struct([("a", pa.null())]), pa.null()]
)
def test_columns_without_any_value_can_be_written(tmp_path: Path, kind: pa.DataType) -> None:
    table = read_manifest(manifest(tmp_path, pa.nulls(2, kind)))
    assert not errors(table)
    pq.write_table(table, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 2


def test_a_map_with_a_key_twice_keeps_both(tmp_path: Path) -> None:
    column = pa.array([[("a", 1), ("a", 2)], [("b", 3)]], pa.map_(pa.string(), pa.int64()))
    table = read_manifest(manifest(tmp_path, column))
    assert table["x"][0].as_py() == '[["a",1],["a",2]]'


def test_a_name_with_a_null_character_is_read_by_everyone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a.jpg"], "a\0b": [1]}), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").column_names[2] == "a\ufffdb"


class TestColumnsThatCannotBeRead:
    def test_a_type_that_arrow_fails_to_read(self, tmp_path: Path) -> None:
        """Arrow writes lists of length 0, and then does not read them."""
        table = read_manifest(manifest(tmp_path, pa.array([[], None], pa.list_(pa.int32(), 0))))
        assert not errors(table)
        assert table["image"].to_pylist() == ["0.jpg", "1.jpg"]
        assert all("column 'x', which cannot be read" in note for (note,) in notes(table).values())
        assert len(notes(table)) == 2

    def test_categories_that_are_not_utf8(self, tmp_path: Path) -> None:
        offsets, data = pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xffa")
        words = pa.StringArray.from_buffers(2, offsets, data)
        table = read_manifest(manifest(tmp_path, pa.DictionaryArray.from_arrays([0, 1, 1], words)))
        assert not errors(table)
        assert len(notes(table)) == 3

    @pytest.mark.parametrize("batch_rows", [7, 1_000])
    def test_damage_costs_the_values_of_its_column_and_row_group(
        self, tmp_path: Path, batch_rows: int
    ) -> None:
        values = [f"note {n:06d}" * 3 for n in range(100)]
        path = manifest(
            tmp_path,
            pa.array(values),
            row_group_size=50,
            compression="snappy",
            use_dictionary=False,
        )
        column = pq.ParquetFile(path).metadata.row_group(1).column(1)
        data = bytearray(path.read_bytes())
        start = column.data_page_offset
        data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
        path.write_bytes(data)
        table = read_plan(plan_of(path), batch_rows)
        assert not errors(table)
        assert table["image"].to_pylist() == [f"{n}.jpg" for n in range(100)]
        assert table["x"].to_pylist() == [*values[:50], *[None] * 50]
        assert len(notes(table)) == 50

    def test_damage_in_the_media_column_costs_the_rows(self, tmp_path: Path) -> None:
        path = manifest(tmp_path, pa.array(range(100)), row_group_size=50)
        column = pq.ParquetFile(path).metadata.row_group(1).column(0)
        data = bytearray(path.read_bytes())
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
        path.write_bytes(data)
        assert list(errors(read_manifest(path))) == [f"m.parquet:{n}" for n in range(51, 101)]
