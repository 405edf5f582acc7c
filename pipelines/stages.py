"""The stages as Ray Data runs them: a table in, the table with more columns out, rows in the same order.

The work itself is in ``internvl_ops``; here is only how it is fed from Arrow columns. A row whose error column is set
passes every stage untouched.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from internvl_ops.engines.base import Chat, Engine, Sampling
from internvl_ops.engines.device_load import DeviceLoad
from internvl_ops.engines.recovering import Recovering
from internvl_ops.errors import Stage, UnitError
from internvl_ops.gauge import Gauge
from internvl_ops.generation import FINISH_REASONS, ChatConversation, Generator, RenderedConversation, Retries, Shown
from internvl_ops.media.access import safe_uri
from internvl_ops.media.parts import WHOLE, Part
from internvl_ops.models.config import Checkpoint
from internvl_ops.models.rendering import Placeholder
from internvl_ops.models.tokenizer import Tokenizer
from internvl_ops.prepare import MediaReader, MediaRef, Prepared, Unit, UnitPreparer, preview
from internvl_ops.tasks import Answered, Conversation, Dialogue, Task
from pipelines import columns as c
from pipelines.finished import unit_key
from pipelines.ledger import RUN, SKIP
from pipelines.options import row_sampling
from pipelines.patience import read_patiently
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
        split = plan.splits[index]
        for rows in read_patiently(
            functools.partial(read_split, plan, split), f"{safe_uri(split.uri)} could not be read on"
        ):
            renamed = rows.rename_columns([names.get(name, name) for name in rows.column_names])
            yield claim(renamed, ledger)


def claim(rows: pa.Table, ledger: Any) -> pa.Table:
    """``rows`` without those that have a result or an error already; a repeated id becomes an error."""
    ids, sources = rows[c.ID].to_pylist(), rows[c.SOURCE].to_pylist()
    answers = ray.get(ledger.claim.remote(ids, rows[c.POSITION].to_pylist()))
    errors = rows[c.ERROR].to_pylist()
    for row, answer in enumerate(answers):
        if answer > RUN:
            errors[row] = _repeated("read", ids[row], sources[row])
    keys = [unit_key(unit_id, max(1, answer)) for unit_id, answer in zip(ids, answers, strict=True)]
    rows = c.set_errors(rows, errors).append_column(c.KEY, pa.array(keys, pa.binary(16)))
    return rows.filter(pa.array([answer != SKIP for answer in answers], pa.bool_()))


def _repeated(stage: Stage, unit_id: str, source: str) -> dict[str, object]:
    message = f"id {unit_id!r} at {source} stands further up already; the first unit with it is kept"
    return c.error_value(UnitError(stage, "duplicate_id", message))


class Explode:
    """CPU actor: a document becomes its pages, a video its clips; each is claimed in the ledger."""

    def __init__(self, make_reader: Callable[[], MediaReader], ledger: Any) -> None:
        self._reader, self._ledger = make_reader(), ledger

    def __call__(self, rows: pa.Table) -> pa.Table:
        if not len(rows):
            return _with_parts(rows, [])
        return pa.concat_tables([self._explode(rows.slice(row, 1)) for row in range(len(rows))])

    def _explode(self, row: pa.Table) -> pa.Table:
        parts = [] if row[c.ERROR][0].is_valid else self._reader.list_parts(Unit((), media_of(row)[0]))
        if isinstance(parts, UnitError) or not parts:
            errors = [c.error_value(parts)] if isinstance(parts, UnitError) else row[c.ERROR].to_pylist()
            return _with_parts(c.set_errors(row, errors), [None])
        ids = [part_id(row[c.ID][0].as_py(), number, part) for number, part in enumerate(parts, 1)]
        answers = ray.get(self._ledger.explode.remote(row[c.KEY][0].as_py(), ids, row[c.POSITION][0].as_py()))
        wanted = [number for number, answer in enumerate(answers) if answer != SKIP]
        units = row.take(pa.array([0] * len(wanted), pa.int64()))
        own = {
            c.ID: [ids[number] for number in wanted],
            c.KEY: [unit_key(ids[number], answers[number]) for number in wanted],
        }
        units = c.with_columns(units, own, pa.schema([(c.ID, pa.string()), (c.KEY, pa.binary(16))]))
        source = row[c.SOURCE][0].as_py()
        errors = [_repeated("explode", ids[number], source) if answers[number] > RUN else None for number in wanted]
        units = c.set_errors(units, errors)
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


def media_of(rows: pa.Table) -> list[list[MediaRef]]:
    """The files of each row."""
    return [[MediaRef(item["uri"] or "", item["bytes"]) for item in media or []] for media in rows[c.MEDIA].to_pylist()]


class Prepare:
    """CPU actor: fetch, decode, tile, render.

    Args:
        make_preparer: Of the preparer that does it.
        task: What is asked.
        clip_columns: Columns in which a row says which seconds of its video are asked about.
        sampling_column: Column in which a row says how its answer is generated.
    """

    def __init__(
        self,
        make_preparer: Callable[[], UnitPreparer],
        task: Task,
        clip_columns: tuple[str, str] | None = None,
        sampling_column: str | None = None,
    ) -> None:
        self._preparer = make_preparer()
        self._task, self._clip_columns, self._sampling_column = task, clip_columns, sampling_column
        self._previews_left = PREVIEWS
        self._name, self._gauge = _worker_name(), Gauge()

    def __call__(self, rows: pa.Table) -> pa.Table:
        with self._gauge:
            rows = self._prepare(rows)
        return c.with_reading(rows, c.PREPARE_GAUGE, self._name, self._gauge.read())

    def close(self) -> None:
        """Ends the decoder's process; an actor's ends with the actor."""
        self._preparer.close()

    def _prepare(self, rows: pa.Table) -> pa.Table:
        errors = rows[c.ERROR].to_pylist()
        units: dict[int, Unit] = {}
        for row, unit in enumerate(self._units(rows, errors)):
            if isinstance(unit, UnitError):
                errors[row] = c.error_value(unit)
            elif unit is not None:
                units[row] = unit
        prepared: list[Prepared | None] = [None] * len(rows)
        for row, outcome in zip(units, self._preparer.prepare(list(units.values())), strict=True):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            else:
                prepared[row] = outcome
        spent = [name for name in (c.MEDIA, c.PART) if name in rows.column_names]
        rows = c.set_errors(rows.drop_columns(spent), errors)
        return c.with_columns(rows, self._columns(prepared), c.PREPARED)

    def _units(self, rows: pa.Table, errors: Sequence[dict | None]) -> Iterator[Unit | UnitError | None]:
        """A unit a row, None for one that has failed before."""
        asked = _asked(rows, self._task)
        samplings = rows[self._sampling_column].to_pylist() if self._sampling_column else [None] * len(rows)
        for error, row, media, part, sampling in zip(
            errors, asked, media_of(rows), self._parts(rows), samplings, strict=True
        ):
            try:
                yield None if error else Unit(self._task.converse(row), media, part, row_sampling(sampling))
            except UnitError as problem:
                yield problem

    def _parts(self, rows: pa.Table) -> list[Part]:
        if c.PART in rows.column_names:
            return [Part(**part) if part else WHOLE for part in rows[c.PART].to_pylist()]
        if self._clip_columns:
            times = zip(*(rows[name].to_pylist() for name in self._clip_columns), strict=True)
            return [Part(start=start, end=end) for start, end in times]
        return [WHOLE] * len(rows)

    def _columns(self, prepared: list[Prepared | None]) -> dict[str, list]:
        return {
            c.CONVERSATIONS: [p and [_as_value(one) for one in p.conversations] for p in prepared],
            c.TILES: [p and _buffer(p.tiles) for p in prepared],
            c.HASHES: [p and p.hashes for p in prepared],
            c.PICTURES: [p and p.pictures for p in prepared],
            c.PREVIEW: [p and self._preview(p) for p in prepared],
            "width": [p and p.width for p in prepared],
            "height": [p and p.height for p in prepared],
            "num_tiles": [p and p.num_tiles for p in prepared],
            "num_frames": [p and p.num_images for p in prepared],
            "notes": [p and p.notes for p in prepared],
            "source_version": [p and (p.version or None) for p in prepared],
        }

    def _preview(self, prepared: Prepared) -> bytes | None:
        if self._previews_left <= 0:
            return None
        self._previews_left -= 1
        return preview(prepared)


def _worker_name() -> str:
    """Of an actor, among all of a run."""
    return f"{socket.gethostname()}-{os.getpid()}"


def _buffer(tiles: np.ndarray) -> memoryview | bytes:
    """The array itself, not a copy of its bytes: Arrow copies it once into the block that goes to the engine."""
    return np.ascontiguousarray(tiles).data.cast("B") if tiles.size else b""


def _asked(rows: pa.Table, task: Task) -> list[dict[str, object]]:
    """What the task looks at in each row."""
    there = [name for name in task.reads if name in rows.column_names]
    return rows.select(there).to_pylist() if there else [{} for _ in range(len(rows))]


def _as_value(conversation: RenderedConversation | ChatConversation) -> dict[str, object]:
    if isinstance(conversation, ChatConversation):
        told = {"chat": vars(conversation.chat), "follow_ups": conversation.follow_ups, "repair": conversation.repair}
        return {"chat": json.dumps(told), "sampling": json.dumps(vars(conversation.sampling))}
    return vars(conversation) | {
        "images": [vars(image) for image in conversation.images],
        "sampling": json.dumps(vars(conversation.sampling)),
    }


@functools.lru_cache(256)
def _sampling(text: str) -> Sampling:
    values = json.loads(text)
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Sampling(**(values | lists))


class Generate:
    """GPU actor: hosts the engine and keeps it full.

    Ray calls it from many threads at once, each with a small block; all of them wait on one event loop, in which the
    engine runs. A slow row keeps back the few rows of its own block and nothing else.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        make_generator: Callable[[Recovering], Generator],
        tile_size: int,
        hang_s: float,
    ) -> None:
        self._side = tile_size
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="engine").start()
        # Its engine is started by the first request: a run that finds nothing to do loads no model.
        self._engine = Recovering(make_engine, hang_s=hang_s)
        self._generator = make_generator(self._engine)
        self._name, self._load = _worker_name(), DeviceLoad()

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __call__(self, rows: pa.Table) -> pa.Table:
        # Read as the rows come, the last reading is of when rows remained; what follows is the end running out.
        arrived = self._engine.asked.read()
        device_s = self._load.busy_s if arrived else None
        errors = rows[c.ERROR].to_pylist()
        fine = [row for row, error in enumerate(errors) if error is None]
        replies: list[list | None] = [None] * len(rows)
        for row, outcome in zip(fine, self._on_loop(self._answer(rows, fine)), strict=True):
            if isinstance(outcome, UnitError):
                errors[row] = c.error_value(outcome)
            else:
                replies[row] = [[[vars(reply) for reply in turns] for turns in samples] for samples in outcome]
        rows = c.set_errors(rows.drop_columns([c.CONVERSATIONS, c.TILES, c.HASHES, c.PICTURES]), errors)
        rows = c.with_columns(rows, {c.REPLIES: replies}, pa.schema([(c.REPLIES, c.REPLIES_TYPE)]))
        reading = arrived or self._engine.asked.at_start()  # loading the model is no idling
        return c.with_reading(rows, c.ENGINE_GAUGE, self._name, reading, device_s=device_s)

    async def _answer(self, rows: pa.Table, fine: Sequence[int]) -> list[list | UnitError]:
        async def one(row: int) -> list | UnitError:
            # The place in the manifest, so that an id that a user gives twice cannot meet itself in the engine.
            name = f"{rows[c.POSITION][row].as_py()}-{os.urandom(4).hex()}"
            try:
                return await self._generator.answer(name, _conversations(rows, row), self._shown(rows, row))
            except UnitError as error:
                return error

        return await asyncio.gather(*(one(row) for row in fine))

    def _shown(self, rows: pa.Table, row: int) -> Shown:
        return Shown(
            np.frombuffer(rows[c.TILES][row].as_buffer(), np.uint8).reshape(-1, 3, self._side, self._side),
            rows[c.HASHES][row].as_py(),
            rows[c.PICTURES][row].as_py(),
        )


