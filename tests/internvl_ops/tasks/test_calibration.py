"""Calibration brings back probabilities that a known distortion has changed."""

from __future__ import annotations

import numpy as np
import pytest

from internvl_ops.tasks.calibration import fit

ROWS = 4000


def drawn(several: bool) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities of three labels, and truths that were drawn by them."""
    rng = np.random.default_rng(7)
    if several:
        chances = rng.uniform(0.05, 0.95, (ROWS, 3))
        return chances, (rng.random((ROWS, 3)) < chances).astype(float)
    chances = rng.dirichlet([1, 1, 1], ROWS)
    which = (rng.random((ROWS, 1)) > chances.cumsum(1)).sum(1).clip(0, 2)
    return chances, np.eye(3)[which]


def distorted(
    chances: np.ndarray, several: bool, sharpness: float, offsets: np.ndarray
) -> np.ndarray:
    """What a model says that is too sure of itself and prefers some labels."""
    if several:
        odds = sharpness * np.log(chances / (1 - chances)) + offsets
        return 1 / (1 + np.exp(-odds))
    raised = chances**sharpness * np.exp(offsets)
    return raised / raised.sum(1, keepdims=True)


@pytest.mark.parametrize("several", [False, True])
def test_temperature_and_offsets_are_found(several: bool) -> None:
    true, truth = drawn(several)
    said = distorted(true, several, 2.0, np.array([1.0, 0.0, -1.0]))
    found = fit(said, truth, several=several)
    assert found.sharpness == pytest.approx(0.5, abs=0.05)
    assert (
        np.abs(found.applied(said, several=several) - true).mean()
        < 0.02
        < np.abs(said - true).mean()
    )
    assert found.loss_after < found.loss_before


@pytest.mark.parametrize("several", [False, True])
def test_what_is_calibrated_stays(several: bool) -> None:
    true, truth = drawn(several)
    found = fit(true, truth, several=several)
    assert found.sharpness == pytest.approx(1, abs=0.07)
    assert np.abs(found.applied(true, several=several) - true).max() < 0.05


@pytest.mark.parametrize("several", [False, True])
def test_truths_that_are_all_right_or_never_there_give_numbers(several: bool) -> None:
    """Nothing bounds the sharpness or an offset then but the fit itself."""
    truth = np.eye(3)[[0, 1] * 20]
    said = np.where(truth > 0, 0.98, 0.01)
    found = fit(said, truth, several=several)
    after = found.applied(said, several=several)
    assert np.isfinite(after).all()
    assert (after.argmax(1) == truth.argmax(1)).all()
    impossible = np.where(truth > 0, 0.0, 0.5)
    assert np.isfinite(
        fit(impossible, truth, several=several).applied(impossible, several=several)
    ).all()
