"""Which of two sets belong together, so that all pairs together cost least."""

from __future__ import annotations

import numpy as np


def cheapest_pairs(costs: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows and columns, each in at most one pair, as many as there can be, of least cost
    together: by the Hungarian method with shortest paths (Jonker and Volgenant, 1987).

    Args:
        costs: float (rows, columns). Takes the product of both and the smaller of the two.

    Returns:
        (row, column) in the order of rows.
    """
    if costs.shape[0] > costs.shape[1]:
        return sorted((row, column) for column, row in cheapest_pairs(costs.T))
    rows, columns = costs.shape
    # the column 0 stands for none; row and column prices keep every cost left at 0 or more
    row_prices, prices = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        least, before = np.full(columns + 1, np.inf), np.zeros(columns + 1, int)
        used = np.zeros(columns + 1, bool)
        while row_of[column]:
            used[column] = True
            here = row_of[column]
            free = np.flatnonzero(~used[1:]) + 1
            left = costs[here - 1, free - 1] - row_prices[here] - prices[free]
            nearer = left < least[free]
            least[free[nearer]], before[free[nearer]] = left[nearer], column
            following = int(free[np.argmin(least[free])])
            step = least[following]
            row_prices[row_of[used]] += step
            prices[used] -= step
            least[free] -= step
            column = following
        while column:
            row_of[column] = row_of[before[column]]
            column = before[column]
    return sorted(
        (int(row_of[column]) - 1, column - 1) for column in np.flatnonzero(row_of[1:]) + 1
    )
