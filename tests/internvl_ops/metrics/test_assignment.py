"""Pairs of least cost, against all that there are."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from internvl_ops.metrics.assignment import cheapest_pairs

COSTS = array_shapes(min_dims=2, max_dims=2, max_side=5).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(0, 1, width=16))
)


def test_by_hand() -> None:
    costs = np.array([[0.1, 0.2], [0.1, 0.9], [0.0, 0.3]])
    assert cheapest_pairs(costs) == [(0, 1), (2, 0)]
    assert cheapest_pairs(costs.T) == [(0, 2), (1, 0)]


@given(COSTS)
def test_no_other_pairs_cost_less(costs: np.ndarray) -> None:
    pairs = cheapest_pairs(costs)
    small, large = sorted(costs.shape)
    wide = costs if costs.shape[0] == small else costs.T
    least = min(
        sum(wide[row, column] for row, column in enumerate(chosen))
        for chosen in permutations(range(large), small)
    )

    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == small
    assert sum(costs[pair] for pair in pairs) == pytest.approx(least)
