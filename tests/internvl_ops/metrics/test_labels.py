"""Figures about labels, computed by hand."""

from __future__ import annotations

import math

import pytest

from internvl_ops.metrics.labels import label_figures


def test_one_label_a_row() -> None:
    rows = [
        ({"cat"}, "cat", {"cat": 0.5, "dog": 0.5}),
        ({"cat"}, "dog", {"cat": 0.25, "dog": 0.75}),
        ({"dog"}, "dog", {"cat": 0.0, "dog": 1.0}),
        ({"fox"}, "dog", {"cat": 0.0, "dog": 1.0}),  # a truth that is no label
    ]
    found = label_figures(["cat", "dog"], rows, several=False)
    assert (found["rows"], found["accuracy"]) == (4, 0.5)
    assert found["labels"]["cat"] == {"true": 2, "given": 1, "precision": 1, "recall": 0.5}
    assert found["labels"]["dog"] == {"true": 1, "given": 3, "precision": 1 / 3, "recall": 1}
    assert found["labels"]["fox"] == {"true": 1, "given": 0, "precision": None, "recall": 0}
    assert found["confusion"] == {"cat": {"cat": 1, "dog": 1}, "dog": {"dog": 1}, "fox": {"dog": 1}}
    assert found["log_loss"] == pytest.approx((math.log(2) + math.log(4) - math.log(1e-12)) / 4)


def test_several_labels_a_row() -> None:
    rows = [
        ({"cat", "dog"}, "cat", {"cat": 0.9, "dog": 0.4}),
        (set[str](), None, {"cat": 0.5, "dog": 0.1}),
    ]
    found = label_figures(["cat", "dog"], rows, several=True)
    assert found["accuracy"] == 0
    assert found["labels"]["cat"] == {"true": 1, "given": 2, "precision": 0.5, "recall": 1}
    assert found["labels"]["dog"] == {"true": 1, "given": 0, "precision": None, "recall": 0}
    assert "confusion" not in found


def test_no_rows() -> None:
    assert label_figures(["cat"], [], several=False)["accuracy"] is None
