"""Whole runs without Ray: the real ledger, writer and output folder, and a process that may be
killed at any file."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.ledger.ledger import RUN, SKIP, Counts, Ledger
from pipelines.ledger.shard import RowSum, Shard, hashes
from pipelines.output.compaction import finish_merge
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.overwrite import MARKER, begin
from pipelines.output.redo import finish_redo
from pipelines.output.result_columns import result_schema
from pipelines.output.resume import drop_superseded_errors, load_output
from pipelines.output.shards import PartDone, close_parts, forget_parts
from pipelines.output.writer import Writer
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table

BATCH = 3  # rows that are claimed and finished together
ROWS_PER_FILE = 2

Unit = tuple[str, int]  # an id, and which row with it
State = dict[Unit, str]  # of every unit that has a row: "result", or the kind of its error


class Killed(BaseException):
    """The process is gone: nothing after this happened."""


class OneCallAtATime:
    """A ledger as its actor serves it: whoever calls, one call after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._lock = ledger, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            with self._lock:
                return getattr(self._ledger, name)(*arguments)

        return call


class MortalOutput(OutputFolder):
    """An output folder whose process dies right before or right after its n-th change of the
    folder."""

    def __init__(self, uri: str, killed_at: int | None = None, *, after: bool = False) -> None:
        super().__init__(uri)
        self._left, self._after = killed_at, after

    def write_table(self, name: str, table: pa.Table) -> int:
        self._change(super().write_table, name, table)
        return 0

    def remove(self, name: str) -> None:
        self._change(super().remove, name)

    def write_bytes(self, name: str, data: bytes) -> None:
        if name == MARKER:  # `write_table` writes bytes, too
            self._change(super().write_bytes, name, data)
        else:
            super().write_bytes(name, data)

    def _change(self, change: Any, *arguments: Any) -> None:
        dies = self._left == 0
        if self._left is not None:
            self._left -= 1
        if not dies or self._after:
            change(*arguments)
        if dies:
            raise Killed


@dataclass(frozen=True)
class Run:
    """One run over the manifest as it is then.

    Args:
        new_ids: Rows that the manifest gets before.
        outage: Units of an id in capitals fail with ``timeout``; otherwise they succeed.
        retry_errors: As the option.
        overwrite: As the option.
        delivered_twice: Every finished row arrives a second time, as after a retried task.
        killed_at: Changes of the output that this run lives to make.
        killed_after: The last one of them is made.
        interrupted_after: Batches after which SIGTERM ends it.
    """

    new_ids: str = ""
    outage: bool = False
    retry_errors: bool = False
    overwrite: bool = False
    delivered_twice: bool = False
    killed_at: int | None = None
    killed_after: bool = False
    interrupted_after: int | None = None

    def outcome(self, unit_id: str) -> str:
        """What becomes of a unit that runs: ``x`` is a corrupt file, capitals depend on the
        outage."""
        if unit_id == "x":
            return "corrupt"
        return "timeout" if unit_id.isupper() and self.outage else "result"


def execute(
    uri: str, manifest: Sequence[str], run: Run, run_id: str, shard: Shard | None = None
) -> Counts:
    """What ``annotate`` does, in one process, with all rows or those of a part.

    Raises:
        Killed: As ``run`` wants it.
        ConfigurationError: A part cannot run here.
    """
    output = MortalOutput(uri, run.killed_at, after=run.killed_after)
    finish_merge(output)
    finish_redo(output)
    overwrite = begin(
        output,
        run_id,
        wanted=run.overwrite and bool(manifest),
        kind="the same",
        part=shard is not None,
    )
    if shard is not None:
        forget_parts(output, shard.of, shard.part)
    older_errors = [name for name in output.files(ERRORS) if name not in overwrite.old]
    book = Ledger()
    load_output(book, output, retry_errors=run.retry_errors, passed_over=overwrite.old, shard=shard)
    own = (
        range(len(manifest))
        if shard is None
        else np.flatnonzero(shard.own(pa.array(manifest, pa.string()))).tolist()
    )
    ledger = OneCallAtATime(book)
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    ended = True
    with Writer(
        output, ledger, schema, run_id=run_id, model="tiny", rows_per_file=ROWS_PER_FILE
    ) as writer:
        for number, start in enumerate(range(0, len(own), BATCH)):
            if number == run.interrupted_after:
                ended = False
                break
            positions = own[start : start + BATCH]
            rows = _finished(ledger, [manifest[position] for position in positions], positions, run)
            for _ in range(1 + run.delivered_twice):
                writer.add(rows)
    if shard is None:
        drop_superseded_errors(ledger, output, older_errors)
    counts = ledger.counts()
    if ended:
        overwrite.finish(output, results=counts.results + counts.already_done)
    if ended and shard is not None:
        found = hashes(pa.array(manifest, pa.string()))
        done = PartDone(run_id, RowSum.of(found), RowSum.of(found[own]), counts)
        close_parts(output, run_id, shard, done, lambda whole: None)
    return counts


def _finished(
    ledger: OneCallAtATime, ids: Sequence[str], positions: Sequence[int], run: Run
) -> pa.Table:
    rows = []
    for unit_id, answer in zip(ids, ledger.claim(ids, positions), strict=True):
        if answer == SKIP:
            continue
        kind: Any = "duplicate_id" if answer > RUN else run.outcome(unit_id)
        rows.append(row(unit_id, kind=None if kind == "result" else kind, occurrence=answer))
    return table(rows)


def overwriting(uri: str) -> tuple[str, ...]:
    """The runs of an overwrite that has not ended."""
    marker = Path(uri) / MARKER
    return tuple(json.loads(marker.read_text())["runs"]) if marker.exists() else ()


def observe(uri: str, runs: Collection[str] = ()) -> tuple[State, Counter[Unit]]:
    """What stands in the output: each unit's state (a result counts before an error, the newer
    error before the older one), and how many rows it has. With ``runs`` only what they wrote."""
    output = OutputFolder(uri)
    writers = {**output.writers(RESULTS), **output.writers(ERRORS)}
    others = {name for name, run in writers.items() if runs and run not in runs}
    state: State = {}
    rows: Counter[Unit] = Counter()
    repeated: Counter[str] = Counter()
    for _, results in output.read_tables(RESULTS, ["id"], passed_over=others):
        for unit_id in results["id"].to_pylist():
            state[unit_id, 1] = "result"
            rows[unit_id, 1] += 1
    assert all(count == 1 for count in rows.values()), "two results of one unit"
    for _, errors in output.read_tables(ERRORS, ["id", "kind"], passed_over=others):
        for unit_id, kind in zip(errors["id"].to_pylist(), errors["kind"].to_pylist(), strict=True):
            repeated[unit_id] += kind == "duplicate_id"
            unit = (unit_id, 1 + repeated[unit_id] if kind == "duplicate_id" else 1)
            rows[unit] += 1
            if state.get(unit) != "result":
                state[unit] = kind
    return state, rows
