"""Blank pages are found, and a page with anything on it is not blank. `make bench-blank` has 200 of
each kind."""

from __future__ import annotations

import random

import numpy as np
import pypdfium2 as pdfium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from internvl_ops.media.blank import is_blank, is_blank_at_length, is_written, sampled
from testing.blank_pages import BLANK, SHOWS_SOMETHING
from testing.born_digital import GOOD, pdf


@pytest.mark.parametrize("kind", BLANK)
def test_blank_scans_are_found(kind: str) -> None:
    found = [is_blank(BLANK[kind](np.random.default_rng(seed))) for seed in range(3)]
    assert all(found)


@pytest.mark.parametrize("kind", SHOWS_SOMETHING)
def test_what_shows_something_is_not_blank(kind: str) -> None:
    found = [is_blank(SHOWS_SOMETHING[kind](np.random.default_rng(seed))) for seed in range(3)]
    assert not any(found)


@given(st.sampled_from([*BLANK, *SHOWS_SOMETHING]), st.integers(10, 1 << 32))
@settings(max_examples=25, deadline=None)
def test_the_glance_calls_nothing_written_that_is_blank_at_length(kind: str, seed: int) -> None:
    page = (BLANK | SHOWS_SOMETHING)[kind](np.random.default_rng(seed))
    assert not (is_written(sampled(page)) and is_blank_at_length(page))


@pytest.mark.parametrize("kind", ["text", "columns", "list"])
def test_a_glance_is_enough_for_a_page_of_text(kind: str) -> None:
    file = pdf([GOOD[kind](random.Random(1), kind)])
    with pdfium.PdfDocument(file) as document:
        assert is_written(sampled(document[0].render(scale=2).to_numpy()))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 3), (40, 40)])
def test_pictures_of_any_size_are_judged(size: tuple[int, int]) -> None:
    assert is_blank(np.full((*size, 3), 200, np.uint8))


def page_with(text: str, size: int, *, left: float, top: float = 0.4) -> np.ndarray:
    image = Image.new("RGB", (1000, 1400), "white")
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text((left * 1000, top * 1400), text, fill=(60, 60, 60), font=font)
    return np.asarray(image)


@pytest.mark.parametrize("size", [11, 13, 16, 20, 26])
def test_a_line_of_text_from_edge_to_edge_is_no_fold(size: int) -> None:
    assert not is_blank(page_with("the minutes of the meeting " * 9, size, left=0))


@pytest.mark.parametrize("top", [0.021, 0.03, 0.04])
def test_a_number_that_touches_the_dark_edge_of_a_scan_is_no_part_of_it(top: float) -> None:
    page = page_with("398", 22, left=0.7, top=top).copy()
    first = np.flatnonzero((page < 200).any(axis=(1, 2)))[0]
    page[:first] = 30
    assert not is_blank(page)


def test_letters_at_the_place_of_holes_are_no_holes() -> None:
    assert not is_blank(page_with("O", 34, left=0.03))
    assert not is_blank(page_with("8", 34, left=0.03))
