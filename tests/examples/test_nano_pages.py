"""Drawn pages: an answer that says what the page was drawn with is right by OmniDocBench's figures,
and pages are taught as lines are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.nano import pages, train
from internvl_ops.evaluation import BENCHMARKS, Sample
from internvl_ops.evaluation.omnidocbench import read_pages
from tests.examples.test_nano import options


def test_a_seed_draws_the_same_page_again() -> None:
    (once, blocks), (again, others) = pages.draw_page(3), pages.draw_page(3)
    assert (once.answer, blocks) == (again.answer, others)
    assert np.array_equal(once.pictures[0].pixels, again.pictures[0].pixels)
    assert once.answer != pages.draw_page(4)[0].answer


def test_each_letter_of_an_answer_follows_from_one_that_is_drawn() -> None:
    for seed in range(200):
        sample, _ = pages.draw_page(seed)
        glyphs = sample.pictures[0].glyphs
        height, width, _ = sample.pictures[0].pixels.shape
        assert len(sample.seen) == len(sample.answer)
        for letter, marks in zip(sample.answer, sample.seen, strict=True):
            ((_, _, index),) = marks
            assert 0 <= glyphs[index].x <= width
            assert 0 <= glyphs[index].y <= height
            assert letter in (glyphs[index].letter, *"\n#-| ")


def test_the_drawn_answer_has_the_best_figures(tmp_path: Path) -> None:
    pages.draw_set(tmp_path, 40)
    names = [path.name for path in (tmp_path / "images").iterdir()]
    text = (tmp_path / "OmniDocBench.json").read_text()
    truths = {one.file: one.truth for one in read_pages({"OmniDocBench.json": text}, names)}
    samples = [
        Sample(name, "", pages.draw_page(pages.HELD_OUT + number)[0].answer, answers=[truths[name]])
        for number, name in enumerate(sorted(names))
    ]
    _, figures = BENCHMARKS["omnidocbench"].evaluate(samples)

    assert figures.table["Table TEDS"] == pytest.approx(100)
    assert figures.table["Text edit"] == pytest.approx(0, abs=0.02)
    assert figures.table["Read order edit"] == pytest.approx(0, abs=0.1)
    kinds = {one["category_type"] for page in json.loads(text) for one in page["layout_dets"]}
    assert kinds == {"title", "text_block", "table"}


def test_pages_are_a_stage_of_training(tmp_path: Path) -> None:
    train.train("pages", options(tmp_path, 1))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["steps"] == {"see": 0, "tell": 0, "pages": 1}
