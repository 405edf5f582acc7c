"""How answers and pictures of a run are spread."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.spread import BARS, spread


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200))
def test_every_unit_is_in_one_bar_and_quantiles_are_those_of_numpy(values: list[int]) -> None:
    found = spread(Counter(values))
    assert found is not None
    assert len(found["bars"]) <= BARS
    for bar in found["bars"]:
        assert bar["units"] == sum(bar["from"] <= value <= bar["to"] for value in values)
    assert sum(bar["units"] for bar in found["bars"]) == len(values)
    assert (found["min"], found["max"]) == (min(values), max(values))
    for name, share in (("median", 0.5), ("p95", 0.95)):
        assert found[name] == np.quantile(values, share, method="inverted_cdf")


def test_a_few_small_numbers_have_a_bar_each() -> None:
    found = spread({1: 5, 3: 2, 7: 1})
    assert found is not None
    assert [(bar["from"], bar["to"], bar["units"]) for bar in found["bars"]][:3] == [
        (1, 1, 5),
        (2, 2, 0),
        (3, 3, 2),
    ]


def test_bars_begin_at_easy_numbers() -> None:
    found = spread({17: 1, 512: 1})
    assert found is not None
    assert {bar["from"] % 50 for bar in found["bars"]} == {0}


def test_nothing_has_no_spread() -> None:
    assert spread({}) is None
