"""Shares and agreement, against cases computed by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.output.reviews import Mark, latest_marks
from pipelines.viewer.statistics import kappa, summary, wilson


@pytest.mark.parametrize(
    ("hits", "units", "low", "high"),
    # Newcombe 1998, table I: the score method without continuity correction
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(hits: int, units: int, low: float, high: float) -> None:
    assert wilson(hits, units) == pytest.approx((low, high), abs=5e-5)


def test_without_units_nothing_is_known() -> None:
    assert wilson(0, 0) == (0, 1)


def test_kappa_by_hand() -> None:
    # 35 of 50 agree; by chance it would be 0.5 * 0.6 + 0.5 * 0.4
    counts = {("good", "good"): 20, ("good", "bad"): 5, ("bad", "good"): 10, ("bad", "bad"): 15}
    assert kappa(counts)["value"] == pytest.approx(0.4)
    assert kappa(counts)["low"] == pytest.approx((wilson(35, 50)[0] - 0.5) / 0.5)


def test_full_agreement_of_few_units_is_not_certain() -> None:
    told = kappa({("good", "good"): 2, ("bad", "bad"): 2})
    assert told["value"] == 1
    assert told["low"] is not None
    assert told["low"] < 0.1


@pytest.mark.parametrize("counts", [{}, {("good", "good"): 9}])
def test_kappa_is_not_defined_where_there_is_one_verdict(counts: dict) -> None:
    assert kappa(counts)["value"] is None


def test_a_summary_counts_the_units_that_both_marked() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    said = {"anna": "ggbb", "ben": "gbb", "carl": "-"}
    marks = [
        Mark(str(number), name, at, {"g": "good", "b": "bad"}.get(letter), note="seen")
        for name, letters in said.items()
        for number, letter in enumerate(letters)
    ]
    told = summary(latest_marks(marks))
    assert [
        (one["reviewer"], one["bad"]["hits"], one["bad"]["units"]) for one in told["reviewers"]
    ] == [
        ("anna", 2, 4),
        ("ben", 2, 3),
    ]
    (pair,) = told["pairs"]
    assert (pair["agreement"]["hits"], pair["agreement"]["units"], pair["disagreed"]) == (
        2,
        3,
        ["1"],
    )
    assert summary(latest_marks(marks), {"0"})["pairs"][0]["agreement"]["units"] == 1