def make_generator(
    engine: Recovering,
    checkpoint: Checkpoint | None,
    trust_remote_code: bool,
    retries: Retries,
    stop: Sequence[str],
    samples: int,
) -> Generator:
    """What has the conversations with ``engine``; without a checkpoint where that answers in texts."""
    tokenizer = None if checkpoint is None else Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
    return Generator(engine, tokenizer, retries=retries, stop=stop, samples=samples)


def _conversations(rows: pa.Table, row: int) -> list[RenderedConversation] | list[ChatConversation]:
    """The conversations of a row; token ids as views, since turning thousands of them into numbers takes a while."""
    values = rows[c.CONVERSATIONS][row].values
    if values.field("chat").null_count == 0:
        return [_chat(value) for value in values.to_pylist()]
    prompts = values.field("token_ids")
    return [
        RenderedConversation(
            token_ids=prompts[number].values.to_numpy(),
            images=[Placeholder(**image) for image in values.field("images")[number].as_py()],
            follow_ups=[np.asarray(ids, np.int32) for ids in values.field("follow_ups")[number].as_py()],
            repair=_ids(values.field("repair")[number].as_py()),
            sampling=_sampling(values.field("sampling")[number].as_py()),
        )
        for number in range(len(values))
    ]


def _chat(value: dict[str, str]) -> ChatConversation:
    told = json.loads(value["chat"])
    return ChatConversation(Chat(**told["chat"]), told["follow_ups"], told["repair"], _sampling(value["sampling"]))


