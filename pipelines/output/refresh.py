"""``--refresh changed``: removes results whose media have changed since, so that these units run
again."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial

import pyarrow as pa

from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.preparer import joined_versions
from internvl_ops.stores.redaction import safe_uri
from pipelines import columns as c
from pipelines.ledger.finished import FinishedUnits, unit_key, unit_keys
from pipelines.output.documented import mark_stale
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.result_columns import ERROR_SCHEMA
from pipelines.patience import read_patiently
from pipelines.sources import SourcePlan, read_split

ABSENT = "absent"  # no store uses this as a version


def drop_changed(
    output: OutputFolder, plan: SourcePlan, policy: ReadPolicy, passed_over: Collection[str] = ()
) -> int:
    """Removes rows of this manifest whose media have another version now than ``source_version``:
    they run again.

    This includes rows in ``errors/``, because a corrupt file may have been repaired. A file that
    was not found counts as changed if it exists now.

    Some rows stay: those that have left the manifest, those whose media cannot be requested, and
    those whose version is unknown because their store has none. If a run is killed right after
    this, the next run finds these units not done and runs them.

    Args:
        output: Output of earlier runs.
        plan: Plan of the current manifest.
        policy: Which media may be read.
        passed_over: Files to ignore.

    Returns:
        The number of rows removed.
    """
    wanted, dropped = _units_of(plan), 0
    with Fetcher(policy) as fetcher:
        for name in [*output.files(RESULTS), *output.files(ERRORS)]:
            if plan.media_column is None or name in passed_over or output.writer(name) is None:
                continue
            table = output.read_table(name)
            columns = table.column_names
            column = _media_column(name, plan.media_column)
            if column not in table.column_names and c.MORE in table.column_names:
                table = table.append_column(column, _media_beside(table, plan.media_column))
            if column not in table.column_names or "source_version" not in table.column_names:
                continue  # errors of an earlier version have neither column
            changed = _changed(table, column, wanted, fetcher, failed=name.startswith(f"{ERRORS}/"))
            if not any(changed):
                continue
            dropped += sum(changed)
            if "parent" in columns:
                gone = table["parent"].filter(pa.array(changed, pa.bool_())).drop_null()
                mark_stale(output, gone.to_pylist())
            table = table.filter(pa.array([not one for one in changed])).select(columns)
            output.write_table(name, table) if len(table) else output.remove(name)
    return dropped


def _media_column(name: str, column: str) -> str:
    """Name of the manifest's media column in a file of the output."""
    taken = {own.casefold() for own in ERROR_SCHEMA.names}
    return (
        f"manifest_{column}"
        if name.startswith(f"{ERRORS}/") and column.casefold() in taken
        else column
    )


def _media_beside(table: pa.Table, column: str) -> pa.Array:
    """Media from ``more_columns``, for an output whose first manifest had no column named
    ``column``."""
    values = [json.loads(text or "{}").get(column) for text in table[c.MORE].to_pylist()]
    return pa.array(
        [[value] if isinstance(value, str) else value for value in values], pa.list_(pa.string())
    )


def _units_of(plan: SourcePlan) -> FinishedUnits:
    units = FinishedUnits()
    for split in plan.splits:
        for rows in read_patiently(
            partial(read_split, plan, split), f"{safe_uri(split.uri)} could not be read on"
        ):
            units.add(unit_keys(rows["id"]), 0)
    return units


def _changed(
    table: pa.Table, media_column: str, wanted: FinishedUnits, fetcher: Fetcher, *, failed: bool
) -> list[bool]:
    owners = table["id"].to_pylist()
    if "parent" in table.column_names:  # null if a file failed before it was split
        owners = [
            parent or own for parent, own in zip(table["parent"].to_pylist(), owners, strict=True)
        ]
    there = (wanted.find([unit_key(owner) for owner in owners]) >= 0).tolist()
    media = [
        [value] if isinstance(value, str) else value or []
        for value in table[media_column].to_pylist()
    ]
    before = table["source_version"].to_pylist()
    if failed:  # a file that was not found has no version, so any version now is new
        before = [
            ABSENT if kind == "not_found" and not version else version
            for kind, version in zip(table["kind"].to_pylist(), before, strict=True)
        ]
    asked = sorted(
        {
            uri
            for uris, known, mine in zip(media, before, there, strict=True)
            if known and mine
            for uri in uris
        }
    )
    now = dict(zip(asked, fetcher.versions_now(asked), strict=True))
    return [
        bool(
            known
            and mine
            and None not in (found := [now[uri] for uri in uris])
            and joined_versions(found) != known
        )
        for uris, known, mine in zip(media, before, there, strict=True)
    ]
