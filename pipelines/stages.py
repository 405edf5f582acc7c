"""The stages as Ray Data runs them: a table in, the table with more columns out, rows in the same order.

The work itself is in ``internvl_ops``; here is only how it is fed from Arrow columns. A row whose error column is set
passes every stage untouched.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from internvl_ops.engines.base import Completion, Engine, Request, Sampling
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import UnitError
from internvl_ops.media.parts import WHOLE, Part
from internvl_ops.models.config import Checkpoint
from internvl_ops.models.rendering import Placeholder
from internvl_ops.models.tokenizer import Tokenizer
from internvl_ops.prepare import MediaReader, MediaRef, Prepared, Preparer, Unit, preview
from internvl_ops.tasks import Task
from internvl_ops.tasks.base import Answered
from pipelines import columns as c
from pipelines.ledger import RUN, SKIP, unit_key
from pipelines.sources import SourcePlan, read_split

PREVIEWS = 24  # pictures each prepare actor makes for the report


def read(batch: pa.Table, plan: SourcePlan, names: dict[str, str], ledger: Any) -> Iterator[pa.Table]:
    """Manifest rows that need work: claimed in the ledger, rows already done left out, repeated ids as errors.

    Args:
        batch: Numbers of splits, in the column ``split``.
        plan: Whose splits they are.
        names: What the manifest's columns are called from here on.
        ledger: The actor.
    """
    for index in batch["split"].to_pylist():
        for rows in read_split(plan, plan.splits[index]):
            renamed = rows.rename_columns([names.get(name, name) for name in rows.column_names])
            yield claim(renamed, ledger)


def claim(rows: pa.Table, ledger: Any) -> pa.Table:
    """``rows`` without those that have a result or an error already; a repeated id becomes an error."""
    ids, sources = rows[c.ID].to_pylist(), rows[c.SOURCE].to_pylist()
    answers = ray.get(ledger.claim.remote(ids, rows[c.POSITION].to_pylist()))
    errors = rows[c.ERROR].to_pylist()
    for row, answer in enumerate(answers):
        if answer > RUN:
            message = f"id {ids[row]!r} at {sources[row]} stands further up already; the first row with it is kept"
            errors[row] = c.error_value(UnitError("read", "duplicate_id", message))
    keys = [unit_key(unit_id, max(1, answer)) for unit_id, answer in zip(ids, answers, strict=True)]
    rows = c.set_errors(rows, errors).append_column(c.KEY, pa.array(keys, pa.binary(16)))
    return rows.filter(pa.array([answer != SKIP for answer in answers], pa.bool_()))


class Explode:
    """CPU actor: a document becomes its pages, a video its clips; each is claimed in the ledger."""

    def __init__(self, make_reader: Callable[[], MediaReader], ledger: Any) -> None:
        self._reader, self._ledger = make_reader(), ledger

    def __call__(self, rows: pa.Table) -> pa.Table:
        if not len(rows):
            return _with_parts(rows, [])
        return pa.concat_tables([self._explode(rows.slice(row, 1)) for row in range(len(rows))])

    def _explode(self, row: pa.Table) -> pa.Table:
        parts = [] if row[c.ERROR][0].is_valid else self._reader.list_parts(Unit("", _media(row)[0]))
        if isinstance(parts, UnitError) or not parts:
            errors = [c.error_value(parts)] if isinstance(parts, UnitError) else row[c.ERROR].to_pylist()
            return _with_parts(c.set_errors(row, errors), [None])
        ids = [part_id(row[c.ID][0].as_py(), number, part) for number, part in enumerate(parts, 1)]
        call = self._ledger.explode.remote(row[c.KEY][0].as_py(), ids, row[c.POSITION][0].as_py())
        wanted = [number for number, answer in enumerate(ray.get(call)) if answer != SKIP]
        units = row.take(pa.array([0] * len(wanted), pa.int64()))
        own = {c.ID: [ids[number] for number in wanted], c.KEY: [unit_key(ids[number]) for number in wanted]}
        units = c.with_columns(units, own, pa.schema([(c.ID, pa.string()), (c.KEY, pa.binary(16))]))
        return _with_parts(units, [parts[number] for number in wanted], parent=row[c.ID][0].as_py())


def part_id(parent: str, number: int, part: Part) -> str:
    """``parent#page=3`` or ``parent#clip=2``, both counted from 1."""
    return f"{parent}#page={part.page}" if part.page is not None else f"{parent}#clip={number}"


def _with_parts(rows: pa.Table, parts: Sequence[Part | None], parent: str | None = None) -> pa.Table:
    columns = {
        c.PART: [part and vars(part) for part in parts],
        "parent": [parent] * len(parts),
        "page": [part and part.page for part in parts],
        "clip_start": [part and part.start for part in parts],
        "clip_end": [part and part.end for part in parts],
    }
    return c.with_columns(rows, columns, c.EXPLODED)


def _media(rows: pa.Table) -> list[list[MediaRef]]:
    return [[MediaRef(item["uri"] or "", item["bytes"]) for item in media or []] for media in rows[c.MEDIA].to_pylist()]


