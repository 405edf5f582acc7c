"""Runs the graph: takes finished rows as they come and hands them to the writer, until the end or a
signal."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import threading
import time
from fractions import Fraction

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset

from internvl_ops.events import listening, note
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines import columns as c
from pipelines.cluster import NodeWatch
from pipelines.flags import in_flags
from pipelines.interruption import Interrupted, phase
from pipelines.ledger.ledger import Book
from pipelines.ledger.relay import Relay
from pipelines.metrics import RunMetrics
from pipelines.options.job_options import JobOptions
from pipelines.output.writer import Writer
from pipelines.patience import patiently
from pipelines.ray_internals import blocks_of
from pipelines.report.engine_news import EngineNews
from pipelines.report.event_counts import EventCounts
from pipelines.report.progress import ProgressLine
from pipelines.report.record import RunRecord, exceeds
from pipelines.sources import SourcePlan, count_rows
from pipelines.wiring.media import explodes

SKIPPED_EVERY = 50  # ask the ledger for the number of skipped units once in this many blocks
NEAR = 0.8  # warn once the failed units reach this share of --max-error-rate
logger = logging.getLogger(__name__)


_EXCEPTION = re.compile(r"([a-z_]\w*\.)*[A-Z]\w*(: |$)")


class TooManyErrors(Exception):
    """More units have failed than ``--max-error-rate`` allows of all units; the remaining units
    cannot change that."""


def drive(
    results: Dataset,
    writer: Writer,
    record: RunRecord,
    plan: SourcePlan,
    ledger: Book,
    metrics: RunMetrics,
) -> str:
    """Runs the graph that ends in ``results`` and writes its output.

    The driver is the only consumer, so each row arrives once. It handles text only.

    Args:
        results: The graph; nothing of it has run yet.
        writer: Takes the finished rows.
        record: Keeps some pictures for the report.
        plan: Plan of the input; gives the number of units to come.
        ledger: Gives the number of units that need no work.
        metrics: Sends the numbers of the run while it goes on.

    Returns:
        "done", "interrupted", "too many errors" if that is certain before the end, or why the
        pipeline failed.

    Raises:
        OSError: The output could not be written.
    """
    try:
        news = EngineNews(record.measures.setting.engines)
        progress = ProgressLine(
            as_records=record.options.log_json,
            quiet=record.options.quiet,
            engines=news,
            pace=record.earlier_pace,
            shares=record.measures.stages,
        )
        looks = [NodeWatch().look, metrics.look, progress.look]
        with phase("running"), listening(news), Relay(ledger, looks), progress:
            progress.say(f"starting engines and reading {safe_uri(plan.options.uri)}")

            def count() -> None:
                metrics.expected = (
                    _count(plan, record.options) if record.chosen is None else record.chosen
                )
                progress.total(metrics.expected)

            threading.Thread(target=count, daemon=True).start()
            _take_all(results, writer, record, progress, ledger)
        return "done"
    except (Interrupted, KeyboardInterrupt):
        return "interrupted"
    except TooManyErrors:
        return "too many errors"
    except ray.exceptions.RayError as error:
        return cause(error)


def _take_all(
    results: Dataset, writer: Writer, record: RunRecord, progress: ProgressLine, ledger: Book
) -> None:
    finished = failed = 0
    tokens = 0 if "completion_tokens" in record.task.outcome.tokens else None
    limit = ErrorLimit(record.options.max_error_rate)
    with contextlib.closing(blocks_of(results)) as blocks:
        for number, rows in enumerate(blocks):
            if not len(rows):
                continue
            record.measures.take(rows)
            before = time.monotonic()
            writer.add(_without_previews(rows, record))
            record.measures.writing_s += time.monotonic() - before
            finished += len(rows)
            kinds = _kinds(rows)
            failed += len(kinds)
            progress.kinds.update(kinds)
            if tokens is not None:
                tokens += pc.sum(rows["completion_tokens"]).as_py() or 0
            # else the total is that of the chosen units
            if number % SKIPPED_EVERY == 0 and record.chosen is None:
                progress.skipped(ledger.tally().skipped)
            progress.update(finished, tokens, failed)
            count_retries(rows, record.events)
            if limit.passed(finished, failed, progress.todo):
                raise TooManyErrors
    limit.at_end(finished, failed)


def _kinds(rows: pa.Table) -> list[str]:
    """The kinds of the errors in a block."""
    errors = rows[c.ERROR]
    return (
        []
        if errors.null_count == len(rows)
        else [error["kind"] for error in errors.drop_null().to_pylist()]
    )


class ErrorLimit:
    """Compares the number of failed units with ``--max-error-rate``; warns once when it comes near
    the limit.

    Args:
        rate: Share of all units that may fail.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._warned = rate, False

    def passed(self, finished: int, failed: int, todo: int | None) -> bool:
        """Whether the job should stop, because the limit is exceeded even if all remaining units
        succeed.

        Args:
            finished: Number of finished units so far.
            failed: How many of these failed.
            todo: Total number of units; None while it is not known.
        """
        if todo is None or not failed:
            return False
        said = f"{failed:,} of {todo:,} units have failed; --max-error-rate {self._rate:g} allows"
        allowed = math.floor(Fraction(str(self._rate)) * todo)
        fields = {"failed": failed, "units": todo, "allowed": allowed}
        if finished < todo and exceeds(failed, todo, self._rate):
            note(
                logger, "error_limit_passed", f"{said} {allowed:,}.", level=logging.ERROR, **fields
            )
            return True
        if not self._warned and self._rate < 1 and failed >= NEAR * allowed:
            self._warned = True
            note(logger, "error_limit_near", f"{said} {allowed:,}.", **fields)
        return False

    def at_end(self, finished: int, failed: int) -> None:
        """Makes the same check for a run that has finished all its units."""
        if exceeds(failed, finished, self._rate):
            message = (
                f"{failed:,} of {finished:,} units failed, more than --max-error-rate"
                f" {self._rate:g} allows."
            )
            note(
                logger,
                "error_limit_passed",
                message,
                level=logging.ERROR,
                failed=failed,
                units=finished,
            )


def count_retries(rows: pa.Table, events: EventCounts) -> None:
    """Counts the units of a block whose answer was generated more than once. They are too many to
    log each."""
    if "attempts" not in rows.column_names:
        return
    again = pc.sum(pc.greater(rows["attempts"], 1)).as_py()
    if again:
        events.add(
            "answers_tried_again",
            "Answers were cut off or repetitive, and were generated again.",
            count=again,
        )


def _without_previews(rows: pa.Table, record: RunRecord) -> pa.Table:
    """``rows`` without the report's pictures. A picture that cannot be kept does not end the
    run."""
    try:
        return record.take_previews(rows)
    except Exception:
        return rows.drop_columns([c.PREVIEW])


def _count(plan: SourcePlan, options: JobOptions) -> int | None:
    """Number of units, if it can be known. Reads text manifests to their end, so it runs beside the
    pipeline."""
    if explodes(options, plan.media_kind) or options.shard:
        # the number of pages or clips in a file, and a part's share, are known only after reading
        return None
    if plan.total_rows is not None:
        return plan.total_rows
    try:
        return patiently(lambda: count_rows(plan), "rows not counted")
    except OSError:
        return None  # the readers meet the same error and report it


def cause(error: BaseException) -> str:
    """What went wrong in a worker: its own exception, without the tracebacks that Ray adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if _EXCEPTION.match(line) and not line.startswith("ray.")]
    # The last exception of a chain is the one that was raised for the user.
    return in_flags(safe_text((own or lines or [type(error).__name__])[-1]))
