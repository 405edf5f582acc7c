"""Manifests that are as they should be: every format, every shape of media, ids, limits,
directories."""

from __future__ import annotations

import bz2
import gzip
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sources import read_split
from tests.pipelines.manifests import (
    errors,
    plan_of,
    read_manifest,
    read_plan,
    uris,
    write_manifest,
)

MANIFESTS = ["parquet", "jsonl", "csv", "txt"]
ROWS = [
    {"image": f"pictures/{number}.jpg", "question": f"What is {number}?", "shelf": "00123"}
    for number in range(25)
]


class TestEveryFormat:
    @pytest.mark.parametrize("suffix", MANIFESTS)
    def test_rows_come_back_in_order_with_their_place(self, tmp_path: Path, suffix: str) -> None:
        path = write_manifest(tmp_path / f"m.{suffix}", ROWS)
        plan = plan_of(path)
        table = read_plan(plan, batch_rows=10)
        assert (plan.format, plan.base, plan.media_column, plan.media_kind) == (
            suffix,
            str(tmp_path),
            "image",
            "image",
        )
        assert uris(table) == [[row["image"]] for row in ROWS]
        assert table["__error"].null_count == len(ROWS)
        head = 1 if suffix == "csv" else 0
        assert table["__source"].to_pylist() == [f"m.{suffix}:{n + head}" for n in range(1, 26)]
        if suffix != "txt":
            assert table.select(["image", "question", "shelf"]).to_pylist() == ROWS

    @pytest.mark.parametrize("suffix", MANIFESTS)
    def test_a_plan_and_its_splits_travel_to_other_processes(
        self, tmp_path: Path, suffix: str
    ) -> None:
        plan = plan_of(write_manifest(tmp_path / f"m.{suffix}", ROWS))
        there = pickle.loads(pickle.dumps(plan))
        assert read_plan(there).equals(read_plan(plan))

    @pytest.mark.parametrize("suffix", MANIFESTS)
    @pytest.mark.parametrize("limit", [0, 1, 7, 25, 26])
    def test_limit_takes_the_first_rows_over_all_files(
        self, tmp_path: Path, suffix: str, limit: int
    ) -> None:
        for part in range(5):
            write_manifest(tmp_path / f"part-{part}.{suffix}", ROWS[part * 5 : part * 5 + 5])
        table = read_manifest(tmp_path, limit=limit, format=suffix)
        assert uris(table) == [[row["image"]] for row in ROWS[:limit]]

    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "txt"])
    @pytest.mark.parametrize("compression", [".gz", ".zst", ".bz2"])
    def test_compressed_text_reads_as_plain(
        self, tmp_path: Path, suffix: str, compression: str
    ) -> None:
        plain = write_manifest(tmp_path / f"m.{suffix}", ROWS)
        packed = tmp_path / f"m.{suffix}{compression}"
        data = plain.read_bytes()
        # In two parts, as parallel compressors and `cat` leave it.
        pack = {
            ".gz": gzip.compress,
            ".bz2": bz2.compress,
            ".zst": lambda part: pa.compress(part, "zstd", asbytes=True),
        }
        packed.write_bytes(pack[compression](data[:300]) + pack[compression](data[300:]))
        assert read_manifest(packed)["id"].equals(read_manifest(plain)["id"])

    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "txt"])
    def test_windows_newlines_byte_order_mark_and_blank_lines(
        self, tmp_path: Path, suffix: str
    ) -> None:
        plain = write_manifest(tmp_path / f"m.{suffix}", ROWS)
        lines = plain.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
        other = tmp_path / f"windows.{suffix}"
        other.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(lines))  # nor does the last line end
        table = read_manifest(other)
        assert table["id"].equals(read_manifest(plain)["id"])
        assert not errors(table)

    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "txt"])
    def test_an_empty_manifest_is_a_job_of_no_rows(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / f"m.{suffix}").write_bytes(b"")
        for options in ({}, {"video_column": "clip"}):
            assert len(read_manifest(tmp_path / f"m.{suffix}", **options)) == 0

    def test_a_parquet_manifest_without_rows(self, tmp_path: Path) -> None:
        pq.write_table(pa.schema([("image", pa.string())]).empty_table(), tmp_path / "m.parquet")
        plan = plan_of(tmp_path / "m.parquet")
        assert (plan.total_rows, plan.sample_uris, len(read_plan(plan))) == (0, [], 0)


