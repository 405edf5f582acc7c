"""Marks through the page's own requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.output.folder import OutputFolder
from pipelines.output.reviews import read_marks, read_reviews
from tests.pipelines.viewer.conftest import Client


def output_of(client: Client) -> OutputFolder:
    return client.viewer.outputs[0].folder


def test_a_mark_is_written_and_is_a_column_at_once(marking: Client) -> None:
    told = marking.post("mark", id="unit-001", mark="bad", note="no rain")
    assert (told["id"], told["review"]["review"], told["marks"][0]["reviewer"]) == (
        "unit-001",
        "bad",
        "anna",
    )
    assert marking.ids(where="review = 'bad' AND review_note LIKE '%rain'") == ["unit-001"]
    assert marking.ids(equal=json.dumps({"review": "bad"})) == ["unit-001"]
    (row,) = read_reviews(output_of(marking)).to_pylist()
    assert (row["id"], row["review"], row["review_note"]) == ("unit-001", "bad", "no rain")


def test_undo_is_a_further_row(marking: Client) -> None:
    marking.post("mark", id="unit-001", mark="bad")
    assert marking.post("undo")["id"] == "unit-001"
    assert marking.post("undo")["id"] is None
    assert marking.ids(where="review IS NOT NULL") == []
    assert [mark.mark for mark in read_marks(output_of(marking))] == ["bad", None]


def test_an_edited_text_is_found_and_compared(marking: Client) -> None:
    marking.post("mark", id="unit-000", text="a green square beside a blue one")
    assert marking.ids(search="green square") == ["unit-000"]
    told = marking.get(
        "difference", first=0, second=0, column="caption", other="review_text", id="unit-000"
    )
    assert {"op": "second", "text": "green"} in told["parts"]


def test_hostile_ids_and_notes_come_back_as_they_are(marking: Client) -> None:
    (id,) = marking.ids(where="id LIKE 'hostile%'")
    marking.post("mark", id=id, note=id)
    (mark,) = marking.get("unit", id=id)["marks"]
    assert (mark["id"], mark["note"]) == (id, id)


@pytest.mark.parametrize(
    "body",
    [{"id": 3, "mark": "good"}, {"mark": "good"}, {"id": "a", "mark": "fine"},
     {"id": "a", "note": 5}, {"id": "a", "output": 9}, {"id": "a", "output": "x"}, [1]],
)  # fmt: skip
def test_a_wrong_mark_changes_nothing(marking: Client, body: object) -> None:
    assert marking.http.post("/api/mark", json=body).status_code == 400
    assert read_marks(output_of(marking)) == []


@pytest.fixture
def ben(marking: Client) -> Iterator[Client]:
    """A second reviewer, with a viewer of his own over the same output."""
    client = Client(Path(output_of(marking).uri), reviewer="ben")
    yield client
    client.close()


def test_two_reviewers_at_once_see_each_other_and_their_agreement(
    marking: Client, ben: Client
) -> None:
    for client, marks in ((marking, "ggbb"), (ben, "gbbb")):
        for number, letter in enumerate(marks):
            client.post("mark", id=f"unit-00{number}", mark={"g": "good", "b": "bad"}[letter])
    told = marking.get("agreement")
    assert {one["reviewer"]: one["bad"]["hits"] for one in told["reviewers"]} == {
        "anna": 2,
        "ben": 3,
    }
    (pair,) = told["pairs"]
    assert (pair["agreement"]["hits"], pair["agreement"]["units"], pair["disagreed"]) == (
        3,
        4,
        ["unit-001"],
    )
    assert marking.ids(where="review = 'disputed'") == ["unit-001"]
    assert marking.get("agreement", search="unit-001")["pairs"][0]["agreement"]["hits"] == 0
    assert {mark["reviewer"] for mark in marking.get("unit", id="unit-003")["marks"]} == {
        "anna",
        "ben",
    }


def test_the_units_of_a_sample_stay_while_they_are_marked(marking: Client) -> None:
    asked = {"sample": 6, "seed": 1, "where": "review IS NULL"}
    drawn = marking.ids(**asked)
    marking.post("mark", id=drawn[0], mark="good")
    assert marking.ids(**asked) == drawn
