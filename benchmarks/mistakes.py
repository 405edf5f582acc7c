"""Mistakes a pipeline like this one makes easily, each put into the running code, to see that
accuracy tells.

Media are decoded in this process instead of the sandbox's, where a patch would not reach;
everything else is the project's own preparer, vLLM, generator and parser.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.accuracy import score
from examples.nano import held_out
from examples.nano import model as nano_model
from examples.nano.held_out import Asked
from internvl_ops.engines.base import Sampling
from internvl_ops.errors import UnitError
from internvl_ops.generation import Generator, Retries
from internvl_ops.media import image, parts, video
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.tiling import choose_grid
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.templates.conversation_template import TEMPLATES
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.preparer import MediaRef, Preparer, ReadLimits, Unit
from internvl_ops.rendered import Shown
from internvl_ops.tasks import ask, caption, ground, ocr
from internvl_ops.tasks.base import Task
from internvl_ops.tasks.conversation import Answered, Dialogue
from testing.running_engine import RunningEngine

TASKS: dict[str, tuple[Task, str]] = {
    "caption": (caption(), "caption"),
    "line": (ocr(), "text"),
    "ground": (ground(), "boxes"),
    "video": (ask(), "answer"),
}
Mutation = Callable[[Checkpoint], AbstractContextManager[Checkpoint]]


def _tiles_changed(change: Callable[[np.ndarray], np.ndarray]) -> Mutation:
    """Of every image and frame."""

    @contextmanager
    def mutated(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
        real = image.tile_image

        def tile_image(*args: Any, **options: Any) -> np.ndarray:
            return change(real(*args, **options))

        with (
            patch.object(image, "tile_image", tile_image),
            patch.object(video, "tile_image", tile_image),
        ):
            yield checkpoint

    return mutated


def _first_two_swapped(tiles: np.ndarray) -> np.ndarray:
    return tiles if len(tiles) < 3 else tiles[[1, 0, *range(2, len(tiles))]]


@contextmanager
def _another_template(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """InternVL's first; without its end of an answer, which the tokenizer does not know and would
    be refused for."""
    other = replace(TEMPLATES["internvl_zh"], stop=TEMPLATES[checkpoint.template].stop)
    with patch.dict(TEMPLATES, {"internvl_zh": other}):
        yield replace(checkpoint, template="internvl_zh")


@contextmanager
def _orientation_ignored(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    with patch.object(image, "orientation_of", lambda *_: 1):
        yield checkpoint


@contextmanager
def _size_of_the_resized_image(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    real = parts.load_image

    def load_image(data: bytes, options: ImageOptions) -> image.TiledImage:
        tiled = real(data, options)
        columns, rows = choose_grid(
            tiled.width, tiled.height, max_tiles=options.max_tiles, tile_size=options.tile_size
        )
        return replace(tiled, width=columns * options.tile_size, height=rows * options.tile_size)

    with patch.object(parts, "load_image", load_image):
        yield checkpoint


@contextmanager
def _frames_backwards(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    real = parts.load_video

    def load_video(*args: Any) -> video.SampledVideo:
        sampled = real(*args)
        return replace(sampled, tiles=np.ascontiguousarray(sampled.tiles[::-1]))

    with patch.object(parts, "load_video", load_video):
        yield checkpoint


# What is wrong -> how to make it so.
MUTATIONS: dict[str, Mutation] = {
    "first two tiles swapped": _tiles_changed(_first_two_swapped),
    "BGR instead of RGB": _tiles_changed(lambda tiles: tiles[:, ::-1]),
    "thumbnail left out": lambda checkpoint: nullcontext(replace(checkpoint, use_thumbnail=False)),
    "another template": _another_template,
    "orientation ignored": _orientation_ignored,
    "boxes on the resized image": _size_of_the_resized_image,
    "frames in reverse": _frames_backwards,
}


class Guard:
    """Asks held-out questions through the pipeline's own parts, in one process, and scores the
    answers.

    Args:
        engine: Running, with the checkpoint.
        checkpoint: nano-InternVL.
        folder: For the files.
        count: Questions a task.
    """

    def __init__(
        self, engine: RunningEngine, checkpoint: Checkpoint, folder: Path, count: int
    ) -> None:
        self._engine, self._checkpoint, self._folder = engine, checkpoint, folder
        self._asked = {task: held_out.write(folder / task, task, count) for task in TASKS}
        self._numbers = itertools.count()

    def scores(self, mutation: Mutation = nullcontext) -> dict[str, float]:
        """Task -> its figure, with the code as ``mutation`` makes it."""
        with patch.object(Sandbox, "call", lambda _, function, *args, timeout_s: function(*args)):  # noqa: SIM117
            with mutation(self._checkpoint) as checkpoint:
                return {
                    task: score(task, asked, self._answers(task, asked, checkpoint))
                    for task, asked in self._asked.items()
                }

    def _answers(self, name: str, asked: Sequence[Asked], checkpoint: Checkpoint) -> list[Any]:
        task, column = TASKS[name]
        folder = self._folder / name
        options = DecodeOptions(
            kind="video" if name == "video" else "image",
            image=ImageOptions(max_tiles=nano_model.MAX_TILES),
        )
        preparer = Preparer(
            checkpoint, (ReadPolicy(str(folder)), options, ReadLimits()), sampling=Sampling()
        )
        tokenizer = Tokenizer(checkpoint)
        generator = Generator(self._engine.engine, tokenizer, retries=Retries(times=0))
        units = []
        for one in asked:
            row = {"question": one.sample.question if name == "video" else None}
            row |= {"phrase": held_out.phrase_of(one.sample)} if name == "ground" else {}
            units.append(Unit(task.converse(row), [MediaRef(one.file)]))
        try:
            prepared = preparer.prepare(units)
        finally:
            preparer.close()

        async def answer(unit: Unit, ready: Any) -> Any:
            if isinstance(ready, UnitError):
                raise ready
            # A mutation is no part of the hash of a picture: without another name the engine's
            # cache would hide it.
            hashes = [f"{digest} {next(self._numbers)}" for digest in ready.hashes]
            had = await generator.answer(hashes[0], ready.conversations, Shown(ready.tiles, hashes))
            dialogues = [
                Dialogue(
                    conversation,
                    [tokenizer.decode(reply.token_ids, keep_special=True) for reply in samples[0]],
                )
                for conversation, samples in zip(unit.conversations, had, strict=True)
            ]
            return task.parse(Answered(dialogues, ready.width, ready.height))[column]

        async def every() -> list[Any]:
            return list(await asyncio.gather(*(map(answer, units, prepared))))

        answers = self._engine.run(every())
        if name != "ground":
            return answers
        return [
            [(box["x1"], box["y1"], box["x2"], box["y2"]) for box in boxes or []]
            for boxes in answers
        ]
