"""Held-out questions as a dataset has them: pictures and clips in files, with a manifest for each
task.

Pictures are PNG, JPEG and WebP, a third of them stored on their side with the EXIF orientation that
says so; clips are H.264 in MP4, 24 frames each.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from examples.nano import draw
from examples.nano.sample_types import FILM, Picture, Sample

FIRST_SEED = 2**48  # those of training are below
# What is asked -> the drawer. A line runs over several tiles; a text has several such lines.
TASKS = {"caption": "caption", "line": "ocr", "text": "ocr", "ground": "ground", "video": "video"}
FORMATS = ("png", "jpg", "webp")
FRAMES, RATE = 24, 8  # of a clip; frames a second
ORIENTATION = 0x0112
STORED = {  # EXIF orientation -> how the upright picture is stored
    6: Image.Transpose.ROTATE_90,
    3: Image.Transpose.ROTATE_180,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Asked:
    """One question about one file.

    Args:
        id: Of the manifest's row.
        file: Name in the folder.
        sample: As it was drawn.
    """

    id: str
    file: str
    sample: Sample


def samples(task: str) -> Iterator[Sample]:
    """Held-out samples of one of `TASKS`; clips are asked a question."""
    for seed in itertools.count(FIRST_SEED):
        sample = draw.draw(TASKS[task], seed, **({"frames": FRAMES} if task == "video" else {}))
        if task in ("line", "text") and not (
            spans_tiles(sample) and ("\n" in sample.answer) == (task == "text")
        ):
            continue
        if task == "video" and sample.question == FILM:
            continue
        yield sample


def spans_tiles(sample: Sample) -> bool:
    """Whether a line of text lies in more than one column of tiles."""
    from examples.nano.model import MAX_TILES, TILE
    from internvl_ops.media.tiling import choose_grid

    picture = sample.pictures[0]
    height, width = picture.pixels.shape[:2]
    columns, _ = choose_grid(width, height, max_tiles=MAX_TILES, tile_size=TILE)
    xs = [glyph.x * columns / width for glyph in picture.glyphs]
    return int(min(xs)) != int(max(xs))


def write(folder: Path, task: str, count: int) -> list[Asked]:
    """Writes the files of ``count`` questions and ``<task>.jsonl``."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = []
    for number, sample in enumerate(itertools.islice(samples(task), count)):
        suffix = "mp4" if task == "video" else FORMATS[number % len(FORMATS)]
        one = Asked(f"{task}-{number:04d}", f"{task}-{number:04d}.{suffix}", sample)
        frames = [picture.pixels for picture in sample.pictures]
        if task == "video":
            write_clip(folder / one.file, frames)
        else:
            write_picture(
                folder / one.file, frames[0], [*STORED][number % 9 // 3] if number % 3 == 2 else 1
            )
        asked.append(one)
    lines = [json.dumps(_row(task, one)) for one in asked]
    (folder / f"{task}.jsonl").write_text("\n".join(lines) + "\n")
    return asked


def _row(task: str, one: Asked) -> dict[str, str]:
    if task == "video":
        return {"id": one.id, "video": one.file, "question": one.sample.question}
    phrase = {"phrase": phrase_of(one.sample)} if task == "ground" else {}
    return {"id": one.id, "image": one.file, **phrase}


def phrase_of(sample: Sample) -> str:
    """What a sample of ``ground`` looks for."""
    return sample.question.split("<ref>")[1].split("</ref>")[0]


def true_box(sample: Sample) -> tuple[float, float, float, float]:
    """Of what a sample of ``ground`` looks for, (x1, y1, x2, y2) in pixels."""
    name = phrase_of(sample)
    return next(shape.box for shape in sample.pictures[0].shapes if shape.name == name)


def write_picture(path: Path, pixels: np.ndarray, orientation: int = 1) -> None:
    """Stores uint8 (height, width, 3) in the format of the suffix, turned as the EXIF orientation
    has it."""
    image, exif = Image.fromarray(pixels), Image.Exif()
    if orientation in STORED:
        image = image.transpose(STORED[orientation])
        exif[ORIENTATION] = orientation
    image.save(path, exif=exif, quality=92)


def write_clip(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Stores uint8 (height, width, 3) frames of even sides as H.264."""
    height, width = frames[0].shape[:2]
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))


def read(folder: Path, one: Asked, num_frames: int = 8) -> Sample:
    """The sample as its file shows it, read in the plainest way: the middle frame of each of equal
    parts of a clip."""
    path = folder / one.file
    if path.suffix == ".mp4":
        with av.open(path) as file:
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        part = (len(frames) - 1) / num_frames
        pixels = [frames[int(part / 2 + np.round(part * number))] for number in range(num_frames)]
    else:
        pixels = [np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))]
    return replace(one.sample, pictures=[Picture(each) for each in pixels])
