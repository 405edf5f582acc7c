"""Marks of reviewers in an output: nothing is lost, nothing is changed, and a run never removes
them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.output.folder import REVIEWS, OutputFolder
from pipelines.output.reviews import REVIEWED, SCHEMA, ReviewSession, read_marks, read_reviews
from testing import viewed


def reviews(output: OutputFolder) -> dict[str, tuple]:
    rows = read_reviews(output).to_pylist()
    return {
        row["id"]: (row["review"], row["review_text"], row["review_note"], row["reviewers"])
        for row in rows
    }


def test_the_latest_mark_of_a_reviewer_counts_and_all_are_kept(uri: str) -> None:
    output = OutputFolder(uri)
    session = ReviewSession(output, "anna")
    session.add("a", mark="good")
    session.add("a", mark="bad", text="a better text", note="wrong colour")
    session.add("b", note="look again")
    assert reviews(output) == {
        "a": ("bad", "a better text", "wrong colour", 1),
        "b": (None, None, "look again", 1),
    }
    assert [(mark.id, mark.mark) for mark in read_marks(output)] == [
        ("a", "good"),
        ("a", "bad"),
        ("b", None),
    ]


def test_a_mark_is_one_row_of_a_table_that_others_read(tmp_path: Path) -> None:
    session = ReviewSession(OutputFolder(str(tmp_path)), "anna")
    session.add("a", mark="good")
    found = duckdb.sql(f"SELECT * FROM '{tmp_path}/{REVIEWS}/*.parquet'").to_arrow_table()
    assert found.column_names == SCHEMA.names == ["id", "mark", "text", "note", "reviewer", "at"]
    assert found.drop_columns(["at"]).to_pylist() == [
        {"id": "a", "mark": "good", "text": None, "note": None, "reviewer": "anna"}
    ]


def test_undo_brings_back_what_was_said_before(uri: str) -> None:
    output = OutputFolder(uri)
    ReviewSession(output, "anna").add("a", mark="bad", note="old")
    session = ReviewSession(output, "anna", read_marks(output))
    session.add("a", mark="good")
    session.add("b", mark="good")
    assert [session.undo().id, session.undo().id] == ["b", "a"]  # type: ignore[union-attr]
    assert session.undo() is None
    assert reviews(output) == {"a": ("bad", None, "old", 1)}


def test_two_reviewers_at_once_keep_each_their_own(uri: str) -> None:
    output = OutputFolder(uri)
    one, other, third = (ReviewSession(output, name) for name in ("anna", "ben", "carl"))
    for session, mark in ((one, "good"), (other, "bad")):
        session.add("disputed", mark=mark)
        session.add("agreed", mark="bad")
    third.add("agreed", mark="good", note="I see it")
    assert reviews(output) == {
        "disputed": ("disputed", None, None, 2),
        "agreed": ("bad", None, "I see it", 3),
    }


def test_many_marks_are_in_few_files(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    session = ReviewSession(output, "anna")
    for number in range(101):
        session.add(str(number), mark="good")
    assert len(output.files(REVIEWS)) == 2
    assert len(read_marks(output)) == 101


def test_an_unknown_mark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'fine' is not allowed: good or bad"):
        ReviewSession(OutputFolder(str(tmp_path)), "anna").add("a", mark="fine")


def test_an_output_without_marks_has_an_empty_review(tmp_path: Path) -> None:
    assert read_reviews(OutputFolder(str(tmp_path))).schema == REVIEWED
    assert len(read_reviews(OutputFolder(str(tmp_path)))) == 0


def test_overwriting_removes_results_and_keeps_reviews(tmp_path: Path) -> None:
    output = OutputFolder(str(viewed.captions(tmp_path, count=1)))
    ReviewSession(output, "anna").add("unit-000", mark="good")
    output.clear()
    assert output.files("results") == []
    assert reviews(output) == {"unit-000": ("good", None, None, 1)}
