"""How values are spread over the units of a run: quantiles, and the bars of a histogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

BARS = 24  # at most
_STEPS = (1, 2, 5)  # times a power of ten: widths that a person reads easily


def spread(counts: Mapping[int, int]) -> dict[str, Any] | None:
    """Quantiles and a histogram of whole numbers; None if there are none.

    Args:
        counts: Number of units by value.

    Returns:
        ``min``, ``median``, ``p95`` and ``max``; ``bars``, each with ``from`` and ``to``, both
        included, and ``units``.
    """
    if not counts:
        return None
    values = sorted(counts)
    total = sum(counts.values())
    return {
        "min": values[0],
        "median": _quantile(counts, values, total, 0.5),
        "p95": _quantile(counts, values, total, 0.95),
        "max": values[-1],
        "bars": _bars(counts, values[0], values[-1]),
    }


def _quantile(counts: Mapping[int, int], values: list[int], total: int, share: float) -> int:
    """The smallest value that at least this share of the units does not exceed."""
    seen = 0
    for value in values:
        seen += counts[value]
        if seen >= share * total:
            return value
    return values[-1]


def _bars(counts: Mapping[int, int], lowest: int, highest: int) -> list[dict[str, int]]:
    width = _width(highest - lowest + 1)
    first = lowest // width
    units = [0] * (highest // width - first + 1)
    for value, count in counts.items():
        units[value // width - first] += count
    return [
        {"from": (first + number) * width, "to": (first + number + 1) * width - 1, "units": count}
        for number, count in enumerate(units)
    ]


def _width(span: int) -> int:
    """The narrowest easy width with which so many values need at most `BARS` bars, wherever they
    begin."""
    power = max(0, math.floor(math.log10(max(1, span / BARS))))
    candidates = (
        step * 10**exponent for exponent in (power, power + 1, power + 2) for step in _STEPS
    )
    return next(
        width for width in candidates if (width == 1 and span <= BARS) or span / width <= BARS - 1
    )
