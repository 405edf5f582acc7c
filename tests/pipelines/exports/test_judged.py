"""Verdicts of a filter and marks of reviewers decide what is exported, and edited answers are what
is trained on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import ask, caption
from pipelines.exports.counts import ExportCounts
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.reviews import ReviewSession
from tests.pipelines.exports.outputs import exported, write_output
from tests.pipelines.exports.test_sft import IMAGE, items

IDS = ("kept", "checked", "dropped", "bad", "edited", "unknown")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An output in out/, verdicts on it in verdicts/, and the marks of two reviewers."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.jpg").write_bytes(b"media")
    rows = [
        {"id": unit, "image": "a.jpg", "response": "x", "caption": f"picture {unit}"}
        for unit in IDS
    ]
    write_output(tmp_path / "out", caption(), rows, manifest=IMAGE, base=tmp_path / "media")
    verdicts = {
        "kept": "keep",
        "checked": "review",
        "dropped": "drop",
        "bad": "keep",
        "edited": "review",
    }
    table = pa.table({"id": list(verdicts), "verdict": list(verdicts.values())})
    OutputFolder(str(tmp_path / "verdicts")).write_table(f"{RESULTS}/a.parquet", table)
    session = ReviewSession(OutputFolder(str(tmp_path / "out")), "ann")
    session.add("bad", "bad")
    session.add("edited", "good", text="a better text")
    return tmp_path


def export(folder: Path, **options: object) -> tuple[dict[str, str], ExportCounts]:
    counts = exported(folder / "out", folder / "sft", "sft", **options)
    return {item["id"]: item["conversations"][1]["value"] for item in items(folder / "sft")}, counts


def test_what_a_filter_keeps_is_exported(folder: Path) -> None:
    found, counts = export(folder, verdicts=str(folder / "verdicts"))
    assert set(found) == {"kept", "bad"}
    assert counts.left_out == {"verdict: review": 2, "verdict: drop": 1, "no verdict": 1}


def test_units_to_review_are_taken_if_asked_for(folder: Path) -> None:
    found, _ = export(folder, verdicts=str(folder / "verdicts"), take=("keep", "review"))
    assert set(found) == {"kept", "bad", "checked", "edited"}


def test_a_person_outranks_a_rule_and_an_edited_text_is_exported(folder: Path) -> None:
    found, counts = export(folder, verdicts=str(folder / "verdicts"), reviews=True)
    assert found == {"kept": "picture kept", "edited": "a better text"}
    assert counts.left_out["review: bad"] == 1
    assert counts.rows_in == counts.rows_out + sum(counts.left_out.values())


def test_reviewers_who_disagree_leave_a_unit_out(folder: Path) -> None:
    ReviewSession(OutputFolder(str(folder / "out")), "bob").add("edited", "bad")
    found, counts = export(folder, reviews=True)
    assert set(found) == {"kept", "checked", "dropped", "unknown"}
    assert counts.left_out == {"review: bad": 1, "review: disputed": 1}


def test_a_new_mark_changes_an_export_that_was_made(folder: Path) -> None:
    assert "checked" in export(folder, reviews=True)[0]
    ReviewSession(OutputFolder(str(folder / "out")), "ann").add("checked", "bad")
    assert "checked" not in export(folder, reviews=True)[0]


def test_an_edited_answer_is_that_of_the_last_turn(tmp_path: Path) -> None:
    turns = [{"question": "First?", "answer": "one"}, {"question": "Second?", "answer": "two"}]
    (tmp_path / "a.jpg").write_bytes(b"media")
    row = {"id": "a", "image": "a.jpg", "response": "two", "answer": "two", "turns": turns}
    write_output(tmp_path / "out", ask(), [row], manifest=IMAGE, base=tmp_path)
    ReviewSession(OutputFolder(str(tmp_path / "out")), "ann").add("a", text="three")
    exported(tmp_path / "out", tmp_path / "sft", "sft", reviews=True)
    (item,) = items(tmp_path / "sft")
    assert [turn["value"] for turn in item["conversations"]][1::2] == ["one", "three"]


def test_what_is_wrong_is_said(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no verdicts"):
        export(folder, verdicts=str(folder / "media"))
    with pytest.raises(ConfigurationError, match="--take"):
        export(folder, take=("review",))
    row = {"id": "a", "image": "a.jpg", "response": "x", "caption": "x"}
    write_output(folder / "new", caption(), [row], manifest=IMAGE, base=folder / "media")
    with pytest.raises(ConfigurationError, match="no reviews"):
        exported(folder / "new", folder / "sft", "sft", reviews=True)
