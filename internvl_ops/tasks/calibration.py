"""Calibration of label probabilities: one temperature and one offset a label, fitted on rows whose
truth is known.

The logarithms of the probabilities are multiplied by the temperature's inverse, the offsets are
added, and the result is normalised again. Where each label has its own yes or no, the same is done
with its log-odds. The offsets correct labels that a model prefers; they are drawn to 0, so that a
label with few rows keeps its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST_ROWS = 20
_SMALLEST = 1e-12  # probability
_DRAWN = 1.0  # strength with which offsets are drawn to 0, in rows
_STEPS = 100
_DIGITS = 4


@dataclass(frozen=True)
class Calibration:
    """What a fit found.

    Args:
        sharpness: Inverse of the temperature.
        offsets: One for each label.
        rows: Number of rows of the fit.
        loss_before: Mean negative log-likelihood of the truth in these rows, without calibration.
        loss_after: The same with it.
    """

    sharpness: float
    offsets: tuple[float, ...]
    rows: int
    loss_before: float
    loss_after: float

    def applied(self, chances: np.ndarray, *, several: bool) -> np.ndarray:
        """Calibrated probabilities, of shape (labels,) or (rows, labels)."""
        return _chances(
            _evidence(chances, several), self.sharpness, np.asarray(self.offsets), several
        )

    def described(self, labels: Sequence[str]) -> dict[str, Any]:
        """As JSON."""
        offsets: Mapping[str, float] = dict(zip(labels, self.offsets, strict=True))
        losses = {"log_loss_before": self.loss_before, "log_loss_after": self.loss_after}
        return {
            "temperature": round(1 / self.sharpness, _DIGITS),
            "offsets": offsets,
            "rows": self.rows,
            **losses,
        }


def fit(chances: np.ndarray, truth: np.ndarray, *, several: bool) -> Calibration:
    """Fits by Newton's method; the loss is convex, so there is one answer.

    Args:
        chances: Probabilities, of shape (rows, labels).
        truth: 1 for a label that is true, else 0; of the same shape.
        several: Whether each label has its own yes or no.
    """
    evidence = _evidence(chances, several)
    found = np.append(1.0, np.zeros(evidence.shape[1]))
    before = loss = _penalised(evidence, truth, found, several)
    for _ in range(_STEPS):
        slope, curvature = _derivatives(evidence, truth, found, several)
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(found)), slope)
        size = 1.0
        while size > 1e-6:
            tried = found - size * step
            # A sharpness of 0 or less would turn the order of the labels around.
            if tried[0] > 1e-3 and (lower := _penalised(evidence, truth, tried, several)) <= loss:
                break
            size /= 2
        else:
            break
        done = loss - lower < 1e-10 * max(1.0, before)
        found, loss = tried, lower
        if done:
            break
    rows = len(truth)
    after = _loss(evidence, truth, found, several)
    # the same on every machine, so that a run can resume
    rounded = [round(float(one), _DIGITS) for one in found]
    return Calibration(
        rounded[0],
        tuple(rounded[1:]),
        rows,
        round(before / rows, _DIGITS),
        round(after / rows, _DIGITS),
    )


def _evidence(chances: np.ndarray, several: bool) -> np.ndarray:
    kept = np.clip(np.asarray(chances, np.float64), _SMALLEST, 1 - _SMALLEST if several else 1)
    found: np.ndarray = np.log(kept) - np.log1p(-kept) if several else np.log(kept)
    return found


def _chances(
    evidence: np.ndarray, sharpness: float, offsets: np.ndarray, several: bool
) -> np.ndarray:
    scores = sharpness * evidence + offsets
    if several:
        positive: np.ndarray = np.exp(-np.logaddexp(0, -scores))
        return positive
    scores = scores - scores.max(-1, keepdims=True)
    raised = np.exp(scores)
    normalised: np.ndarray = raised / raised.sum(-1, keepdims=True)
    return normalised


def _loss(evidence: np.ndarray, truth: np.ndarray, found: np.ndarray, several: bool) -> float:
    chances = _chances(evidence, found[0], found[1:], several)
    lost = truth * np.log(np.clip(chances, _SMALLEST, 1))
    if several:
        lost = lost + (1 - truth) * np.log(np.clip(1 - chances, _SMALLEST, 1))
    return -float(lost.sum())


def _penalised(evidence: np.ndarray, truth: np.ndarray, found: np.ndarray, several: bool) -> float:
    return _loss(evidence, truth, found, several) + _DRAWN / 2 * float(found[1:] @ found[1:])


def _derivatives(
    evidence: np.ndarray, truth: np.ndarray, found: np.ndarray, several: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and curvature of the loss, in the sharpness and then the offsets."""
    chances = _chances(evidence, found[0], found[1:], several)
    wrong = chances - truth
    slope = np.append((wrong * evidence).sum(), wrong.sum(0) + _DRAWN * found[1:])
    if several:
        spread = chances * (1 - chances)
        mixed, among = spread * evidence, np.diag(spread.sum(0))
        own = float((mixed * evidence).sum())
    else:
        mean = (chances * evidence).sum(1, keepdims=True)
        mixed, among = chances * (evidence - mean), np.diag(chances.sum(0)) - chances.T @ chances
        own = float((mixed * evidence).sum())
    curvature = np.empty((len(found), len(found)))
    curvature[0, 0] = own
    curvature[0, 1:] = curvature[1:, 0] = mixed.sum(0)
    curvature[1:, 1:] = among + _DRAWN * np.eye(len(found) - 1)
    return slope, curvature
