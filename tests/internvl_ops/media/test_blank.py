"""Blank pages are found, and a page with anything on it is not blank. `make bench-blank` has 200 of
each kind."""

from __future__ import annotations

import numpy as np
import pytest

from internvl_ops.media.blank import is_blank
from testing.blank_pages import BLANK, SHOWS_SOMETHING


@pytest.mark.parametrize("kind", BLANK)
def test_blank_scans_are_found(kind: str) -> None:
    found = [is_blank(BLANK[kind](np.random.default_rng(seed))) for seed in range(6)]
    assert all(found)


@pytest.mark.parametrize("kind", SHOWS_SOMETHING)
def test_what_shows_something_is_not_blank(kind: str) -> None:
    found = [is_blank(SHOWS_SOMETHING[kind](np.random.default_rng(seed))) for seed in range(6)]
    assert not any(found)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 3), (40, 40)])
def test_pictures_of_any_size_are_judged(size: tuple[int, int]) -> None:
    assert is_blank(np.full((*size, 3), 200, np.uint8))
