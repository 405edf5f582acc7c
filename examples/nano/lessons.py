"""What is asked of nano-InternVL while it learns: drawn samples, and what their pictures tell."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset

from examples.nano import draw, pages
from examples.nano.model import (
    CELL,
    IGNORED,
    MAX_TILES,
    SIDE,
    SLOTS,
    TILE,
    TOKENS,
)
from examples.nano.sample_types import COLOURS, KINDS, LETTERS, STEP, Picture, Sample
from internvl_ops.media.tiling import choose_grid, tile_image
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer

MIXTURE = {
    "caption": 2,
    "count": 3,
    "question": 1,
    "ground": 3,
    "video": 2,
    "ocr": 12,
    "letters": 2,
}
# What each stage is shown, by weight. Pages are taught to a model that reads lines.
MIXTURES = {
    "see": {"letters": 5, "ocr": 1, "clutter": 2},
    "tell": MIXTURE,
    "pages": {**MIXTURE, "ocr": 6, "page": 12},
}


def tiles_of(sample: Sample) -> list[np.ndarray]:
    """The tiles of each picture, cut by the project's own code."""
    most = MAX_TILES if len(sample.pictures) == 1 else 1
    return [
        tile_image(picture.pixels, tile_size=TILE, max_tiles=most) for picture in sample.pictures
    ]


