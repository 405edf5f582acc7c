"""Figures about labels: a confusion table, precision and recall of each label, accuracy, log
loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_SMALLEST = 1e-12  # probability
TOP = 5  # labels among which the truth counts as found for the figure ``top5``


def label_figures(
    labels: Sequence[str],
    rows: Sequence[tuple[set[str], str | None, Mapping[str, float]]],
    *,
    several: bool,
    applies: float = 0.5,
) -> dict[str, Any]:
    """The figures as JSON.

    Args:
        labels: In their order.
        rows: Of each unit the true labels, the label it got, and the probability of each label.
        several: Whether several labels may be true. A label is then found where its probability is
            at least `applies`, and there is no confusion table.
        applies: See there.
    """
    hits: Counter[str] = Counter()
    given: Counter[str] = Counter()
    true: Counter[str] = Counter()
    confusion: Counter[tuple[str, str | None]] = Counter()
    exact, top, loss = 0, 0, 0.0
    for truth, label, chances in rows:
        found: set[str] = {label} if label is not None else set()
        if several:
            found = {name for name in labels if chances.get(name, 0) >= applies}
        hits.update(found & truth)
        given.update(found)
        true.update(truth)
        exact += found == truth
        top += not several and bool(
            truth & set(sorted(chances, key=chances.__getitem__, reverse=True)[:TOP])
        )
        loss += _loss(labels, truth, chances, several)
        if not several:
            confusion[next(iter(truth)), label] += 1
    names = [*labels, *sorted(set(true) - set(labels))]
    figures: dict[str, Any] = {
        "rows": len(rows),
        "accuracy": exact / len(rows) if rows else None,
        "log_loss": loss / len(rows) if rows else None,
        **({} if several or len(labels) <= TOP else {"top5": top / len(rows) if rows else None}),
        "labels": {
            name: {
                "true": true[name],
                "given": given[name],
                "precision": hits[name] / given[name] if given[name] else None,
                "recall": hits[name] / true[name] if true[name] else None,
            }
            for name in names
        },
    }
    if not several:
        by_truth = {name: {label: confusion[name, label] for label in labels} for name in names}
        figures["confusion"] = {
            name: {label: n for label, n in row.items() if n} for name, row in by_truth.items()
        }
    return figures


def _loss(
    labels: Sequence[str], truth: set[str], chances: Mapping[str, float], several: bool
) -> float:
    """Negative logarithm of the probability that the truth has."""
    if not several:
        return -math.log(max(_SMALLEST, chances.get(next(iter(truth)), 0)))
    right = [chances.get(name, 0) if name in truth else 1 - chances.get(name, 0) for name in labels]
    return -sum(math.log(max(_SMALLEST, one)) for one in right)
