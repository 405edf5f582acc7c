"""Draws the demo's pictures, so that they are free of anybody's rights: python -m
examples.demo.draw

Scenes, texts and a clip as ``examples/nano`` draws them, of seeds that it was not trained on, in
the formats that a dataset really holds: one lies on its side and says so in its EXIF block, one is
not a picture at all.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from examples.nano.draw import draw
from examples.nano.held_out import FRAMES, write_clip, write_picture
from examples.nano.sample_types import SHORT, Sample

HERE = Path(__file__).parent
HELD_OUT = 2**48 + 10_000  # seeds of training are below, those of the evaluation just above 2**48
FORMATS = itertools.cycle(["png", "jpg", "webp", "gif"])
SCENES, TEXTS = 8, 4
ON_ITS_SIDE = 6  # EXIF: to be turned clockwise by a quarter


def samples(task: str, least: int) -> Iterator[Sample]:
    """Those whose picture is not small and has ``least`` shapes, or lines of text, and three at
    most, as the captions that it learnt from."""
    for seed in itertools.count(HELD_OUT):
        sample = draw(task, seed)
        height, width, _ = sample.pictures[0].pixels.shape
        marks = len(sample.pictures[0].shapes) or len(sample.answer.splitlines())
        if min(width, height) >= 100 and max(width, height) >= 220 and least <= marks <= 3:
            yield sample


def main() -> None:
    for folder in (HERE / "images", HERE / "text", HERE / "clips"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    phrases = []
    for number, sample in enumerate(itertools.islice(samples("ground", 2), SCENES), 1):
        name = "scene-phone.jpg" if number == 2 else f"scene-{number}.{next(FORMATS)}"
        write_picture(
            HERE / "images" / name, sample.pictures[0].pixels, ON_ITS_SIDE if number == 2 else 1
        )
        phrase = sample.question.split("<ref>")[1].split("</ref>")[0]
        phrases.append({"id": name, "image": f"images/{name}", "phrase": phrase})
    (HERE / "images" / "not-an-image.jpg").write_text("<html><body>503 Slow Down</body></html>\n")
    (HERE / "phrases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in phrases))
    short = (sample for sample in samples("ocr", 1) if len(sample.answer.splitlines()) <= 2)
    for number, sample in enumerate(itertools.islice(short, TEXTS), 1):
        write_picture(HERE / "text" / f"text-{number}.png", sample.pictures[0].pixels)
    clip = draw("video", HELD_OUT, frames=FRAMES)
    write_clip(HERE / "clips" / "clip.mp4", [picture.pixels for picture in clip.pictures])
    moving = clip.pictures[0].shapes[0].name
    questions = ["What moves?" + SHORT, f"Which way does the {moving} move?" + SHORT]
    rows = [
        {"id": f"clip-{at}", "video": "clips/clip.mp4", "question": asked}
        for at, asked in enumerate(questions, 1)
    ]
    (HERE / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
