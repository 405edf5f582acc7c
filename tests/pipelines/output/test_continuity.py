"""What one night writes and the next one writes reads as one table, or the next night is
refused."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from pipelines import columns as c
from pipelines.ledger.ledger import Ledger
from pipelines.options.job_options import JobOptions
from pipelines.output.continuity import check_columns, columns_of, fit_schema
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.overwrite import begin
from pipelines.output.types_there import holds
from pipelines.output.writer import Writer
from pipelines.stages.carried import Carry
from pipelines.stages.read import read
from pipelines.wiring.sources import plan_of
from tests.pipelines.finished_rows import CAPTION, FINISHED, row


def night(folder: Path, number: int, values: list, type_: pa.DataType) -> None:
    output = OutputFolder(str(folder))
    schema = fit_schema(output, pa.schema([("id", pa.string()), ("n", type_)]))
    column = pa.array(values, type_).cast(schema.field("n").type)
    ids = pa.array([f"{number}-{row}" for row in range(len(values))])
    output.write_table(f"results/{number}.parquet", pa.table([ids, column], schema=schema))


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        (([0.5], pa.float64()), ([1], pa.int64()), [0.5, 1]),
        (([1], pa.int64()), ([2], pa.int16()), [1, 2]),
        (([1], pa.int64()), ([2], pa.uint32()), [1, 2]),
        (([1], pa.int64()), ([None], pa.null()), [1, None]),
        ((["a"], pa.string()), (["b"], pa.string()), ["a", "b"]),
    ],
)
def test_a_type_that_fits_takes_the_older_one(
    tmp_path: Path, first: tuple, second: tuple, read: list
) -> None:
    night(tmp_path, 1, *first)
    night(tmp_path, 2, *second)
    assert (
        pd.read_parquet(tmp_path / "results")["n"]
        .astype(object)
        .where(lambda n: n.notna(), None)
        .tolist()
        == read
    )
    found = duckdb.sql(f"select n from '{tmp_path}/results/*.parquet' order by id").fetchall()
    assert [value for (value,) in found] == read


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (([1], pa.int64()), ([0.5], pa.float64())),
        (([1], pa.int32()), ([1], pa.int64())),
        (([0.5], pa.float32()), ([1], pa.int64())),
        (([1], pa.int64()), ([1], pa.uint64())),
        (([1], pa.int64()), (["1"], pa.string())),
        (
            ([{"a": 1}], pa.struct([("a", pa.int64())])),
            ([{"b": 1}], pa.struct([("b", pa.int64())])),
        ),
        ((["a"], pa.string()), ([["a"]], pa.list_(pa.string()))),
    ],
)
def test_one_that_does_not_is_refused_by_name(tmp_path: Path, first: tuple, second: tuple) -> None:
    night(tmp_path, 1, *first)
    with pytest.raises(ConfigurationError, match=r"column 'n' is .* there, .* now.*--overwrite"):
        night(tmp_path, 2, *second)


@pytest.mark.parametrize(
    ("there", "now", "fits"),
    [
        (pa.timestamp("us"), pa.timestamp("ms"), True),
        (pa.timestamp("us"), pa.timestamp("ns"), False),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin"), True),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), False),
        (pa.timestamp("us"), pa.date32(), True),
        (pa.decimal128(10, 2), pa.decimal128(9, 1), True),
        (pa.decimal128(10, 2), pa.decimal128(10, 1), False),
        (pa.decimal128(20, 0), pa.uint64(), True),
        (pa.list_(pa.int64()), pa.list_(pa.int32()), True),
        (pa.list_(pa.float32(), 2), pa.list_(pa.float32(), 3), False),
        (pa.struct([("a", pa.int64()), ("b", pa.string())]), pa.struct([("a", pa.int8())]), True),
        (pa.bool_(), pa.int64(), False),
    ],
    ids=str,
)
def test_a_column_takes_another_type_where_no_value_is_lost(
    there: pa.DataType, now: pa.DataType, fits: bool
) -> None:
    assert holds(there, now) == fits


class Nights:
    """Runs of the stages that read and write, one a night, each over a manifest of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.output = OutputFolder(str(folder / "out"))

    def options(self, rows: Sequence[dict[str, Any]] | pa.Table, **given: Any) -> JobOptions:
        manifest = (
            self.folder / f"{self.number}.{'parquet' if isinstance(rows, pa.Table) else 'jsonl'}"
        )
        if isinstance(rows, pa.Table):
            pq.write_table(rows, manifest)
        else:
            manifest.write_text(
                "".join(json.dumps({"image": "a.jpg", **one}) + "\n" for one in rows)
            )
        return JobOptions(input=str(manifest), output=self.output.uri, model="m", **given)

    def run(
        self, rows: Sequence[dict[str, Any]] | pa.Table, *, fails: bool = False, **given: Any
    ) -> None:
        self.number += 1
        options = self.options(rows, **given)
        plan = plan_of(options)
        columns = columns_of(self.output, options, plan, CAPTION)
        ledger = Ledger()
        with Writer(
            self.output,
            ledger,
            columns.schema,
            run_id=f"2026010{self.number}T000000-abcdef",
            model="m",
            absent=columns.absent,
        ) as writer:
            splits = pa.table({"split": range(len(plan.splits))})
            for table in read(splits, plan, columns.names, ledger, columns.carry(plan)):
                answers = [
                    row(one, kind="timeout" if fails else None) for one in table[c.ID].to_pylist()
                ]
                finished = pa.Table.from_pylist(answers, FINISHED)
                for field in FINISHED:
                    if field.name not in table.column_names or (fails and field.name == c.ERROR):
                        table = c.with_columns(
                            table, {field.name: finished[field.name].combine_chunks()}, FINISHED
                        )
                writer.add(table)

    def rows(self, folder: str = RESULTS) -> dict[str, dict[str, Any]]:
        """Rows by id, from files that must be the same in names, order and types of their
        columns."""
        tables = [self.output.read_table(name) for name in self.output.files(folder)]
        first = tables[0].schema
        assert all(one.schema.equals(first) for one in tables)
        found = {one["id"]: one for table in tables for one in table.to_pylist()}
        assert len(pd.read_parquet(f"{self.output.root}/{folder}")) == len(found)
        assert len(duckdb.sql(f"from '{self.output.root}/{folder}/*.parquet'").fetchall()) == len(
            found
        )
        return found

    def more(self, unit_id: str, folder: str = RESULTS) -> Any:
        text = self.rows(folder)[unit_id][c.MORE]
        return None if text is None else json.loads(text)


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


