"""Reads the manifest rows that need work."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import pyarrow as pa

from internvl_ops.stores.redaction import safe_uri
from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import RUN, SKIP, Claims
from pipelines.ledger.shard import RowSum, Shard, hashes
from pipelines.patience import read_patiently
from pipelines.sources import SourcePlan, read_split
from pipelines.stages.carried import Carry
from pipelines.stages.row_values import repeated


def read(
    batch: pa.Table,
    plan: SourcePlan,
    names: Mapping[str, str],
    ledger: Claims,
    carry: Carry | None = None,
    shard: Shard | None = None,
) -> Iterator[pa.Table]:
    """Yields the manifest rows that need work, claimed in the ledger. Skips finished rows; a
    repeated id is an error.

    Args:
        batch: Numbers of splits, in the column ``split``.
        plan: Plan that the splits belong to.
        names: New names of the manifest's columns.
        ledger: Ledger of the run.
        carry: Converts columns that are only carried to those of the output.
        shard: The part of the job whose rows are yielded; None yields all.
    """
    ledger.take_events()
    for index in batch["split"].to_pylist():
        split = plan.splits[index]
        all_rows, own_rows = RowSum(), RowSum()
        for rows in read_patiently(
            functools.partial(read_split, plan, split),
            f"{safe_uri(split.uri)} could not be read on",
        ):
            if shard is not None:
                all_rows += RowSum.of(hashes(rows[c.ID]))
                rows = rows.filter(pa.array(shard.own(rows[c.ID]), pa.bool_()))
                own_rows += RowSum.of(hashes(rows[c.ID]))
            renamed = rows.rename_columns([names.get(name, name) for name in rows.column_names])
            claimed = claim(renamed, ledger)
            yield claimed if carry is None else carry(claimed)
        if shard is not None:
            ledger.put_split(index, all_rows, own_rows)


def claim(rows: pa.Table, ledger: Claims) -> pa.Table:
    """``rows`` without those that have a result or an error already; a repeated id becomes an
    error."""
    ids, sources = rows[c.ID].to_pylist(), rows[c.SOURCE].to_pylist()
    answers = ledger.claim(ids, rows[c.POSITION].to_pylist())
    errors = rows[c.ERROR].to_pylist()
    for row, answer in enumerate(answers):
        if answer > RUN:
            errors[row] = repeated("read", ids[row], sources[row])
    keys = [unit_key(unit_id, max(1, answer)) for unit_id, answer in zip(ids, answers, strict=True)]
    rows = c.set_errors(rows, errors).append_column(c.KEY, pa.array(keys, pa.binary(16)))
    return rows.filter(pa.array([answer != SKIP for answer in answers], pa.bool_()))