class Told:
    """What lies in each cell of one picture's tiles.

    Args:
        letters: (tiles, TOKENS, SLOTS); 0 is none, IGNORED not asked.
        things: (tiles, TOKENS, 6): kind, colour (0 is none), and the box in hundredths of the tile.
        cells: For each mark, the visual token it is looked up in, counted from the picture's first.
    """

    def __init__(self, picture: Picture, most: int) -> None:
        height, width = picture.pixels.shape[:2]
        grid = choose_grid(width, height, max_tiles=most, tile_size=TILE)
        grids = [grid] if grid == (1, 1) else [grid, (1, 1)]
        count = sum(columns * rows for columns, rows in grids)
        self.letters = np.zeros((count, TOKENS, SLOTS), np.int64)
        self.things = np.zeros((count, TOKENS, 6), np.int64)
        self.things[..., 2:] = IGNORED
        self.cells: dict[tuple[str, int], int] = {}
        first = 0
        for columns, rows in grids:
            scale = (columns * TILE / width, rows * TILE / height)
            self._write(picture, columns, first, scale)
            self._lay(picture, columns, rows, first, scale)
            first += columns * rows

    def _write(
        self, picture: Picture, columns: int, first: int, scale: tuple[float, float]
    ) -> None:
        slots: dict[tuple[int, int], list[int]] = {}
        for index, glyph in enumerate(picture.glyphs):
            x, y = glyph.x * scale[0], glyph.y * scale[1]
            tile = first + int(y // TILE) * columns + int(x // TILE)
            cell = int(y % TILE // CELL) * SIDE + int(x % TILE // CELL)
            self.cells.setdefault(("glyphs", index), tile * TOKENS + cell)
            if glyph.letter in LETTERS:
                slots.setdefault((tile, cell), []).append(1 + LETTERS.index(glyph.letter))
        legible = all(
            glyph.size * scale[0] >= 15 and glyph.size * scale[1] >= 16
            for glyph in picture.glyphs[:1]
        )
        for place, letters in slots.items():
            self.letters[place] = (letters + [0] * SLOTS)[:SLOTS] if legible else IGNORED

    def _lay(
        self,
        picture: Picture,
        columns: int,
        rows: int,
        first: int,
        scale: tuple[float, float],
    ) -> None:
        for index, shape in sorted(enumerate(picture.shapes), key=lambda pair: _area(pair[1].box)):
            box = np.array(shape.box) * [*scale, *scale]
            for tile in range(columns * rows):
                corner = np.tile([tile % columns * TILE, tile // columns * TILE], 2)
                part = np.clip(box - corner, 0, TILE)
                if min(part[2] - part[0], part[3] - part[1]) < 6:
                    continue
                x, y = (part[:2] + part[2:]) / 2
                cell = min(int(y // CELL), SIDE - 1) * SIDE + min(int(x // CELL), SIDE - 1)
                if columns * rows == 1:
                    self.cells["shapes", index] = (first + tile) * TOKENS + cell
                if _area(part) < 0.5 * _area(box):
                    self.things[first + tile, cell] = IGNORED
                else:
                    names = [
                        1 + KINDS.index(shape.kind),
                        1 + list(COLOURS).index(shape.colour),
                    ]
                    self.things[first + tile, cell] = [
                        *names,
                        *np.rint(part / TILE * 100).astype(int),
                    ]


def _area(box: Any) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


class Asker:
    """Prompts and answers as token ids, by the project's own renderer."""

    def __init__(self, files: Path) -> None:
        self.renderer = Renderer(load_checkpoint(str(files)))
        self.tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id("<|im_end|>")
        self.vocabulary = self.tokenizer.get_vocab_size()
        self.context_id = self.renderer.tokenizer.image_context_id

    def prompt(self, sample: Sample, tiles: list[np.ndarray]) -> np.ndarray:
        return self.renderer.render(
            sample.question, [len(part) for part in tiles], media=sample.media
        ).token_ids

    def answer(self, sample: Sample) -> tuple[list[int], list[list[tuple[int, str, int]]]]:
        """Ids, the end included, and for each the marks it follows from."""
        encoded = self.tokenizer.encode(sample.answer)
        return [*encoded.ids, self.end], [
            *(sample.seen[stop - 1] for _, stop in encoded.offsets),
            [],
        ]

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """For each token those that count as nearly right, and their weights: coordinates 10 and 20
        to either side."""
        near = torch.arange(self.vocabulary)[:, None].repeat(1, 5)
        weight = torch.zeros(self.vocabulary, 5)
        weight[:, 0] = 1
        for space in ("", "Ġ"):
            for number in range(0, 1001, STEP):
                steps = [number + STEP * step for step in (0, 1, -1, 2, -2)]
                kept = [step for step in steps if 0 <= step <= 1000]
                at = self.tokenizer.token_to_id(f"{space}{number}")
                scores = torch.tensor(
                    [math.exp(-(((step - number) / STEP) ** 2) / 2) for step in kept]
                )
                near[at, : len(kept)] = torch.tensor(
                    [self.tokenizer.token_to_id(f"{space}{step}") for step in kept]
                )
                weight[at] = 0
                weight[at, : len(kept)] = scores / scores.sum()
        return near, weight


def _drawn(task: str, seed: int) -> Sample:
    return pages.draw_page(seed)[0] if task == "page" else draw.draw(task, seed)


class Batches(Dataset):
    """Batch number n follows from the seed and n. Four at a time are drawn together and sorted by
    length."""

    def __init__(self, stage: str, files: Path, size: int, seed: int) -> None:
        self.stage, self.files, self.size, self.seed = stage, files, size, seed
        self.group = lru_cache(maxsize=1)(self._group)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.group(number // 4)[number % 4]

    def _group(self, number: int) -> list[dict[str, Tensor]]:
        torch.set_num_threads(1)
        rng = random.Random(f"{self.seed} {self.stage} {number}")
        mixture = MIXTURES[self.stage]
        tasks = rng.choices(list(mixture), weights=list(mixture.values()), k=4 * self.size)
        drawn = [self._prepare(_drawn(task, rng.getrandbits(48))) for task in tasks]
        drawn.sort(key=lambda item: len(item["tiles"]) if self.stage == "see" else len(item["ids"]))
        batches = [self._join(drawn[at * self.size : (at + 1) * self.size]) for at in range(4)]
        rng.shuffle(batches)
        return batches

    @property
    def asker(self) -> Asker:
        if not hasattr(self, "_asker"):
            self._asker = Asker(self.files)
        return self._asker

    def _prepare(self, sample: Sample) -> dict[str, Any]:
        tiles = tiles_of(sample)
        told = [
            Told(picture, MAX_TILES if len(sample.pictures) == 1 else 1)
            for picture in sample.pictures
        ]
        item: dict[str, Any] = {
            "tiles": np.concatenate(tiles),
            "letters": np.concatenate([one.letters for one in told]),
            "things": np.concatenate([one.things for one in told]),
        }
        if self.stage == "see":
            return item
        prompt = self.asker.prompt(sample, tiles)
        answer, seen = self.asker.answer(sample)
        places = np.flatnonzero(prompt == self.asker.context_id)
        firsts = np.cumsum([0, *(len(part) * TOKENS for part in tiles)])
        item["ids"] = np.concatenate([prompt, answer]).astype(np.int64)
        item["answer"] = len(answer)
        item["visual_at"] = places
        item["looks"] = [
            (
                len(prompt) - 1 + at,
                [
                    places[firsts[picture] + told[picture].cells[kind, index]]
                    for picture, kind, index in marks
                ],
            )
            for at, marks in enumerate(seen)
            if marks
        ]
        return item

    def _join(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = {
            name: torch.from_numpy(np.concatenate([item[name] for item in items]))
            for name in ("tiles", "letters", "things")
        }
        if self.stage == "see":
            return batch
        length = max(len(item["ids"]) for item in items)
        ids = np.zeros((len(items), length), np.int64)
        asked, answers, visual_at, look_from, look_row, look_to = [], [], [], [], [], []
        for row, item in enumerate(items):
            count = len(item["ids"])
            ids[row, :count] = item["ids"]
            asked.append(row * length + np.arange(count - item["answer"] - 1, count - 1))
            answers.append(item["ids"][-item["answer"] :])
            visual_at.append(row * length + item["visual_at"])
            for position, places in item["looks"]:
                look_row += [len(look_from)] * len(places)
                look_to += places
                look_from.append(row * length + position)
        batch["ids"] = torch.from_numpy(ids)
        for name, parts in (("asked", asked), ("answers", answers), ("visual_at", visual_at)):
            batch[name] = torch.from_numpy(np.concatenate(parts))
        for name, numbers in (
            ("look_from", look_from),
            ("look_row", look_row),
            ("look_to", look_to),
        ):
            batch[name] = torch.tensor(np.array(numbers, np.int64))
        return batch