class TestColumnsOfTonight:
    def test_what_the_first_night_lacks_is_kept_as_json(self, nights: Nights) -> None:
        nights.run([{"id": "a", "lang": "en"}])
        nights.run(
            [
                {"id": "b", "lang": "de", "score": 0.5, "tags": ["x"], "more": {"n": 2**60}},
                {"id": "c"},
            ]
        )
        assert nights.more("a") is None
        assert nights.more("b") == {"score": 0.5, "tags": ["x"], "more": {"n": 2**60}}
        assert nights.more("c") is None
        assert nights.rows()["b"]["lang"] == "de"

    def test_what_tonight_lacks_is_null(self, nights: Nights) -> None:
        nights.run([{"id": "a", "n": 1, "tags": ["x"], "deep": {"k": 1}}])
        nights.run([{"id": "b"}])
        nights.run([{"id": "c", "tags": ["y"], "n": 3}])
        rows = nights.rows()
        assert [rows["b"][name] for name in ("n", "tags", "deep")] == [None] * 3
        assert (rows["c"]["n"], rows["c"]["tags"]) == (3, ["y"])

    def test_a_column_without_a_value_tonight_may_have_any_type_there(self, nights: Nights) -> None:
        nights.run([{"id": "a", "n": 1, "deep": {"k": 1}}])
        nights.run([{"id": "b", "n": None, "deep": None}])
        assert nights.rows()["b"]["n"] is nights.rows()["b"]["deep"] is None

    def test_a_row_that_failed_keeps_its_columns_in_the_same_way(self, nights: Nights) -> None:
        # an error has a column `kind` of its own
        nights.run([{"id": "a", "kind": "x", "n": 1}], fails=True)
        nights.run([{"id": "b", "kind": "y", "added": 2}], fails=True)
        nights.run([{"id": "c", "kind": "z", "added": 3}])
        nights.run([{"id": "d", "later": 4, "n": 5}], fails=True)
        assert nights.more("b", ERRORS) == {"kind": "y", "added": 2}
        assert nights.more("c") == {"kind": "z", "added": 3}
        assert nights.more("d", ERRORS) == {"later": 4}
        assert nights.rows(ERRORS)["d"]["n"] == 5

    def test_names_that_differ_by_case_alone_are_one_column(self, nights: Nights) -> None:
        nights.run([{"id": "a", "Lang": "en"}])
        nights.run([{"id": "b", "LANG": "de"}])
        nights.run([{"id": "c", "lang": "fr", "Lang": "it"}])
        rows = nights.rows()
        assert [rows[unit]["Lang"] for unit in "abc"] == ["en", "de", "it"]
        assert nights.more("c") == {"lang": "fr"}

    def test_a_value_that_the_older_type_cannot_hold_stands_beside_it(self, nights: Nights) -> None:
        nights.run([{"id": "a", "n": 0.5}])
        nights.run([{"id": "b", "n": 7}, {"id": "c", "n": 2**53 + 1}])
        assert nights.rows()["b"]["n"] == 7
        assert (nights.rows()["c"]["n"], nights.more("c")) == (None, {"n": 2**53 + 1})

    def test_a_new_column_that_the_row_is_asked_by_is_asked_all_the_same(
        self, nights: Nights
    ) -> None:
        nights.run([{"id": "a"}])
        options = nights.options([{"id": "b", "question": "Why?", "other": 1}])
        plan = plan_of(options)
        columns = columns_of(nights.output, options, plan, CAPTION)
        (table,) = read(
            pa.table({"split": [0]}), plan, columns.names, Ledger(), columns.carry(plan)
        )
        assert table["question"].to_pylist() == ["Why?"]
        assert "other" not in table.column_names
        assert json.loads(table[c.MORE][0].as_py()) == {"question": "Why?", "other": 1}

    def test_values_of_every_type_are_spelled_in_json(self, nights: Nights) -> None:
        nights.run([{"id": "a"}])
        columns = {
            "none": pa.nulls(1, pa.int64()),
            "nan": pa.array([float("nan")]),
            "far": pa.array([[float("-inf")]]),
            "when": pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, 678)]),
            "bytes": pa.array([b"\xff\x00"]),
            "large": pa.array([2**64 - 1], pa.uint64()),
            "beyond": pa.array([2**61], pa.timestamp("us")),
        }
        nights.run(pa.table({"id": ["b"], "image": ["b.jpg"], **columns}))
        more = nights.more("b")
        # "beyond" is of a year at which readers fail: null, with a note that has the value.
        assert more == {
            "nan": "NaN",
            "far": ["-Infinity"],
            "when": "2026-01-02T03:04:05.000678",
            "bytes": "/wA=",
            "large": 2**64 - 1,
        }

    @pytest.mark.parametrize("chosen", ["json", "refuse"])
    def test_refused_by_name_where_that_is_wanted(
        self, nights: Nights, chosen: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        nights.run([{"id": "a"}])
        options = nights.options([{"id": "b", "added": 1}], new_columns=chosen)
        if chosen == "json":
            check_columns(nights.output, options, plan_of(options), CAPTION)
            assert "'added'" in caplog.text
            return
        with pytest.raises(ConfigurationError, match=r"no column 'added'.*--new-columns json"):
            check_columns(nights.output, options, plan_of(options), CAPTION)

    def test_added_to_new_files_where_that_is_wanted(self, nights: Nights) -> None:
        nights.run([{"id": "a"}])
        nights.run([{"id": "b", "added": 1}], new_columns="add")
        nights.run([{"id": "c", "added": 2, "again": 3}])
        newest = nights.output.read_table(nights.output.files(RESULTS)[-1])
        assert newest["added"].to_pylist() == [2]
        assert json.loads(newest[c.MORE][0].as_py()) == {"again": 3}

    def test_media_of_another_kind_want_an_output_of_their_own(self, nights: Nights) -> None:
        nights.run([{"id": "a"}])
        options = nights.options(
            [{"id": "b", "image": None, "video": "v.mp4"}], video_column="video"
        )
        with pytest.raises(ConfigurationError, match="no column 'num_frames'"):
            check_columns(nights.output, options, plan_of(options), CAPTION)

    def test_an_output_that_has_no_column_for_json(self, nights: Nights) -> None:
        """As versions before that column wrote it: the same columns go on, new ones are the user's
        decision."""
        nights.run([{"id": "a", "n": 1}])
        name = nights.output.files(RESULTS)[0]
        nights.output.write_table(name, nights.output.read_table(name).drop_columns([c.MORE]))
        nights.run([{"id": "b", "n": 2}])
        assert nights.rows()["b"]["n"] == 2
        options = nights.options([{"id": "c", "added": 1}])
        with pytest.raises(ConfigurationError, match=r"'added'.*--new-columns add"):
            check_columns(nights.output, options, plan_of(options), CAPTION)

    def test_files_that_an_overwrite_will_replace_do_not_count(self, nights: Nights) -> None:
        nights.run([{"id": "a", "n": 1}])
        begin(nights.output, "new", wanted=True, kind="k")
        options = nights.options([{"id": "a", "n": "text"}])
        check_columns(nights.output, options, plan_of(options), CAPTION)

    def test_an_empty_manifest_changes_nothing(self, nights: Nights) -> None:
        nights.run([{"id": "a", "image": "a.jpg", "n": 1}])
        options = nights.options([], new_columns="refuse", video_column="video")
        check_columns(nights.output, options, plan_of(options), CAPTION)


values = (
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=5)
)
manifests = st.lists(
    st.dictionaries(st.sampled_from("nxyNX"), values | st.lists(values, max_size=2)), max_size=4
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=manifests, second=manifests)
def test_two_nights_of_anything_are_one_table_or_the_second_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
) -> None:
    nights = Nights(tmp_path_factory.mktemp("nights"))
    nights.run(
        [{**one, "id": f"1-{number}"} for number, one in enumerate(first)] or [{"id": "1-0"}]
    )
    try:
        nights.run([{**one, "id": f"2-{number}"} for number, one in enumerate(second)])
    except ConfigurationError as error:
        if " there, " not in str(error):
            raise
        second = []
    rows = nights.rows()
    assert len(rows) == max(1, len(first)) + len(second)
    for number, one in enumerate(second):
        for name, value in one.items():
            found = rows[f"2-{number}"]
            kept = {
                key
                for key, there in found.items()
                if there is not None and key.casefold().endswith(name.casefold())
            }
            assert (
                value is None or kept or name in json.loads(found[c.MORE] or "{}") or found["notes"]
            )


def test_a_row_is_carried_whatever_stands_in_it() -> None:
    rows = pa.table({"n": pa.array([1, 2**60]), "new": pa.array(["x", None])})
    carried = Carry({"n": pa.float64()}, {"new": "New"}, more=True)(rows)
    assert carried["n"].to_pylist() == [1.0, None]  # a double has no digits for it
    assert carried[c.MORE].to_pylist() == ['{"New":"x"}', f'{{"n":{2**60}}}']
