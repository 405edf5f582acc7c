"""Answers a few inputs in the same way as the jobs, without Ray, and prints each answer as it
grows."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from internvl_ops.engines import Engine, EngineDead
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.generation import Generator
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.kinds import MediaKind
from internvl_ops.media.parts import WHOLE, Part
from internvl_ops.media.tiling import choose_grid, join_tiles
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.preparer import MediaReader, MediaRef, Prepared, Unit, UnitPreparer
from internvl_ops.rendered import Shown
from internvl_ops.replies import Reply
from internvl_ops.tasks import Answered, Dialogue, Task
from internvl_ops.tasks.boxes import Box
from internvl_ops.tasks.drawing import draw_boxes
from pipelines.commands.preview import PreviewOptions, media_kind_of
from pipelines.commands.preview_words import in_words
from pipelines.flags import in_flags
from pipelines.wiring.generators import GeneratorMaker, generator_maker
from pipelines.wiring.media import ReaderArguments, reader_arguments
from pipelines.wiring.preparers import preparer_maker

DRAWN_SIDE = 1600  # pixels of the longer side of a picture with boxes


class Preview:
    """One preview.

    Args:
        options: Options that have been checked.
        checkpoint: Of the model.
        tasks: The task for each kind of input.
        make_engine: Makes the engine.
    """

    def __init__(
        self,
        options: PreviewOptions,
        checkpoint: Checkpoint,
        tasks: Mapping[MediaKind, Task],
        make_engine: Callable[[], Engine[Any]],
    ) -> None:
        self._options, self._checkpoint, self._tasks, self._make_engine = (
            options,
            checkpoint,
            tasks,
            make_engine,
        )
        self._screen = _Screen()

    async def run(self) -> int:
        """Answers every input; returns the exit status."""
        self.load()
        engine: Engine[Any] = self._make_engine()
        try:
            await engine.start()
            listener = self.grow if self._options.n == 1 else None
            generator = self.generator_maker()(engine, listener=listener)
            assert isinstance(generator, Generator), "a preview shows texts"
            return (
                1
                if [uri for uri in self._options.inputs if not await self._answer(uri, generator)]
                else 0
            )
        except EngineDead as death:
            raise ConfigurationError(f"--model {self._options.model}: {death}") from None
        finally:
            engine.shutdown()

    def reading(self, uri: str) -> ReaderArguments:
        """How to read an input. A file that is named on the command line may be read."""
        policy = ReadPolicy(os.getcwd(), (uri,), s3_anonymous=self._options.s3_anonymous)
        return reader_arguments(self._options, policy, media_kind_of(uri))

    def preparer_maker(self, uri: str) -> Callable[[], UnitPreparer]:
        """Makes what prepares an input."""
        return preparer_maker(
            self._options, self.reading(uri), self._checkpoint, self._tasks[media_kind_of(uri)]
        )

    def generator_maker(self) -> GeneratorMaker:
        """Makes what has the conversations, with an engine. All of the tasks are of texts."""
        return generator_maker(self._options, self._checkpoint, next(iter(self._tasks.values())))

    # What follows shows a preview on a terminal. The library collects the same instead.

    def load(self) -> None:
        """The engine starts."""
        print(f"loading {self._options.model}", file=sys.stderr)

    def begin(self, name: str, prepared: Prepared) -> None:
        """The input has been read."""
        print(f"\n── {name}  {prepared.width}x{prepared.height}, {len(prepared.tiles)} tiles")
        self._screen = _Screen()

    def ask(self, question: str) -> None:
        """One of several questions is asked."""
        print(f"\n{question}")

    def grow(self, text: str) -> None:
        """The answer, as far as it is generated."""
        self._screen.grow(text)

    def finish(self, text: str, reply: Reply, seconds: float) -> None:
        """The answer to a question, or a further sample of it, is complete."""
        self._screen.finish(text, reply, seconds)

    def end(self, name: str, answered: Answered, values: Any, prepared: Prepared) -> None:
        """All questions about the input are answered; ``values`` are the task's columns."""
        if {"score", "labels"} & set(values):
            print(f"   {in_words(values, values)}")
        self._draw(name, values, prepared)

    def fail(self, name: str, error: UnitError) -> None:
        """The input cannot be answered."""
        print(f"{name}: {in_flags(str(error))}", file=sys.stderr)

    # What follows is the work.

    async def _answer(self, uri: str, generator: Generator) -> bool:
        """Answers an input; returns whether all of its pages or clips were answered."""
        task = self._tasks[media_kind_of(uri)]
        reading = self.reading(uri)
        preparer = self.preparer_maker(uri)()
        answered = True
        try:
            for name, part in _parts(reading, uri):
                try:
                    await self._show(
                        name,
                        Unit(task.converse({}), [MediaRef(uri)], part),
                        task,
                        preparer,
                        generator,
                    )
                except UnitError as error:
                    answered = False
                    self.fail(name, error)
        except UnitError as error:  # its pages or clips could not be listed
            answered = False
            self.fail(uri, error)
        finally:
            preparer.close()
        return answered

    async def _show(
        self, name: str, unit: Unit, task: Task, preparer: UnitPreparer, generator: Generator
    ) -> None:
        (prepared,) = preparer.prepare([unit])
        if isinstance(prepared, UnitError):
            raise prepared
        self.begin(name, prepared)
        started = time.monotonic()
        dialogues = []
        for conversation, rendered in zip(unit.conversations, prepared.conversations, strict=True):
            if len(unit.conversations) > 1:
                self.ask(conversation.questions[-1])
            (samples,) = await generator.answer(
                name, [rendered], Shown(prepared.tiles, prepared.hashes)
            )
            texts = [[generator.text_of(reply) for reply in turns] for turns in samples]
            for turns, said in zip(samples, texts, strict=True):
                self.finish(said[-1], turns[-1], time.monotonic() - started)
            dialogues.append(Dialogue(conversation, texts[0], samples[0]))
        answered = Answered(dialogues, prepared.width, prepared.height)
        self.end(name, answered, task.parse(answered), prepared)

    def _draw(self, name: str, values: Any, prepared: Prepared) -> None:
        if "boxes" not in values:
            return
        boxes = [Box(**box) for box in values["boxes"] or []]
        for box in boxes:
            print(f"   {box.label}: {box.x1:.0f}, {box.y1:.0f} to {box.x2:.0f}, {box.y2:.0f}")
        if not boxes:
            print("   no boxes")
            return
        path = Path(self._options.drawings) / f"{Path(urlsplit(name).path).stem}.boxes.png"
        self.picture(prepared, boxes).save(path)
        print(f"   drawn in {path}")

    def picture(self, prepared: Prepared, boxes: list[Box]) -> Image.Image:
        """The picture that the model saw, with boxes."""
        return draw_boxes(self._picture(prepared), _scaled(boxes, prepared))

    def _picture(self, prepared: Prepared) -> Image.Image:
        # a video: its first frame
        if prepared.num_images and len(prepared.tiles) == prepared.num_images:
            return Image.fromarray(join_tiles(prepared.tiles[:1], 1, 1)).resize(
                _drawn_size(prepared)
            )
        if not self._checkpoint.dynamic:
            return _unpadded(prepared, pad=self._checkpoint.pad_to_square).resize(
                _drawn_size(prepared)
            )
        columns, rows = choose_grid(
            prepared.width,
            prepared.height,
            min_tiles=min(self._options.min_tiles, self._options.max_tiles),
            max_tiles=self._options.max_tiles,
            tile_size=self._checkpoint.tile_size,
        )
        return Image.fromarray(join_tiles(prepared.tiles, columns, rows)).resize(
            _drawn_size(prepared)
        )


