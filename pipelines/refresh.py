"""``--refresh changed``: results whose media changed since they were made are taken out, and so made again."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import pyarrow as pa

from internvl_ops.media.access import ReadPolicy, safe_uri
from internvl_ops.media.fetch import Fetcher
from internvl_ops.prepare import joined_versions
from pipelines.finished import FinishedUnits, unit_key, unit_keys
from pipelines.output import RESULTS, OutputFolder
from pipelines.patience import read_patiently
from pipelines.sources import SourcePlan, read_split


def drop_changed(output: OutputFolder, plan: SourcePlan, policy: ReadPolicy, passed_over: Collection[str] = ()) -> int:
    """Removes from ``results/`` the rows of this manifest whose media have another version now than ``source_version``.

    Rows that left the manifest stay, as do those whose media cannot be asked for, and those whose version is not known
    because their store states none. A run that is killed right after finds those units not done, and does them.

    Args:
        output: Of earlier runs.
        plan: Of the manifest as it is now.
        policy: What may be read.
        passed_over: Files that are not looked at.

    Returns:
        How many rows were removed.
    """
    wanted, dropped = _units_of(plan), 0
    with Fetcher(policy) as fetcher:
        for name in output.files(RESULTS):
            if name in passed_over or output.writer(name) is None:
                continue
            table = output.read_table(name)
            if (
                plan.media_column is None
                or plan.media_column not in table.column_names
                or "source_version" not in table.column_names
            ):
                continue
            changed = _changed(table, plan.media_column, wanted, fetcher)
            if not any(changed):
                continue
            dropped += sum(changed)
            table = table.filter(pa.array([not one for one in changed]))
            output.write_table(name, table) if len(table) else output.remove(name)
    return dropped


def _units_of(plan: SourcePlan) -> FinishedUnits:
    units = FinishedUnits()
    for split in plan.splits:
        for rows in read_patiently(partial(read_split, plan, split), f"{safe_uri(split.uri)} could not be read on"):
            units.add(unit_keys(rows["id"]), 0)
    return units


def _changed(table: pa.Table, media_column: str, wanted: FinishedUnits, fetcher: Fetcher) -> list[bool]:
    owners = table["parent" if "parent" in table.column_names else "id"].to_pylist()
    there = (wanted.find([unit_key(owner) for owner in owners]) >= 0).tolist()
    media = [[value] if isinstance(value, str) else value or [] for value in table[media_column].to_pylist()]
    before = table["source_version"].to_pylist()
    asked = sorted(
        {uri for uris, known, mine in zip(media, before, there, strict=True) if known and mine for uri in uris}
    )
    now = dict(zip(asked, fetcher.versions_now(asked), strict=True))
    return [
        bool(known and mine and None not in (found := [now[uri] for uri in uris]) and joined_versions(found) != known)
        for uris, known, mine in zip(media, before, there, strict=True)
    ]
