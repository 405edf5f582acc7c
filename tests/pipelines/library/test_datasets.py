"""Rows of a caller on their way into the stages and out of them, in this process."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError, UnitError
from pipelines import columns as c
from pipelines.library.datasets import (
    ERROR,
    ERROR_FIELD,
    ShowRows,
    column_names,
    plan_of_table,
    rows_per_block,
    take_in,
)
from pipelines.library.tables import media_kind_of_uri
from pipelines.options.job_options import JobOptions
from pipelines.options.tasks import job_options
from pipelines.sources.options import SourcePlan

OWN = pa.schema([("caption", pa.string()), ("width", pa.int32()), ERROR_FIELD])


def options(name: str = "caption", **chosen: Any) -> JobOptions:
    return job_options(name).model_validate({"input": "i", "output": "o", "model": "m"} | chosen)


def taken(table: pa.Table, **chosen: Any) -> tuple[SourcePlan, pa.Table]:
    plan = plan_of_table(options(**chosen), table.schema)
    return plan, take_in(table, plan, column_names(plan, OWN))


def given_back(plan: SourcePlan, rows: pa.Table) -> pa.Table:
    """The rows as if they had been answered."""
    answered = c.with_columns(rows, {"caption": ["x"] * len(rows), "width": [3] * len(rows)}, OWN)
    return ShowRows(plan, column_names(plan, OWN), OWN, explodes=False)(answered)


class TestTheCallersColumns:
    def test_come_back_with_their_types_and_values(self) -> None:
        table = pa.table(
            {
                "image": pa.array(["a.png", "b.png"], pa.large_string()),
                "id": pa.array([7, 8], pa.int16()),
                "when": pa.array([1, None], pa.timestamp("ns", "UTC")),
                "vector": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
                "kind": pa.array(["x", "y"]).dictionary_encode(),
            }
        )
        back = given_back(*taken(table))
        assert back.select(table.column_names).equals(table)

    def test_are_renamed_where_a_column_of_the_answer_has_the_name(self) -> None:
        back = given_back(*taken(pa.table({"image": ["a.png"], "caption": ["mine"], "error": [1]})))
        assert (back["manifest_caption"][0].as_py(), back["caption"][0].as_py()) == ("mine", "x")
        assert back["manifest_error"][0].as_py() == 1

    def test_inline_bytes_do_not_come_back_but_their_path_does(self) -> None:
        struct = pa.array([{"bytes": b"png", "path": "a.png"}])
        assert given_back(*taken(pa.table({"image": struct})))["image"].to_pylist() == ["a.png"]
        assert "image" not in given_back(*taken(pa.table({"image": [b"png"]}))).column_names

    def test_a_made_id_is_added_that_depends_on_media_and_question(self) -> None:
        table = pa.table({"image": ["a.png", "a.png", "a.png"], "question": ["x", "y", "x"]})
        ids = given_back(*taken(table, name="ask"))["id"].to_pylist()
        assert ids[0] == ids[2] != ids[1]


class TestABlock:
    def test_without_rows_or_columns_has_all_columns_afterwards(self) -> None:
        plan, rows = taken(pa.table({"image": ["a.png"], "n": [1]}))
        assert take_in(pa.table({}), plan, column_names(plan, OWN)).schema == rows.schema

    def test_whose_values_are_all_null_has_the_types_of_the_others(self) -> None:
        plan, rows = taken(pa.table({"image": ["a.png"], "n": [1]}))
        nulls = pa.table({"n": pa.nulls(1), "image": ["b.png"]})
        assert take_in(nulls, plan, column_names(plan, OWN)).schema == rows.schema


def test_a_row_that_cannot_be_asked_is_an_error_alone() -> None:
    _, rows = taken(pa.table({"image": ["a.png", None, ""], "id": ["1", "2", "3"]}))
    errors = rows[c.ERROR].to_pylist()
    assert [error and error["kind"] for error in errors] == [None, "bad_row", "bad_row"]


def test_errors_speak_python_and_have_no_credentials() -> None:
    plan, rows = taken(pa.table({"image": ["a.png"]}))
    message = "https://user:secret@host/a.png may not be read: add --allow https://host/"
    rows = c.set_errors(rows, [c.error_value(UnitError("fetch", "refused", message))])
    (error,) = given_back(plan, rows)[ERROR].to_pylist()
    assert "secret" not in error["message"]
    assert error["message"].endswith("add allow https://host/")


def test_a_column_of_pixels_is_refused_with_what_is_needed() -> None:
    table = pa.table({"image": pa.array([[[1, 2], [3, 4]]])})
    with pytest.raises(ConfigurationError, match="media need a URI"):
        taken(table)


@pytest.mark.parametrize(("target", "rows"), [(None, 8), (128, 8), (64, 8), (16, 2), (1, 1)])
def test_blocks_stay_below_the_size_of_the_session(target: int | None, rows: int) -> None:
    assert rows_per_block(8, target, 64) == rows


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("a.PDF", "document"),
        ("s3://b/a.mp4", "video"),
        ("https://h/a.jpg?x=.pdf", "image"),
        ("a", "image"),
    ],
)
def test_a_path_tells_the_kind_of_its_media(uri: str, kind: str) -> None:
    assert media_kind_of_uri(uri) == kind
