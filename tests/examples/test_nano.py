"""nano-InternVL: what is drawn is where it is said to be, and training goes on where it stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from examples.nano import draw, evaluate, lessons, train
from examples.nano import model as nano_model
from examples.nano.sample_types import COLOURS
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer


def options(
    state: Path, steps: int, start: Path | None = None, lr: float = 1e-3
) -> argparse.Namespace:
    return argparse.Namespace(
        state=str(state),
        start=start,
        steps=steps,
        decay=0,
        batch=3,
        lr=lr,
        seed=5,
        freeze=False,
        save_every=1e9,
    )


@pytest.mark.parametrize("task", list(draw.DRAWERS))
def test_a_seed_draws_the_same_sample_again(task: str) -> None:
    once, again, other = draw.draw(task, 3), draw.draw(task, 3), draw.draw(task, 4)
    assert (once.question, once.answer) == (again.question, again.answer)
    assert np.array_equal(once.pictures[0].pixels, again.pictures[0].pixels)
    assert not np.array_equal(once.pictures[0].pixels, other.pictures[0].pixels)
    assert len(once.seen) == len(once.answer)


def test_every_shape_is_told_in_a_cell_that_shows_its_colour() -> None:
    checked = 0
    for seed in range(40):
        sample = draw.draw("clutter", seed)
        tiles, told = (
            lessons.tiles_of(sample)[0],
            lessons.Told(sample.pictures[0], nano_model.MAX_TILES),
        )
        assert len(told.things) == len(tiles)
        for tile, cell in zip(*np.nonzero(told.things[..., 0] > 0), strict=True):
            x1, y1, x2, y2 = told.things[tile, cell, 2:] / 100 * nano_model.TILE
            middle = tiles[tile, :, int((y1 + y2) / 2), int((x1 + x2) / 2)]
            colours = list(COLOURS.values())
            nearest = int(np.abs(np.array(colours) - middle).sum(1).argmin())
            if 1 + nearest == told.things[tile, cell, 1]:
                checked += 1
    everything = sum((draw.draw("clutter", seed).pictures[0].shapes != []) for seed in range(40))
    assert checked > 2 * everything


def test_letters_are_told_in_reading_order_across_tiles() -> None:
    for seed in range(30):
        sample = draw.draw("ocr", seed)
        told = lessons.Told(sample.pictures[0], nano_model.MAX_TILES)
        line = sample.answer.split("\n")[0]
        cells = [told.cells["glyphs", index] for index in range(len(line))]
        columns = [
            cell // nano_model.TOKENS * nano_model.SIDE + cell % nano_model.SIDE for cell in cells
        ]
        assert columns == sorted(columns)  # tiles of one row stand side by side


def test_the_files_are_a_checkpoint_whose_tokens_give_the_texts_back(tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "checkpoint"
    state.mkdir()
    train.train("see", options(state, 1))
    train.export(state, out)
    checkpoint = load_checkpoint(str(out))
    assert (checkpoint.tile_size, checkpoint.tokens_per_tile, checkpoint.template) == (
        112,
        16,
        "internvl2_5",
    )
    tokenizer = Tokenizer(checkpoint)
    for task in lessons.MIXTURE:
        answer = draw.draw(task, 1).answer
        assert tokenizer.decode(tokenizer.encode(answer), keep_special=True) == answer


@pytest.mark.slow
def test_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    for folder, stops in (("whole", [3]), ("parts", [1, 3])):
        (tmp_path / folder).mkdir()
        for stop in stops:
            train.train("tell", options(tmp_path / folder, stop))
    whole, parts = (
        torch.load(tmp_path / name / "state.pt")["masters"] for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_training_begins_with_an_exported_checkpoint(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    train.train("see", options(tmp_path / "first", 1))
    train.export(tmp_path / "first", tmp_path / "exported")
    train.train("see", options(tmp_path / "second", 1, start=tmp_path / "exported", lr=0.0))
    train.export(tmp_path / "second", tmp_path / "again")
    first, again = (
        load_file(tmp_path / name / "model.safetensors") for name in ("exported", "again")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)


class TestScores:
    def test_a_box_as_drawn_overlaps_and_a_missing_one_does_not(self) -> None:
        sample = draw.draw("ground", 1)
        assert evaluate.overlap(sample.answer, sample) > 0.8  # answers are rounded
        assert evaluate.overlap("<ref>there</ref>", sample) == 0

    def test_character_errors_are_counted_over_all_texts(self) -> None:
        samples = [draw.draw("ocr", seed) for seed in range(3)]
        answers = [samples[0].answer, samples[1].answer + "xy", samples[2].answer]
        result = evaluate.score("ocr", samples, answers)
        letters = sum(len(sample.answer) for sample in samples)
        assert (result["exact"], result["edits"], result["characters"]) == (2, 2, letters)
