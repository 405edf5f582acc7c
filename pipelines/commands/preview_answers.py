"""Answers units by the stages of a job, in this process and without Ray; the engine stays up
between two prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from internvl_ops.engines import EngineDead
from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import Task
from pipelines import columns as c
from pipelines.commands.preview_tries import Try
from pipelines.commands.preview_words import in_words
from pipelines.sources import SourcePlan
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from pipelines.wiring.engines import engine_maker, tile_size, tokenizer_checkpoint
from pipelines.wiring.generators import generator_maker
from pipelines.wiring.media import read_policy, reader_arguments
from pipelines.wiring.preparers import prepare_arguments

BLOCK = 4  # units that are prepared and asked together
BLOCKS_AT_ONCE = 16


@dataclass(frozen=True)
class Answer:
    """What a try says of a unit.

    Args:
        text: The answer, in words: of boxes, scores and labels what they are.
        boxes: Label and corners in pixels, if the task finds boxes.
        score: If the task scores.
        label: If the task labels.
        completion_tokens: Tokens of the answer.
        finish_reason: Why it ended.
        error: Why there is none; None if there is one.
    """

    text: str = ""
    boxes: Sequence[Mapping[str, Any]] = ()
    score: float | None = None
    label: str | None = None
    completion_tokens: int = 0
    finish_reason: str = ""
    error: str | None = None


@dataclass
class Unit:
    """A unit as it is shown.

    Args:
        name: Its id.
        width: Width of its picture, upright, in pixels; 0 without one.
        height: Height of its picture.
        picture: A small JPEG of it; None without one.
        asked: The row's own question; empty if it has none.
    """

    name: str
    width: int = 0
    height: int = 0
    picture: bytes | None = None
    asked: str = ""


@dataclass
class Tried:
    """What is known of a try once it has answered.

    Args:
        attempt: The try.
        answers: One a unit.
        seconds: From the first unit to the last answer, with the start of the engine if it was the
            first.
    """

    attempt: Try
    answers: Sequence[Answer] = field(default_factory=list)
    seconds: float = 0.0


class Session:
    """One engine, and what prepares units for it.

    Args:
        first: A try; others may be answered that differ from it in the prompt alone.
        plan: Plan of the input.
    """

    def __init__(self, first: Try, plan: SourcePlan) -> None:
        options, checkpoint, task = first.options, first.checkpoint, first.task
        media = reader_arguments(options, read_policy(options, plan), plan.media_kind)
        self._prepare: dict[str, Any] = prepare_arguments(options, media, plan, checkpoint, task)
        # fetches and decodes for every prompt
        self._preparer = self._prepare.pop("make_preparer")()
        self._model = options.model
        self._generate = Generate(
            engine_maker(options, checkpoint, task, options.gpus_per_engine or 1),
            generator_maker(options, checkpoint, task),
            tile_size(checkpoint),
            hang_s=options.engine_timeout,
            outcome=task.outcome,
        )

    def answer(
        self, attempt: Try, rows: pa.Table, units: Sequence[Unit], told: Callable[[int], None]
    ) -> Tried:
        """The answers to one prompt.

        Args:
            attempt: Has the prompt.
            rows: The units, as `preview_units.units_of` has them.
            units: The same, which get their pictures.
            told: Called with the number of units that are done.

        Raises:
            ConfigurationError: The engine cannot start, or died for good.
        """
        options, task, began = attempt.options, attempt.task, time.monotonic()
        prepare = Prepare(
            lambda: self._preparer, **(self._prepare | {"task": task}), previews=len(rows)
        )
        columns = task.outcome.columns(task.columns, samples=options.n)
        parse = Parse(
            tokenizer_checkpoint(options, attempt.checkpoint),
            task,
            columns,
            options.trust_remote_code,
            compares=options.text_layer != "ignore",
        )
        answers: list[Answer] = []
        with ThreadPoolExecutor(BLOCKS_AT_ONCE) as pool:
            waiting = []
            for at in range(0, len(rows), BLOCK):
                prepared = prepare(rows.slice(at, BLOCK))
                _see(prepared, units[at : at + BLOCK])
                waiting.append(pool.submit(self._generate, prepared))
            try:
                for block in waiting:
                    answers += [_answer(row, task) for row in parse(block.result()).to_pylist()]
                    told(len(answers))
            except EngineDead as death:
                raise ConfigurationError(f"--model {self._model}: {death}") from None
            finally:
                for block in waiting:
                    block.cancel()
        return Tried(attempt, answers, time.monotonic() - began)

    def close(self) -> None:
        """Ends the engine and the decoder's process."""
        self._preparer.close()
        self._generate.close()


def named_units(rows: pa.Table) -> list[Unit]:
    """The units of rows, without their pictures so far."""
    asked = rows["question"].to_pylist() if "question" in rows.column_names else [None] * len(rows)
    return [
        Unit(str(unit_id), asked=question if isinstance(question, str) else "")
        for unit_id, question in zip(rows[c.ID].to_pylist(), asked, strict=True)
    ]


def _see(prepared: pa.Table, units: Sequence[Unit]) -> None:
    for unit, row in zip(
        units, prepared.select(["width", "height", c.PREVIEW]).to_pylist(), strict=True
    ):
        unit.width, unit.height = row["width"] or 0, row["height"] or 0
        unit.picture = row[c.PREVIEW] or unit.picture


def _answer(row: Mapping[str, Any], task: Task) -> Answer:
    if error := row[c.ERROR]:
        return Answer(error=f"{error['kind']} in {error['stage']}: {error['message']}")
    drawn = row.get("samples") or [row]
    return Answer(
        text="\n– – –\n".join(in_words(one, task.columns.names) for one in drawn),
        boxes=row.get("boxes") or () if "boxes" in task.columns.names else (),
        score=row["score"] if "score" in task.columns.names else None,
        label=row["label"] if "label" in task.columns.names else None,
        completion_tokens=row.get("completion_tokens") or 0,
        finish_reason=row.get("finish_reason") or "",
    )