def _unpadded(prepared: Prepared, *, pad: bool) -> Image.Image:
    """The one tile of an image, without its padding."""
    whole = Image.fromarray(join_tiles(prepared.tiles, 1, 1))
    if not pad:
        return whole
    share = whole.width / max(prepared.width, prepared.height)
    width, height = prepared.width * share, prepared.height * share
    left, top = (whole.width - width) / 2, (whole.height - height) / 2
    return whole.crop((round(left), round(top), round(left + width), round(top + height)))


@dataclass
class _Screen:
    """Prints an answer as it grows. A retried answer starts again on a new line."""

    shown: str = ""

    def grow(self, text: str) -> None:
        if not text.startswith(self.shown) and _plain(text) == _plain(self.shown):
            self.shown = text  # the same answer, with the marks that boxes stand between
            return
        if not text.startswith(self.shown):
            print("\n   again:")
            self.shown = ""
        print(text[len(self.shown) :], end="", flush=True)
        self.shown = text

    def finish(self, text: str, reply: Reply, seconds: float) -> None:
        self.grow(text)
        self.shown = ""
        tried = f", attempt {reply.attempts}" if reply.attempts > 1 else ""
        print(
            f"\n   {reply.prompt_tokens} + {reply.completion_tokens} tokens, "
            f"{reply.finish_reason}{tried}, {seconds:.1f} s"
        )


def _plain(text: str) -> str:
    """``text`` without special tokens and blanks around it."""
    return re.sub(r"</?(ref|box)>|<\|[^|]*\|>|</s>", "", text).strip()


def make_quiet() -> None:
    """Silences the libraries, so that only the answers are printed."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)


def _parts(reading: ReaderArguments, uri: str) -> Iterator[tuple[str, Part]]:
    """The units of a file with their names; only the first page of a document, unless --pages names
    others."""
    if not reading[1].explodes:
        yield uri, WHOLE
        return
    reader = MediaReader(*reading)
    try:
        parts = reader.list_parts(Unit((), [MediaRef(uri)]))
    finally:
        reader.close()
    if isinstance(parts, UnitError):
        raise parts
    for number, part in enumerate(parts if reading[1].pages or reading[1].clips else parts[:1], 1):
        yield f"{uri}#page={part.page}" if part.page is not None else f"{uri}#clip={number}", part


def _drawn_size(prepared: Prepared) -> tuple[int, int]:
    scale = min(1.0, DRAWN_SIDE / max(prepared.width, prepared.height))
    return max(1, round(prepared.width * scale)), max(1, round(prepared.height * scale))


def _scaled(boxes: list[Box], prepared: Prepared) -> list[Box]:
    width, height = _drawn_size(prepared)
    across, down = width / prepared.width, height / prepared.height
    return [
        Box(box.label, box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down)
        for box in boxes
    ]
