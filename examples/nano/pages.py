"""Draws pages with headings, paragraphs, lists, tables and two columns, as data to learn from and
as a benchmark in the form of OmniDocBench.

python -m examples.nano.pages FOLDER --count 100
"""

from __future__ import annotations

import argparse
import html
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from examples.nano import scenes, texts
from examples.nano.sample_types import Glyph, Picture, Sample, sample_of
from internvl_ops.evaluation.page_benchmarks import PAGE_PROMPT

HELD_OUT = 2**48 + 30_000  # seeds: those of training and of the other sets are below
GRIDS = ((2, 2), (2, 3), (2, 3), (3, 2))  # tiles along the width and the height
Pieces = list[tuple[str, list[tuple[int, str, int]]]]


class Sheet:
    """A page as it is drawn: what is written where, and what an answer says.

    Args:
        rng: What is drawn by chance.
        width: In pixels.
        height: In pixels.
        size: Of the letters of its text, in pixels.
    """

    def __init__(self, rng: random.Random, width: int, height: int, size: int) -> None:
        self.rng, self.width, self.height, self.size = rng, width, height, size
        self.image = Image.new("RGB", (width, height), scenes.background_colour(rng))
        self.canvas = ImageDraw.Draw(self.image)
        self.ink = tuple(rng.randint(0, 90) for _ in range(3))
        self.name = rng.choice(texts.FONTS)
        self.glyphs: list[Glyph] = []
        self.pieces: Pieces = []
        self.blocks: list[dict[str, Any]] = []

    def words(self, width: float, most: int) -> str:
        """At least one word, and up to ``most`` that fit."""
        line = texts.word_of(self.rng)
        for _ in range(most - 1):
            longer = f"{line} {texts.word_of(self.rng)}"
            if self.length(longer) > width:
                break
            line = longer
        while self.length(line) > width:
            line = line[:-1]
        return line

    def length(self, line: str) -> float:
        return sum(texts.width_of(self.name, self.size, letter) for letter in line)

    def write(self, line: str, x: float, y: float) -> Pieces:
        """Writes a line whose top is at ``y``; what an answer says of it."""
        baseline = y + 0.85 * self.size
        font = texts.font_of(self.name, self.size)
        self.canvas.text((x, baseline), line, fill=self.ink, font=font, anchor="ls")
        pieces: Pieces = []
        for letter in line:
            advance = texts.width_of(self.name, self.size, letter)
            middle = baseline - 0.27 * self.size
            self.glyphs.append(Glyph(letter, x + advance / 2, middle, self.size))
            pieces.append((letter, [(0, "glyphs", len(self.glyphs) - 1)]))
            x += advance
        return pieces

    def add(self, category: str, lines: Sequence[Pieces], before: str, between: str) -> None:
        """A block of lines; signs that are not drawn follow from the letter after them."""
        said: Pieces = []
        for number, line in enumerate(lines):
            sign = between if number else ("\n\n" if self.pieces else "") + before
            said += [(sign, line[0][1]), *line]
        self.pieces += said
        text = "\n".join("".join(letter for letter, _ in line) for line in lines)
        order = len(self.blocks) + 1
        self.blocks.append({"category_type": category, "text": text, "order": order})


def heading(sheet: Sheet, x: float, y: float, width: float) -> float:
    name, sheet.name = sheet.name, "DejaVuSans-Bold.ttf"
    sheet.add("title", [sheet.write(sheet.words(width, 2), x, y)], "# ", " ")
    sheet.canvas.line((x, y + 1.1 * sheet.size, x + width, y + 1.1 * sheet.size), fill=sheet.ink)
    sheet.name = name
    return y + 1.5 * sheet.size


def paragraph(sheet: Sheet, x: float, y: float, width: float) -> float:
    lines = []
    for _ in range(sheet.rng.randint(1, 3)):
        if y + sheet.size > sheet.height:
            break
        lines.append(sheet.write(sheet.words(width, 9), x, y))
        y += 1.2 * sheet.size
    sheet.add("text_block", lines, "", " ")
    return y + 0.7 * sheet.size