def _ids(values: list[int] | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values, np.int32)


class Parse:
    """From token ids to the task's columns."""

    def __init__(self, checkpoint: Checkpoint | None, task: Task, columns: pa.Schema, trust_remote_code: bool) -> None:
        # Without a checkpoint answers come as texts.
        self._tokenizer = None if checkpoint is None else Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        self._task, self._columns = task, pa.unify_schemas([columns, task.columns])

    def __call__(self, rows: pa.Table) -> pa.Table:
        errors = rows[c.ERROR].to_pylist()
        answers: list[dict[str, Any]] = [{} for _ in errors]
        sizes = zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)
        asked = _asked(rows, self._task)
        for row, (replies, size) in enumerate(zip(rows[c.REPLIES].to_pylist(), sizes, strict=True)):
            if replies is None:
                continue
            try:
                answers[row] = self._parsed(self._task.converse(asked[row]), replies, size)
            except UnitError as error:
                errors[row] = c.error_value(error)
        rows = c.set_errors(rows.drop_columns([c.REPLIES]), errors)
        names = self._columns.names
        return c.with_columns(rows, {name: [answer.get(name) for answer in answers] for name in names}, self._columns)

    def _parsed(self, conversations: list[Conversation], replies: list, size: tuple[int, int]) -> dict[str, Any]:
        """The columns of the first sample, and all samples."""
        first, *others = (list(dialogues) for dialogues in zip(*replies, strict=True))
        samples = [self._sample(conversations, first, size)]
        for dialogues in others:
            try:
                samples.append(self._sample(conversations, dialogues, size))
            except UnitError:  # the unit has its answer; this sample of it has only its text
                samples.append(self._measured(dialogues, self._had(conversations, dialogues, size)))
        prompts = (dialogues[0][-1]["prompt_tokens"] for dialogues in replies)
        return samples[0] | {
            "prompt_tokens": sum(prompts),
            "completion_tokens": sum(sample["completion_tokens"] for sample in samples),
            "samples": samples,
        }

    def _sample(self, conversations: list[Conversation], replies: list, size: tuple[int, int]) -> dict[str, Any]:
        answered = self._had(conversations, replies, size)
        return self._measured(replies, answered) | dict(self._task.parse(answered))

    def _had(self, conversations: list[Conversation], replies: list, size: tuple[int, int]) -> Answered:
        dialogues = [
            Dialogue(conversation, [self._text(reply) for reply in dialogue])
            for conversation, dialogue in zip(conversations, replies, strict=True)
        ]
        return Answered(dialogues, *size)

    def _measured(self, replies: list, answered: Answered) -> dict[str, Any]:
        turns = [reply for dialogue in replies for reply in dialogue]
        return {
            "response": answered.response,
            "completion_tokens": sum(reply["completion_tokens"] for reply in turns),
            "finish_reason": max((reply["finish_reason"] for reply in turns), key=FINISH_REASONS.index),
            "attempts": max(reply["attempts"] for reply in turns),
            "mean_logprob": _mean_logprob(turns),
        }

    def _text(self, reply: dict[str, Any]) -> str:
        if reply["text"] is not None:
            return reply["text"]
        assert self._tokenizer is not None, "answers without texts are of a checkpoint"
        return self._tokenizer.decode(reply["token_ids"], keep_special=True)


def _mean_logprob(turns: list[dict[str, Any]]) -> float | None:
    """Over all tokens of all turns."""
    tokens = sum(reply["completion_tokens"] for reply in turns)
    if not tokens or any(reply["mean_logprob"] is None for reply in turns):
        return None
    return sum(reply["mean_logprob"] * reply["completion_tokens"] for reply in turns) / tokens