class TestTypes:
    def test_parquet_types_stay(self, tmp_path: Path) -> None:
        table = pa.table(
            {
                "image": pa.array(["a", "b"]),
                "n": pa.array([1, None], pa.int8()),
                "when": pa.array([0, 1], pa.timestamp("us", tz="UTC")),
                "price": pa.array([None, None], pa.decimal128(9, 2)),
                "tags": pa.array([["x"], None], pa.list_(pa.string())),
                "meta": pa.array([{"k": 1, "deep": {"l": [1.5]}}, None]),
                "label": pa.array(["cat", "cat"]).dictionary_encode(),
                "raw": pa.array([b"\xff", None]),
            }
        )
        pq.write_table(table, tmp_path / "m.parquet")
        plain = table.set_column(6, "label", pa.array(["cat", "cat"]))
        assert read_manifest(tmp_path / "m.parquet").select(table.schema.names).equals(plain)

    def test_jsonl_types_come_from_the_sample(self, tmp_path: Path) -> None:
        rows = [
            {
                "image": "a",
                "int": 1,
                "num": 1,
                "flag": True,
                "nested": {"k": {"deep": [1]}},
                "void": None,
                "none": [],
            },
            {
                "image": "b",
                "int": -(2**63),
                "num": 0.5,
                "flag": None,
                "nested": {"k": None},
                "void": None,
                "none": [],
            },
        ]
        table = read_manifest(write_manifest(tmp_path / "m.jsonl", rows))
        assert [
            str(table.schema.field(name).type) for name in ("int", "num", "flag", "void", "none")
        ] == [*("int64", "double", "bool", "string", "list<item: string>")]
        assert table["nested"].to_pylist() == [{"k": {"deep": [1]}}, {"k": None}]
        assert table["num"].to_pylist() == [1.0, 0.5]

    @pytest.mark.parametrize(
        "values",
        [
            [1, "one"],
            [{"a": 1}, [1]],
            [{}, {}],
            [2**53 + 1, 0.5],
            [2**63, 1],
            [[1], ["x"]],
            [True, 1],
        ],
        ids=repr,
    )
    def test_a_jsonl_column_without_one_type_passes_through_as_json(
        self, tmp_path: Path, values: list
    ) -> None:
        import json

        path = write_manifest(
            tmp_path / "m.jsonl", [{"image": "a", "value": value} for value in values]
        )
        table = read_manifest(path)
        assert [json.loads(text) for text in table["value"].to_pylist()] == values

    def test_rows_further_into_a_large_jsonl_have_their_say(self, tmp_path: Path) -> None:
        rows = [{"image": "a", "n": n} for n in range(40_000)] + [
            {"image": "b", "n": 0.5, "late": "x"}
        ] * 10_000
        table = read_manifest(write_manifest(tmp_path / "m.jsonl", rows))
        assert not errors(table)
        assert table["n"].to_pylist()[-1] == 0.5
        assert table["late"].null_count == 40_000

    def test_parts_written_at_different_times_share_the_wider_type(self, tmp_path: Path) -> None:
        pq.write_table(
            pa.table({"image": ["a"], "n": pa.array([1], pa.int32())}), tmp_path / "1.parquet"
        )
        pq.write_table(
            pa.table({"image": ["b"], "n": pa.array([2**40]), "new": ["x"]}), tmp_path / "2.parquet"
        )
        table = read_manifest(tmp_path)
        assert table.select(["n", "new"]).to_pylist() == [
            {"n": 1, "new": None},
            {"n": 2**40, "new": "x"},
        ]

    def test_hive_partitions_are_columns(self, tmp_path: Path) -> None:
        for folder in ("lang=en/day=2024-05-01", "lang=de%2Fat/day=2024-05-02"):
            (tmp_path / folder).mkdir(parents=True)
            write_manifest(tmp_path / folder / "part-0.parquet", [{"image": "a"}])
        (tmp_path / "_SUCCESS").touch()
        table = read_manifest(tmp_path)
        assert sorted(table["lang"].to_pylist()) == ["de/at", "en"]
        assert sorted(table["day"].to_pylist()) == ["2024-05-01", "2024-05-02"]

    def test_csv_keeps_what_stands_there(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text(
            'image,"a ""name""",empty\nx.jpg,"two\nlines, one ""value""",\n'
        )
        assert read_manifest(tmp_path / "m.csv").select(
            ["image", 'a "name"', "empty"]
        ).to_pylist() == [{"image": "x.jpg", 'a "name"': 'two\nlines, one "value"', "empty": ""}]

    def test_a_csv_as_pandas_writes_it_and_one_with_tabs(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text(",image\n0,a.jpg\n")
        (tmp_path / "m.tsv").write_text("image\tnote\na.jpg\tone, two\n")
        assert read_manifest(tmp_path / "m.csv")["unnamed_0"].to_pylist() == ["0"]
        assert read_manifest(tmp_path / "m.tsv")["note"].to_pylist() == ["one, two"]


def test_a_file_named_outright_may_begin_with_an_underscore(tmp_path: Path) -> None:
    assert len(read_manifest(write_manifest(tmp_path / "_m.jsonl", ROWS))) == len(ROWS)


def test_planning_loads_nothing_heavy(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.parquet", ROWS)
    code = (
        "import sys; from pipelines.sources import *; plan_source(SourceOptions(sys.argv[1]));"
        "print([m for m in ('ray', 'torch', 's3fs', 'fsspec', 'aiohttp') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_batches_are_short_when_media_are_inline(tmp_path: Path) -> None:
    rows = [{"image": bytes([number]) * 100_000} for number in range(40)]
    plan = plan_of(write_manifest(tmp_path / "m.parquet", rows))
    sizes = [
        len(table)
        for split in plan.splits
        for table in read_split(plan, split, batch_bytes=1_000_000)
    ]
    assert sum(sizes) == 40
    assert max(sizes) <= 10


def test_columns_named_like_the_pipelines_own_pass_under_another_name(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "__media": 1, "__error": "x", "manifest___error": "y"}]
    (row,) = read_manifest(write_manifest(tmp_path / "m.jsonl", rows)).to_pylist()
    assert row["manifest___media"] == 1
    assert {row["manifest___error"], row["manifest_manifest___error"]} == {"x", "y"}
    assert row["__error"] is None