def items(sheet: Sheet, x: float, y: float, width: float) -> float:
    lines = []
    for _ in range(sheet.rng.randint(2, 3)):
        if y + sheet.size > sheet.height:
            break
        sheet.canvas.ellipse(
            (x, y + 0.4 * sheet.size, x + 0.25 * sheet.size, y + 0.65 * sheet.size), fill=sheet.ink
        )
        lines.append(sheet.write(sheet.words(width - 0.6 * sheet.size, 2), x + 0.6 * sheet.size, y))
        y += 1.2 * sheet.size
    sheet.add("text_block", lines, "- ", "\n- ")
    return y + 0.7 * sheet.size


def table(sheet: Sheet, x: float, y: float, width: float) -> float:
    if y + 2.8 * sheet.size > sheet.height:  # one row would be no table in Markdown
        return paragraph(sheet, x, y, width)
    wide = width / 2
    rows: list[list[Pieces]] = []
    for _ in range(sheet.rng.randint(2, 3)):
        if y + 1.4 * sheet.size > sheet.height:
            break
        row = []
        for column in range(2):
            left = x + column * wide
            box = (left, y, left + wide, y + 1.4 * sheet.size)
            sheet.canvas.rectangle(box, outline=sheet.ink)
            cell = sheet.words(wide - 0.5 * sheet.size, 1)
            row.append(sheet.write(cell, left + 0.25 * sheet.size, y + 0.2 * sheet.size))
        rows.append(row)
        y += 1.4 * sheet.size
    said: Pieces = []
    texts = []
    for number, row in enumerate(rows):
        start = ("\n\n| " if sheet.pieces else "| ", "\n|---|---|\n| ", "\n| ")[min(number, 2)]
        said += [(start, row[0][0][1]), *row[0], (" | ", row[1][0][1]), *row[1], (" |", [])]
        texts.append(["".join(letter for letter, _ in cell) for cell in row])
    sheet.pieces += [(text, marks or said[-2][1]) for text, marks in said]
    cells = ("".join(f"<td>{html.escape(text)}</td>" for text in row) for row in texts)
    rows_html = "".join(f"<tr>{row}</tr>" for row in cells)
    block = {"category_type": "table", "html": f"<table>{rows_html}</table>"}
    sheet.blocks.append(block | {"order": len(sheet.blocks) + 1})
    return y + 0.7 * sheet.size


PARTS: tuple[Callable[[Sheet, float, float, float], float], ...] = (paragraph, items, table)


def draw_page(seed: int) -> tuple[Sample, list[dict[str, Any]]]:
    """The page of this seed: the question about it and its answer in Markdown; and its blocks, as
    OmniDocBench has them."""
    rng = random.Random(f"page {seed}")
    columns, rows = rng.choice(GRIDS)
    scale = rng.uniform(0.9, 1.6)
    width, height = round(columns * texts.UNIT * scale), round(rows * texts.UNIT * scale)
    sheet = Sheet(rng, width, height, round(rng.uniform(22, 28) * scale))
    margin = 0.3 * sheet.size
    y = margin
    if rng.random() < 0.6:
        y = heading(sheet, margin, y, width - 2 * margin)
    lanes = [(margin, width - 2 * margin)]
    if columns == 3 or rng.random() < 0.3:
        lane = (width - 3 * margin) / 2
        lanes = [(margin, lane), (2 * margin + lane, lane)]
    for x, wide in lanes:
        below = y
        while below + 1.5 * sheet.size < height:
            below = rng.choice(PARTS)(sheet, x, below, wide)
            if rng.random() < 0.3:
                break
    picture = Picture(np.array(sheet.image), glyphs=sheet.glyphs)
    return sample_of("page", [picture], PAGE_PROMPT, sheet.pieces), sheet.blocks


def draw_set(folder: Path, count: int) -> Path:
    """Pages that no training has seen, as ``images/`` and ``OmniDocBench.json``."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    pages = []
    for number in range(count):
        sample, blocks = draw_page(HELD_OUT + number)
        name, pixels = f"{number:04d}.png", sample.pictures[0].pixels
        Image.fromarray(pixels).save(folder / "images" / name)
        height, width, _ = pixels.shape
        info = {"image_path": name, "page_no": number, "height": height, "width": width}
        dets = [block | {"anno_id": at, "ignore": False} for at, block in enumerate(blocks)]
        pages.append({"layout_dets": dets, "page_info": info, "extra": {"relation": []}})
    (folder / "OmniDocBench.json").write_text(json.dumps(pages, indent=1))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw held-out pages in OmniDocBench's form.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100, help="pages")
    options = parser.parse_args()
    print(draw_set(options.folder, options.count))


if __name__ == "__main__":
    main()
