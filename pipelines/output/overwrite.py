"""``--overwrite``: writes new files first, and removes the old ones once every unit has a new row.

A marker in ``_runs/`` names the runs that belong to an overwrite. Until the marker is removed, only
files of these runs count: the next run continues the overwrite instead of starting it again, and
removes the old files when it is done. An overwrite that makes no result at all removes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.ledger.finished import FinishedUnits, unit_keys
from pipelines.output.folder import ERRORS, RESULTS, RUNS, OutputFolder
from pipelines.output.ownership import named_run
from pipelines.output.resume import keep_error_rows
from pipelines.patience import patiently

MARKER = f"{RUNS}/.overwrite.json"


@dataclass(frozen=True)
class Overwrite:
    """An overwrite in progress, or none.

    Args:
        runs: The runs that belong to it; empty if there is none.
        old: Files that it will replace.
    """

    runs: tuple[str, ...] = ()
    old: frozenset[str] = field(default=frozenset())

    def finish(self, output: OutputFolder, *, results: int) -> bool:
        """Removes the old files; call it when every unit of the input has a new row.

        Args:
            output: The output.
            results: Number of units with a new result. If it is 0, the old files stay and their
                rows count.

        Returns:
            Whether no old file is left.
        """
        if not self.runs:
            return True
        if results:
            output.clear(keep=self.runs)
        else:
            self._give_up(output)
        output.remove(MARKER)
        return bool(results) or not self.old

    def _give_up(self, output: OutputFolder) -> None:
        """Leaves one row per unit: the old result or, if there is none, the new error."""
        done = FinishedUnits()
        for name in output.files(RESULTS):
            if name in self.old:
                done.add(unit_keys(output.read_table(name, ["id"])["id"]), 0)
        failed: set[bytes] = set()

        def remains(keys: list[bytes]) -> list[bool]:
            kept = [
                key not in failed and place < 0
                for key, place in zip(keys, done.find(keys), strict=True)
            ]
            failed.update(keys)
            return kept

        errors = output.files(ERRORS)
        for generation in (
            [n for n in errors if n not in self.old],
            [n for n in errors if n in self.old],
        ):
            keep_error_rows(output, generation, remains)


def begin(
    output: OutputFolder, run_id: str, *, wanted: bool, kind: str, part: bool = False
) -> Overwrite:
    """Starts an overwrite, or continues one that did not end.

    Args:
        output: The output, held by this run.
        run_id: Id of this run.
        wanted: Whether ``--overwrite`` was given.
        kind: Properties that all runs of one overwrite have in common; see `overwrite_id`.
        part: Whether the run does one part of the input alone. It cannot end an overwrite: the old
            files hold rows of all parts.

    Raises:
        ConfigurationError: An overwrite of another kind has not ended, or the results contain a
            file that no run of this project wrote, or an overwrite has not ended and the run does a
            part.
    """
    there = _marker(output)
    runs = tuple(there.get("runs", ()))
    if runs and (part or there.get("kind") != kind) and not _files_of(output, runs):
        runs = ()  # it ended before it wrote anything, so only the old files count, as before
    if runs and part:
        raise ConfigurationError(
            f"--output {safe_uri(output.uri)}: run {runs[-1]} began to replace everything here"
            " (--overwrite) and did not end, which a part of the job cannot do. Repeat its"
            " command, without --shards or --shard, to finish that; or give another --output."
        )
    if runs and there.get("kind") != kind:
        if not wanted:
            raise ConfigurationError(
                f"--output {safe_uri(output.uri)}: run {runs[-1]} began to replace everything here"
                " (--overwrite), with another input or other settings, and did not end. Repeat its"
                " command to finish that, add --overwrite to this one to replace everything anew,"
                " or give another --output."
            )
        runs = ()
    if not runs and not wanted:
        if there:
            output.remove(MARKER)
        return Overwrite()
    overwrite = Overwrite((*runs, run_id), frozenset(_replaceable(output, runs)))
    said = {"runs": overwrite.runs, "kind": kind}
    output.write_bytes(MARKER, json.dumps(said).encode())
    return overwrite


def overwriting_run(output: OutputFolder) -> str | None:
    """The last run of an overwrite that has not ended; None if there is none."""
    return next(reversed(_marker(output).get("runs", ())), None)


def replaced_files(output: OutputFolder) -> list[str]:
    """Files that do not count, because an unfinished overwrite will remove them."""
    runs = _marker(output).get("runs")
    if not runs:
        return []
    kept = set(_files_of(output, runs))
    return [name for name in [*output.files(RESULTS), *output.files(ERRORS)] if name not in kept]


def overwrite_id(input_uri: str, settings: dict[str, Any]) -> str:
    """Identifies an overwrite: another input or other settings make another overwrite."""
    text = json.dumps([input_uri, settings], sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _marker(output: OutputFolder) -> dict[str, Any]:
    try:
        value = json.loads(
            patiently(lambda: output.read_bytes(MARKER), f"{safe_uri(output.uri)}/{MARKER}")
        )
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _files_of(output: OutputFolder, runs: Sequence[str]) -> list[str]:
    names = [*output.files(RESULTS), *output.files(ERRORS)]
    return [name for name in names if (named := named_run(name)) and named[0] in runs]


def _replaceable(output: OutputFolder, runs: Sequence[str]) -> list[str]:
    """Files that an overwrite may replace: all except those of its own runs."""
    writers = {**output.writers(RESULTS), **output.writers(ERRORS)}
    foreign = sorted(name for name, writer in writers.items() if writer is None)
    if foreign:
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise ConfigurationError(
            f"--overwrite: {safe_uri(output.uri)}/{foreign[0]}{more} was not written by a run, so"
            " it is not removed, and its rows would stand beside the new ones. Move it away, or"
            " give another --output."
        )
    return [name for name, writer in writers.items() if writer not in runs]
