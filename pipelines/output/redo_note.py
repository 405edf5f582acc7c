"""Which runs went over units again, by what they had in common: so a repeated command goes on from
there."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.output.folder import RUNS, OutputFolder
from pipelines.output.resume import Retry, kinds_tried_again

NOTE = f"{RUNS}/.redo.json"


@dataclass(frozen=True)
class Before:
    """Units that runs with the same condition and the same settings have gone over already.

    Args:
        runs: Ids of these runs; their rows are not chosen again.
        failed: Units that failed in them and kept the row that they had.
        retried: Kinds of errors whose units are chosen all the same.
    """

    runs: Sequence[str] = ()
    failed: Sequence[str] = ()
    retried: Collection[str] = field(default=())


def earlier(output: OutputFolder, kind: str, retry_errors: Retry) -> Before:
    """The units that runs of this kind went over already.

    Args:
        output: The output.
        kind: What the runs have in common, see `begin`.
        retry_errors: Units that failed with these errors are done again.
    """
    runs = _runs_by_kind(output).get(kind, [])
    retried = kinds_tried_again(retry_errors)
    failed: list[str] = []
    for run in runs:
        for _, table in output.read_tables(f"{RUNS}/{run}/failed", ["id", "kind"]):
            stays = pc.invert(pc.is_in(table["kind"], pa.array(retried, pa.string())))
            failed += table["id"].filter(stays).to_pylist()
    return Before(runs, failed, retried)


def begin(output: OutputFolder, run_id: str, kind: str) -> None:
    """Notes that a run goes over units again.

    Args:
        output: The output, held by the run.
        run_id: Id of the run.
        kind: What it has in common with its repetitions: the condition, and the settings of the
            answers.
    """
    kinds = _runs_by_kind(output)
    kinds[kind] = [*kinds.get(kind, []), run_id]
    output.write_bytes(NOTE, json.dumps({"kinds": kinds}).encode())


def redo_runs(output: OutputFolder) -> list[str]:
    """All runs that went over units again."""
    return [run for runs in _runs_by_kind(output).values() for run in runs]


def _runs_by_kind(output: OutputFolder) -> dict[str, list[str]]:
    try:
        value = json.loads(output.read_bytes(NOTE))
        return {str(kind): list(map(str, runs)) for kind, runs in value["kinds"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}
