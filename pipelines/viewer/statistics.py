"""What marks say together: the share of bad units, and how far two reviewers agree, each with its
interval of 95 %."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.output.reviews import OPINIONS, Mark

Z = 1.959963984540054  # 97.5th percentile of the normal distribution


@dataclass(frozen=True)
class Share:
    """A share with its interval by Wilson's score.

    Args:
        hits: Number of units that have the property.
        units: Number of units.
    """

    hits: int
    units: int

    def as_dict(self) -> dict[str, Any]:
        low, high = wilson(self.hits, self.units)
        return {
            "hits": self.hits,
            "units": self.units,
            "share": self.hits / self.units if self.units else None,
            "low": low,
            "high": high,
        }


def wilson(hits: int, units: int) -> tuple[float, float]:
    """The interval of 95 % of a share, by Wilson's score: it stays within 0 and 1, also for few
    units."""
    if not units:
        return 0.0, 1.0
    share = hits / units
    scale = 1 + Z * Z / units
    middle = (share + Z * Z / (2 * units)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / units + Z * Z / (4 * units * units))
    return max(0.0, middle - half), min(1.0, middle + half)


def kappa(counts: Mapping[tuple[str, str], int]) -> dict[str, float | None]:
    """Cohen's kappa: agreement beyond chance, 1 for full agreement, 0 for what chance gives; with
    its interval of 95 %.

    The interval is that of the agreement by Wilson's score, with the chance as it was seen: for few
    units, and for full agreement, it stays as wide as it has to be. All is None if both gave one
    and the same verdict throughout.

    Args:
        counts: Number of units for each pair of verdicts, of the first and the second reviewer.
    """
    units = sum(counts.values())
    agreed = sum(number for (first, second), number in counts.items() if first == second)
    firsts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for (first, second), number in counts.items():
        firsts[first] += number
        seconds[second] += number
    by_chance = sum(firsts[name] * seconds[name] for name in firsts)
    if by_chance == units * units:
        return {"value": None, "low": None, "high": None}
    chance = by_chance / (units * units)
    shares = (agreed / units, *wilson(agreed, units))
    value, low, high = ((share - chance) / (1 - chance) for share in shares)
    return {"value": value, "low": max(-1.0, low), "high": min(1.0, high)}


def summary(
    latest: Mapping[tuple[str, str], Mark], ids: Collection[str] | None = None
) -> dict[str, Any]:
    """Shares of each reviewer and the agreement of each pair of them.

    Args:
        latest: The marks that count, from `latest_marks`.
        ids: Only these units; None for all.
    """
    by_reviewer: dict[str, dict[str, str]] = {}
    for (id, reviewer), mark in latest.items():
        if mark.mark in OPINIONS and (ids is None or id in ids):
            by_reviewer.setdefault(reviewer, {})[id] = mark.mark
    return {
        "reviewers": [
            {"reviewer": name, "bad": Share(list(said.values()).count("bad"), len(said)).as_dict()}
            for name, said in sorted(by_reviewer.items())
        ],
        "pairs": [
            _pair(first, second, by_reviewer[first], by_reviewer[second])
            for first, second in itertools.combinations(sorted(by_reviewer), 2)
        ],
    }


def _pair(
    first: str, second: str, said: Mapping[str, str], other: Mapping[str, str]
) -> dict[str, Any]:
    both = sorted(said.keys() & other.keys())
    counts: dict[tuple[str, str], int] = {}
    for id in both:
        counts[said[id], other[id]] = counts.get((said[id], other[id]), 0) + 1
    agreed = sum(number for (a, b), number in counts.items() if a == b)
    return {
        "first": first,
        "second": second,
        "agreement": Share(agreed, len(both)).as_dict(),
        "kappa": kappa(counts),
        "disagreed": [id for id in both if said[id] != other[id]][:50],
    }
