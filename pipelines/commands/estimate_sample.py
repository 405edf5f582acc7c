"""Samples units of a manifest: tiles, tokens, errors, and the time to prepare them. Without a
cluster or a model."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

import psutil
import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.media.parts import WHOLE, Part
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.preparer import MediaReader, Unit
from internvl_ops.tasks import Task
from pipelines import columns as c
from pipelines.options.job_options import JobOptions
from pipelines.sources import SourcePlan, read_split
from pipelines.stages.prepare import Prepare
from pipelines.stages.wire import encode_part, media_of
from pipelines.wiring.media import ReaderArguments, explodes, read_policy, reader_arguments
from pipelines.wiring.preparers import prepare_arguments

FILES = 16  # maximum number of manifest files to sample from
BLOCK = 4  # units to prepare between two checks of the time
PATIENCE_S = 10.0  # limit for preparing, and again for counting pages or clips


@dataclass(frozen=True)
class SampledUnit:
    """One unit of the sample.

    Args:
        tiles: Tiles of all its images.
        prompt_tokens: Tokens that the model reads. Image tokens that several prompts share count
            once.
        new_tokens: Maximum number of tokens in its answers.
    """

    tiles: int
    prompt_tokens: int
    new_tokens: int


@dataclass
class SampleResult:
    """The result of sampling.

    Args:
        rows: Number of manifest rows in the sample.
        units_per_row: Average number of pages or clips per row.
        prepared: Number of units that were fully prepared.
        seen: Units without an error.
        errors: Number of units with an error, by kind.
        prepare_s: CPU seconds to prepare one unit; None if none could be prepared.
    """

    rows: int
    units_per_row: float = 1.0
    prepared: int = 0
    seen: list[SampledUnit] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    prepare_s: float | None = None

    @property
    def good_share(self) -> float:
        """Share of the sampled units that have no error."""
        units = len(self.seen) + self.errors.total()
        return len(self.seen) / units if units else 0.0


def take_sample(
    options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint, task: Task
) -> SampleResult:
    """Prepares random units in the same way as the job, for ten seconds. Of the remaining images,
    it reads only the headers."""
    rows = _rows(plan, options.sample_rows)
    sample = SampleResult(len(rows))
    if not len(rows):
        return sample
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    rows = rows.take(order)
    if explodes(options, plan.media_kind):
        rows = _explode(rows, options, plan, sample)
    done = _prepare(rows, options, plan, checkpoint, task, sample)
    if done < len(rows) and plan.media_kind == "image" and sample.seen:
        _read_headers(rows.slice(done), options, plan, checkpoint, sample)
    return sample


def _reading(options: JobOptions, plan: SourcePlan) -> ReaderArguments:
    return reader_arguments(options, read_policy(options, plan), plan.media_kind)


def _rows(plan: SourcePlan, wanted: int) -> pa.Table:
    """The first rows of some files of the manifest."""
    splits = plan.splits[:: -(-len(plan.splits) // FILES) or 1]
    each = -(-wanted // max(1, len(splits)))
    tables = [plan.table_schema.empty_table()]
    for split in splits:
        left = each
        for table in read_split(plan, split, each):
            tables.append(table.slice(0, left))
            left -= len(table)
            if left <= 0:
                break
    return pa.concat_tables(tables).slice(0, wanted)


def _explode(
    rows: pa.Table, options: JobOptions, plan: SourcePlan, sample: SampleResult
) -> pa.Table:
    """Takes one random unit of each file, and records the average number of units."""
    reader = MediaReader(*_reading(options, plan))
    draw = random.Random(1)
    kept: list[int] = []
    parts: list[Part] = []
    errors = rows[c.ERROR].to_pylist()
    counts = []
    try:
        for (row, media), _ in zip(enumerate(media_of(rows)), at_most(PATIENCE_S), strict=False):
            found = WHOLE if errors[row] else reader.list_parts(Unit((), media))
            if isinstance(found, UnitError):
                errors[row], found = c.error_value(found), WHOLE
            several = found if isinstance(found, list) else [WHOLE]
            counts.append(len(several))
            kept.append(row)
            parts.append(draw.choice(several))
    finally:
        reader.close()
    sample.rows, sample.units_per_row = len(kept), fmean(counts) if counts else 1.0
    table = c.set_errors(rows, errors).take(kept)
    return c.with_columns(table, {c.PART: [encode_part(part) for part in parts]}, c.EXPLODED)


def _prepare(
    rows: pa.Table,
    options: JobOptions,
    plan: SourcePlan,
    checkpoint: Checkpoint,
    task: Task,
    sample: SampleResult,
) -> int:
    """Prepares rows until the time limit; returns their number."""
    stage = Prepare(**prepare_arguments(options, _reading(options, plan), plan, checkpoint, task))
    try:
        stage(rows.slice(0, 1))  # starts the decoder's process, which a job does once
        before, done = _cpu_seconds(), 0
        for start, _ in zip(range(0, len(rows), BLOCK), at_most(PATIENCE_S), strict=False):
            for outcome in _outcomes(stage(rows.slice(start, BLOCK)), checkpoint):
                done += 1
                if isinstance(outcome, str):
                    sample.errors[outcome] += 1
                else:
                    sample.seen.append(outcome)
        sample.prepared = len(sample.seen)
        if sample.seen:
            sample.prepare_s = (_cpu_seconds() - before) / len(sample.seen)
    finally:
        stage.close()
    return done


def _read_headers(
    rows: pa.Table,
    options: JobOptions,
    plan: SourcePlan,
    checkpoint: Checkpoint,
    sample: SampleResult,
) -> None:
    """Counts the tiles of images that were not prepared, and assumes the average prompt length for
    them."""
    image_tokens = checkpoint.tokens_per_tile
    text = round(fmean(unit.prompt_tokens - image_tokens * unit.tiles for unit in sample.seen))
    new = round(fmean(unit.new_tokens for unit in sample.seen))
    policy, media, limits = _reading(options, plan)
    reader = MediaReader(
        policy,
        media.for_tiles(checkpoint.tile_size, checkpoint.use_thumbnail, dynamic=checkpoint.dynamic),
        limits,
    )
    valid = rows.filter(rows[c.ERROR].is_null())
    sample.errors.update(error["kind"] for error in rows[c.ERROR].to_pylist() if error)
    try:
        for tiles in reader.count_tiles([Unit((), files) for files in media_of(valid)]):
            if isinstance(tiles, UnitError):
                sample.errors[tiles.kind] += 1
            else:
                sample.seen.append(SampledUnit(tiles, text + image_tokens * tiles, new))
    finally:
        reader.close()


def at_most(seconds: float) -> Iterator[bool]:
    """Yields for this many seconds, and at least once."""
    until = time.monotonic() + seconds
    yield True
    while time.monotonic() < until:
        yield True


def _outcomes(rows: pa.Table, checkpoint: Checkpoint) -> Iterator[SampledUnit | str]:
    """Yields each prepared row's counts, or the kind of its error."""
    for error, tiles, conversations in zip(
        rows[c.ERROR].to_pylist(),
        rows["num_tiles"].to_pylist(),
        rows[c.CONVERSATIONS].to_pylist(),
        strict=True,
    ):
        if error is not None:
            yield error["kind"]
            continue
        again = (len(conversations) - 1) * tiles * checkpoint.tokens_per_tile
        read = sum(
            len(one["token_ids"]) + sum(len(ids) for ids in one["follow_ups"])
            for one in conversations
        )
        answers = sum(
            json.loads(one["sampling"])["max_new_tokens"] * (1 + len(one["follow_ups"]))
            for one in conversations
        )
        yield SampledUnit(tiles, read - again, answers)


def _cpu_seconds() -> float:
    """CPU time of this process and its children."""
    me, total = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended since
            spent = process.cpu_times()
            total += spent.user + spent.system
    return total