class Prepare:
    """CPU actor: fetch, decode, tile, render."""

    def __init__(
        self,
        make_preparer: Callable[[], Preparer],
        prompt: str,
        question_column: str | None = None,
        clip_columns: tuple[str, str] | None = None,
    ) -> None:
        self._preparer = make_preparer()
        self._prompt, self._question_column, self._clip_columns = prompt, question_column, clip_columns
        self._previews_left = PREVIEWS

    def __call__(self, rows: pa.Table) -> pa.Table:
        errors = rows[c.ERROR].to_pylist()
        fine = [row for row, error in enumerate(errors) if error is None]
        units = self._units(rows)
        prepared: list[Prepared | None] = [None] * len(rows)
        for row, outcome in zip(fine, self._preparer.prepare([units[row] for row in fine]), strict=True):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            else:
                prepared[row] = outcome
        spent = [name for name in (c.MEDIA, c.PART) if name in rows.column_names]
        rows = c.set_errors(rows.drop_columns(spent), errors)
        return c.with_columns(rows, self._columns(prepared), c.PREPARED)

    def _units(self, rows: pa.Table) -> list[Unit]:
        questions = rows[self._question_column].to_pylist() if self._question_column else [None] * len(rows)
        return [
            Unit(question or self._prompt, media, part)
            for question, media, part in zip(questions, _media(rows), self._parts(rows), strict=True)
        ]

    def _parts(self, rows: pa.Table) -> list[Part]:
        if c.PART in rows.column_names:
            return [Part(**part) if part else WHOLE for part in rows[c.PART].to_pylist()]
        if self._clip_columns:
            times = zip(*(rows[name].to_pylist() for name in self._clip_columns), strict=True)
            return [Part(start=start, end=end) for start, end in times]
        return [WHOLE] * len(rows)

    def _columns(self, prepared: list[Prepared | None]) -> dict[str, list]:
        return {
            c.PROMPT: [p and p.token_ids for p in prepared],
            # The array itself, not its bytes: Arrow copies it once into the block that goes to the engine.
            c.TILES: [None if p is None else np.ascontiguousarray(p.tiles).data.cast("B") for p in prepared],
            c.IMAGES: [
                p and [vars(image) | {"hash": hash_} for image, hash_ in zip(p.images, p.hashes, strict=True)]
                for p in prepared
            ],
            c.PREVIEW: [p and self._preview(p) for p in prepared],
            "width": [p and p.width for p in prepared],
            "height": [p and p.height for p in prepared],
            "num_tiles": [p and len(p.tiles) for p in prepared],
            "num_frames": [p and len(p.images) for p in prepared],
            "notes": [p and p.notes for p in prepared],
        }

    def _preview(self, prepared: Prepared) -> bytes | None:
        if self._previews_left <= 0:
            return None
        self._previews_left -= 1
        return preview(prepared)


class Generate:
    """GPU actor: hosts the engine and keeps it full.

    Ray calls it from many threads at once, each with a small block; all of them wait on one event loop, in which the
    engine runs. A slow row keeps back the few rows of its own block and nothing else.
    """

    def __init__(self, make_engine: Callable[[], Engine], sampling: Sampling, tile_size: int) -> None:
        self._sampling, self._side = sampling, tile_size
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="engine").start()
        self._engine = Recovering(make_engine)
        self._on_loop(self._engine.start())

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __call__(self, rows: pa.Table) -> pa.Table:
        errors = rows[c.ERROR].to_pylist()
        requests = [self._request(rows, row) if error is None else None for row, error in enumerate(errors)]
        outcomes = self._on_loop(self._complete(requests))
        completions: list[dict | None] = [None] * len(rows)
        for row, outcome in enumerate(outcomes):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            elif outcome is not None:
                completions[row] = vars(outcome)
        rows = c.set_errors(rows.drop_columns([c.PROMPT, c.TILES, c.IMAGES]), errors)
        return c.with_columns(rows, {c.COMPLETION: completions}, pa.schema([(c.COMPLETION, c.COMPLETION_TYPE)]))

    def _request(self, rows: pa.Table, row: int) -> Request:
        tiles = np.frombuffer(rows[c.TILES][row].as_buffer(), np.uint8).reshape(-1, 3, self._side, self._side)
        images = rows[c.IMAGES][row].as_py()
        return Request(
            # The place in the manifest, so that an id that a user gives twice cannot meet itself in the engine.
            request_id=f"{rows[c.POSITION][row].as_py()}-{os.urandom(4).hex()}",
            token_ids=rows[c.PROMPT][row].values.to_numpy(),
            tiles=tiles,
            images=[Placeholder(image["offset"], image["length"], image["num_tiles"]) for image in images],
            image_hashes=[image["hash"] for image in images],
        )

    async def _complete(self, requests: list[Request | None]) -> list[Completion | UnitError | None]:
        async def one(request: Request | None) -> Completion | UnitError | None:
            try:
                return await self._engine.generate(request, self._sampling) if request else None
            except UnitError as error:
                return error

        return await asyncio.gather(*(one(request) for request in requests))


class Parse:
    """From token ids to the task's columns."""

    def __init__(self, checkpoint: Checkpoint, task: Task, trust_remote_code: bool) -> None:
        self._tokenizer = Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        self._task = task

    def __call__(self, rows: pa.Table) -> pa.Table:
        errors = rows[c.ERROR].to_pylist()
        answers: list[dict[str, Any]] = [{} for _ in errors]
        sizes = zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)
        for row, (completion, size) in enumerate(zip(rows[c.COMPLETION].to_pylist(), sizes, strict=True)):
            if completion is None:
                continue
            response = self._tokenizer.decode(completion["token_ids"], keep_special=True)
            answers[row] = {
                "response": response,
                "prompt_tokens": completion["prompt_tokens"],
                "completion_tokens": len(completion["token_ids"]),
                "finish_reason": completion["finish_reason"],
            }
            try:
                answers[row] |= self._task.parse(Answered(response, *size))
            except UnitError as error:
                errors[row] = c.error_value(error)
        rows = c.set_errors(rows.drop_columns([c.COMPLETION]), errors)
        schema = pa.unify_schemas([c.ANSWERED, self._task.columns])
        return c.with_columns(rows, {name: [answer.get(name) for answer in answers] for name in schema.names}, schema)
