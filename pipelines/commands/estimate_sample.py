"""A look at some units of a manifest: tiles, tokens, errors, what it takes to prepare them. No cluster, no model."""

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

FILES = 16  # of the manifest that are looked into, at most
BLOCK = 4  # units prepared between two looks at the clock
PATIENCE_S = 10.0  # of preparing, and again of counting pages or clips


@dataclass(frozen=True)
class Seen:
    """One unit.

    Args:
        tiles: Of all its images.
        prompt_tokens: That the model reads: of several prompts about the same images, those of the images once.
        new_tokens: That its answers may have at most.
    """

    tiles: int
    prompt_tokens: int
    new_tokens: int


@dataclass
class SampleResult:
    """What was found.

    Args:
        rows: Manifest rows looked at.
        units_per_row: Pages or clips of a row, on average.
        prepared: Units of which all was done, but for asking the model.
        seen: Units that can be asked about.
        errors: Units that cannot, by kind.
        prepare_s: CPU seconds of preparing one; None where none could be.
    """

    rows: int
    units_per_row: float = 1.0
    prepared: int = 0
    seen: list[Seen] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    prepare_s: float | None = None

    @property
    def good_share(self) -> float:
        """Of the units that were looked at."""
        units = len(self.seen) + self.errors.total()
        return len(self.seen) / units if units else 0.0


def take_sample(options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint, task: Task) -> SampleResult:
    """Prepares as many units as ten seconds allow, taken at random, as the job would. Of the others, where they are
    images, it reads the headers."""
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
    """The heads of some files of the manifest."""
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


def _explode(rows: pa.Table, options: JobOptions, plan: SourcePlan, sample: SampleResult) -> pa.Table:
    """A unit of each file, taken at random, and how many there are on average."""
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
    rows: pa.Table, options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint, task: Task, sample: SampleResult
) -> int:
    """Prepares until patience is at an end; returns how many rows."""
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
    rows: pa.Table, options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint, sample: SampleResult
) -> None:
    """Of images that were not prepared the tiles; their prompts' texts are taken to be as long as those seen."""
    image_tokens = checkpoint.tokens_per_tile
    text = round(fmean(unit.prompt_tokens - image_tokens * unit.tiles for unit in sample.seen))
    new = round(fmean(unit.new_tokens for unit in sample.seen))
    policy, media, limits = _reading(options, plan)
    reader = MediaReader(
        policy,
        media.for_tiles(checkpoint.tile_size, checkpoint.use_thumbnail, dynamic=checkpoint.dynamic),
        limits,
    )
    fine = rows.filter(rows[c.ERROR].is_null())
    sample.errors.update(error["kind"] for error in rows[c.ERROR].to_pylist() if error)
    try:
        for tiles in reader.count_tiles([Unit((), files) for files in media_of(fine)]):
            if isinstance(tiles, UnitError):
                sample.errors[tiles.kind] += 1
            else:
                sample.seen.append(Seen(tiles, text + image_tokens * tiles, new))
    finally:
        reader.close()


def at_most(seconds: float) -> Iterator[bool]:
    """Goes on for so long, and at least once."""
    until = time.monotonic() + seconds
    yield True
    while time.monotonic() < until:
        yield True


def _outcomes(rows: pa.Table, checkpoint: Checkpoint) -> Iterator[Seen | str]:
    """Of each prepared row what was seen, or the kind of its error."""
    for error, tiles, conversations in zip(
        rows[c.ERROR].to_pylist(), rows["num_tiles"].to_pylist(), rows[c.CONVERSATIONS].to_pylist(), strict=True
    ):
        if error is not None:
            yield error["kind"]
            continue
        again = (len(conversations) - 1) * tiles * checkpoint.tokens_per_tile
        read = sum(len(one["token_ids"]) + sum(len(ids) for ids in one["follow_ups"]) for one in conversations)
        answers = sum(
            json.loads(one["sampling"])["max_new_tokens"] * (1 + len(one["follow_ups"])) for one in conversations
        )
        yield Seen(tiles, read - again, answers)


def _cpu_seconds() -> float:
    """Of this process and of those it started."""
    me, total = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended since
            spent = process.cpu_times()
            total += spent.user + spent.system
    return total
