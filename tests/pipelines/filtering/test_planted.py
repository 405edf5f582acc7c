"""Units with planted faults through filter, review and export: what is found, and what the training
data still has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_quality import GUARD, loop
from testing.planted import planted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("planted")
    return {one["name"]: one for one in loop(planted(120, each=8), folder)}


@pytest.mark.parametrize(
    "rule",
    [
        "repetition: loop",
        "duplicate_lines: duplicate lines",
        "empty answer: empty answer",
        "sentence_length: long sentence",
        "finish_reason: cut answer",
        "language: other language",
        "boxes_outside: wrong box",
    ],
)
def test_a_rule_finds_every_unit_with_its_fault(
    records: dict[str, dict[str, Any]], rule: str
) -> None:
    assert records[rule]["got"] == records[rule]["expected"] > 0


def test_no_sparse_page_and_no_dark_picture_is_blank(records: dict[str, dict[str, Any]]) -> None:
    guard = records[f"{GUARD}: blank page"]
    assert guard["sound_taken"] == {}
    assert guard["got"] >= 0.9 * guard["expected"]


def test_a_table_is_in_no_other_language(records: dict[str, dict[str, Any]]) -> None:
    assert records["language: other language"]["sound_taken"] == {}


def test_a_review_keeps_every_sound_unit_and_leaves_only_what_no_rule_found(
    records: dict[str, dict[str, Any]],
) -> None:
    before, after = records["exported as it is"], records["exported after a review"]
    assert after["got"] == after["expected"] == before["got"]
    found = {
        "loop",
        "duplicate lines",
        "long sentence",
        "cut answer",
        "other language",
        "wrong box",
    }
    assert found <= before["left"].keys()
    assert not found & after["left"].keys()
    assert after["ours"] < 0.4 * before["ours"]


def test_the_same_seed_makes_the_same_units() -> None:
    first, second = planted(24, each=4), planted(24, each=4)
    assert [one.text for one in first] == [one.text for one in second]
    assert all((one.picture == two.picture).all() for one, two in zip(first, second, strict=True))
