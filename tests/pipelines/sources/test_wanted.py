"""``--where`` and ``--columns``: which rows and columns of an input are read, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from pipelines.sources import parquet
from pipelines.sources.sql_tree import bounds_in
from pipelines.sources.wanted import wanted_of
from tests.pipelines.manifests import (
    errors,
    plan_of,
    read_manifest,
    read_plan,
    shard,
    uris,
    write_manifest,
)

ROWS: list[dict[str, Any]] = [
    {
        "image": f"{n}.jpg",
        "question": f"What is {n}?",
        "lang": ["de", "en", "fr"][n % 3],
        "year": 1900 + n,
        "extra": n,
    }
    for n in range(30)
]
FORMATS = ["parquet", "jsonl", "csv"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_and_columns_are_those_that_are_wanted_and_ids_stay(
    tmp_path: Path, suffix: str
) -> None:
    path = write_manifest(tmp_path / f"m.{suffix}", ROWS)
    every = read_manifest(path)
    plan = plan_of(path, where="lang = 'en' AND CAST(year AS INTEGER) > 1910", names=("lang",))
    found = read_plan(plan, batch_rows=4)
    kept = [n for n, row in enumerate(ROWS) if row["lang"] == "en" and row["year"] > 1910]
    assert found["id"].to_pylist() == [every["id"][n].as_py() for n in kept]
    assert found["__source"].to_pylist() == [every["__source"][n].as_py() for n in kept]
    # the media, and what is asked, are read anyway
    assert plan.schema.names == ["image", "question", "lang"]
    assert plan.total_rows is None


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("limit", [0, 1, 4, 99])
def test_limit_counts_the_wanted_rows(tmp_path: Path, suffix: str, limit: int) -> None:
    for part in range(3):
        write_manifest(tmp_path / f"{part}.{suffix}", ROWS[part * 10 : part * 10 + 10])
    plan = plan_of(tmp_path, where="lang = 'fr'", limit=limit)
    assert uris(read_plan(plan)) == [[row["image"]] for row in ROWS if row["lang"] == "fr"][:limit]
    assert plan.total_rows == min(limit, 10)


def test_formats_without_columns_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("a.jpg\nb.png\n")
    assert uris(read_manifest(tmp_path / "m.txt", where="image LIKE '%.png'")) == [["b.png"]]
    for name in ("a.jpg", "b.png"):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / name).write_bytes(b"x")
    assert read_manifest(tmp_path / "pictures", where="image LIKE '%.png'")["id"].to_pylist() == [
        "b.png"
    ]
    (tmp_path / "0.tar").write_bytes(
        shard(
            {
                "a": {"jpg": b"1", "json": b'{"n": 1, "m": 2}'},
                "b": {"jpg": b"2", "json": b'{"n": 2, "m": 3}'},
            }
        )
    )
    plan = plan_of(tmp_path / "0.tar", where="n > 1", names=("n",))
    assert read_plan(plan).select(["id", "n"]).to_pylist() == [{"id": "b", "n": 2}]
    assert plan.schema.names == ["n"]


def test_a_row_that_cannot_be_tested_is_an_error_and_not_gone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "image,year\na.jpg,1950\nb.jpg,unknown\nc.jpg,1850\nd.jpg,1960,more\n"
    )
    table = read_manifest(tmp_path / "m.csv", where="CAST(year AS INTEGER) > 1900")
    assert table["__source"].to_pylist() == ["m.csv:2", "m.csv:3", "m.csv:5"]
    assert "--where" in errors(table)["m.csv:3"]
    assert "unknown" in errors(table)["m.csv:3"]
    assert "3 values" in errors(table)["m.csv:5"]
    (tmp_path / "m.jsonl").write_text(
        '{"image": "a.jpg", "year": 1}\nnot JSON\n{"image": 7, "year": 2}\n'
    )
    table = read_manifest(tmp_path / "m.jsonl", where="year = 1")
    # the third is not wanted, whatever its image
    assert table["__source"].to_pylist() == ["m.jsonl:1", "m.jsonl:2"]


def test_partitions_in_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for lang in ("de", "en"):
        (tmp_path / f"lang={lang}").mkdir()
        rows = [{"image": f"{lang}{n}.jpg", "n": n} for n in range(3)]
        write_manifest(tmp_path / f"lang={lang}" / "0.parquet", rows)
    plan = plan_of(tmp_path, where="lang = 'en' AND n > 0", names=("lang",))
    opened: list[str] = []

    def open_input(uri: str, **_: object) -> IO[bytes]:
        opened.append(uri)
        return open(uri, "rb")

    monkeypatch.setattr(parquet, "open_input", open_input)
    found = read_plan(plan)
    assert uris(found) == [["en1.jpg"], ["en2.jpg"]]
    assert found["lang"].to_pylist() == ["en", "en"]
    assert {Path(uri).parent.name for uri in opened} == {"lang=en"}


def test_parquet_reads_only_the_row_groups_and_columns_that_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [
        {**row, "image": {"bytes": bytes([n]) * 100_000, "path": "x"}} for n, row in enumerate(ROWS)
    ]
    table = pa.Table.from_pylist(large)
    pq.write_table(
        table, tmp_path / "m.parquet", row_group_size=3, compression="none", use_dictionary=False
    )
    read: list[int] = []

    class Counted(parquet.Watched):
        def read(self, size: int = -1) -> bytes:
            data = super().read(size)
            read.append(len(data))
            return data

    monkeypatch.setattr(parquet, "Watched", Counted)
    for where in ("year = 1925", "year + 0 = 1925"):  # by statistics, and by the values
        plan = plan_of(tmp_path / "m.parquet", where=where)
        read.clear()
        assert read_plan(plan)["year"].to_pylist() == [1925]
        assert sum(read) < 1_000_000 < table.nbytes
    plan = plan_of(tmp_path / "m.parquet", image_column="lang", names=("year",))
    read.clear()
    assert len(read_plan(plan)) == 30
    assert sum(read) < 300_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"where": "yaer > 1900"}, ["--where 'yaer > 1900'", "yaer", "image (", "year (int64)"]),
        ({"where": "year >"}, ["--where 'year >'", "syntax error"]),
        ({"where": "year > 1900; DROP TABLE x"}, ["--where", "syntax error"]),
        ({"where": "lang > 3"}, ["explicit cast", "lang (string)"]),
        ({"where": "count(*) > 1"}, ["must be a condition on one row"]),
        ({"where": "year > (SELECT 3)"}, ["must be a condition on one row"]),
        ({"where": "row_number() OVER () > 3"}, ["must be a condition on one row"]),
        ({"where": "random() < 0.5"}, ["random has another value each time"]),
        (
            {"where": "current_date > DATE '2026-01-01'"},
            ["current_date has another value", "DATE '2026-01-31'"],
        ),
        ({"where": "lang IN (SELECT x FROM 'other.parquet')"}, ["must be a condition on one row"]),
        ({"names": ("year", "yaer")}, ["--columns year,yaer", "no column 'yaer'", "question"]),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_says_what_is_wrong(
    tmp_path: Path, suffix: str, options: dict[str, Any], says: list[str]
) -> None:
    path = write_manifest(tmp_path / f"m.{suffix}", ROWS)
    with pytest.raises(ConfigurationError) as caught:
        plan_of(path, **options)
    for part in says:
        assert part in str(caught.value)


def test_columns_of_a_csv_name_its_header_or_choose_of_it(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("a.jpg,x,1\nb.jpg,y,2\n")
    plan = plan_of(tmp_path / "bare.csv", names=("image", "word", "n"), where="n = '2'")
    assert read_plan(plan).select(["image", "word", "n"]).to_pylist() == [
        {"image": "b.jpg", "word": "y", "n": "2"}
    ]
    assert plan.details["headless"] == ["bare.csv"]
    (tmp_path / "m.csv").write_text("image,word,n\na.jpg,x,1\nb.jpg,y,2\n")
    plan = plan_of(tmp_path / "m.csv", names=("n", "image"))
    assert read_plan(plan).select(plan.schema.names).to_pylist() == [
        {"image": "a.jpg", "n": "1"},
        {"image": "b.jpg", "n": "2"},
    ]
    assert plan.details["headless"] == []


def test_an_empty_manifest_has_no_columns_to_miss(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b"")
    assert len(read_manifest(tmp_path / "m.jsonl", where="year > 1900", names=("year",))) == 0


VALUES = {
    "n": st.one_of(st.none(), st.integers(-3, 3)),
    "s": st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab"])),
    "b": st.one_of(st.none(), st.booleans()),
    "f": st.one_of(st.none(), st.sampled_from([float("nan"), -1.0, 0.0, 2.0])),
}
SCHEMA = pa.schema([("n", pa.int64()), ("s", pa.string()), ("b", pa.bool_()), ("f", pa.float64())])
ATOMS = st.sampled_from(
    ["n = 1", "n < 2", "2 > n", "n >= -1", "n BETWEEN 0 AND 1", "n IN (1, 2)", "s > 'a'",
     "s = 'ab'", "s IN ('a', '')", "b", "b = true", "f > 0", "f IN (0, 2)", "N <> 1", "s LIKE 'a%'",
     "n IS NULL", "n + 1 > 0", "n = NULL"]
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda one: f"(NOT {one})"),
    ),
    max_leaves=5,
)


@given(CONDITIONS, st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=6))
def test_no_wanted_row_is_outside_the_bounds(where: str, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    wanted = wanted_of(where, SCHEMA)
    expected = duckdb.from_arrow(table).filter(where).to_arrow_table()
    kept, problems = wanted.condition.test(table.select(wanted.columns))
    assert (int(kept.sum()), problems) == (len(expected), {})
    expression = wanted.expression(SCHEMA)
    assert expression is None or len(expected.filter(expression)) == len(expected)


def test_bounds_are_found_in_what_people_write() -> None:
    found = bounds_in(
        "day >= DATE '2026-01-31' AND lang IN ('de', 'en') AND (n = 1 OR n = 2) AND len(s) > 3"
    )
    assert [(one.column, one.operator, one.values) for one in found] == [
        ("day", ">=", ("2026-01-31",)),
        ("lang", "=", ("de", "en")),
    ]
