"""Finds the units that earlier runs finished, so that they need no work.

The output is the checkpoint. A unit is done when its row is in ``results/``; no other state is
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import RETRIABLE, ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines import columns as c
from pipelines.ledger.finished import FinishedUnits, PartsOfFiles, as_keys, unit_key, unit_keys
from pipelines.ledger.ledger import Book, Ledger, State
from pipelines.ledger.shard import Shard
from pipelines.ledger.wanted import Wanted
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder

_PARTS = ("parent", c.NUM_PARTS)  # columns that tell which files are whole
# which errors run again: none, the retriable ones, or those of these kinds
Retry = bool | Collection[str]


def load_output(
    ledger: Ledger,
    output: OutputFolder,
    *,
    retry_errors: Retry,
    passed_over: Collection[str] = (),
    whole_files: bool = False,
    shard: Shard | None = None,
    wanted: Wanted | None = None,
    again: bool = False,
) -> None:
    """Books in ``ledger`` the units that are in ``output``.

    Args:
        ledger: Ledger of the run that starts.
        output: The output; only the needed columns are read, several files in parallel.
        retry_errors: Leave out retriable errors, or errors of these kinds, so that their units run
            again.
        passed_over: Files that do not count.
        whole_files: Also find the files, such as documents, of which every unit is there.
        shard: The part of the job whose units are booked; None books all.
        wanted: The units that the run does; None if it does all that are not done.
        again: Whether ``wanted`` are done although they have a row.
    """
    if wanted is not None:
        ledger.restrict(wanted)
    excepted = wanted if again else None
    parts = _PARTS if whole_files else ()
    for name, table in output.read_tables(RESULTS, ["id"], passed_over=passed_over, optional=parts):
        _check_ids(output, name, table)
        table = _own(table, shard)
        if excepted is not None:
            table = table.filter(
                pa.array([not one for one in excepted.has(as_keys(table["id"]))], pa.bool_())
            )
        ledger.preload(unit_keys(table["id"]), State.DONE_BEFORE, _files_of(table))
    occurrences: dict[str, int] = {}
    errors = ["id", "kind", "retriable"]
    for name, table in output.read_tables(ERRORS, errors, passed_over=passed_over, optional=parts):
        _check_ids(output, name, table)
        table = _own(table, shard)
        table = table.filter(pc.invert(_tried_again(table, retry_errors)))
        keys = error_keys(table, occurrences)
        if excepted is not None:
            stays = [not one for one in excepted.has(keys)]
            table, keys = table.filter(pa.array(stays, pa.bool_())), list(compress(keys, stays))
        ledger.preload(b"".join(keys), State.FAILED_BEFORE, _files_of(table))


def _own(table: pa.Table, shard: Shard | None) -> pa.Table:
    return table if shard is None else table.filter(pa.array(shard.own(table["id"]), pa.bool_()))


def _files_of(table: pa.Table) -> PartsOfFiles | None:
    """The file of each row; None if the table does not tell, as those of older versions."""
    if not set(_PARTS) <= set(table.column_names):
        return None
    parents = unit_keys(pc.fill_null(table["parent"], ""))
    totals = pc.fill_null(pc.if_else(pc.is_valid(table["parent"]), table[c.NUM_PARTS], None), 0)
    return PartsOfFiles(parents, totals.to_numpy().astype(np.int32))


def _check_ids(output: OutputFolder, name: str, table: pa.Table) -> None:
    type_ = table["id"].type
    if not (pa.types.is_string(type_) or pa.types.is_large_string(type_)):
        raise ConfigurationError(
            f"{safe_uri(output.uri)}/{name} was not written by a run: its column id is {type_}, not"
            " text. Move it out of this folder, or write its ids as text."
        )


def kinds_tried_again(retry_errors: Retry) -> tuple[str, ...]:
    """The kinds of errors whose units run again."""
    return tuple(sorted(RETRIABLE)) if retry_errors is True else tuple(retry_errors or ())


def _tried_again(table: pa.Table, retry_errors: Retry) -> pa.ChunkedArray:
    kinds = pa.array(kinds_tried_again(retry_errors), pa.string())
    asked = pc.is_in(table["kind"], kinds)
    # An earlier version may have marked more kinds as retriable than this one.
    return pc.or_(asked, pc.fill_null(table["retriable"], False)) if retry_errors is True else asked


def error_keys(table: pa.Table, occurrences: dict[str, int]) -> list[bytes]:
    """Keys of error rows. The error of a repeated id belongs to its second, third … occurrence, not
    to the id.

    Args:
        table: Table with columns ``id`` and ``kind``.
        occurrences: How often each repeated id was seen so far; passed on from file to file.
    """
    keys = []
    for unit_id, kind in zip(table["id"].to_pylist(), table["kind"].to_pylist(), strict=True):
        occurrence = 1
        if kind == "duplicate_id":
            occurrence = occurrences[unit_id] = occurrences.get(unit_id, 1) + 1
        keys.append(unit_key(unit_id, occurrence))
    return keys


def drop_superseded_errors(ledger: Book, output: OutputFolder, names: list[str]) -> None:
    """Removes from error files of earlier runs the rows whose units have a newer row.

    Args:
        ledger: Ledger of the run that ends.
        output: The output.
        names: Error files that existed when the run started, the oldest first.
    """
    newer = (State.DONE_BEFORE, State.RESULT, State.ERROR, State.EXPLODED)
    _drop_errors(output, names, lambda keys: [state in newer for state in ledger.states(keys)])


def drop_old_errors(output: OutputFolder) -> None:
    """Removes the errors of units that have a result or a newer error, judged by the output alone.

    For the holder of the lease, if no run is going on that would do it with its ledger.
    """
    done = FinishedUnits()
    for _, table in output.read_tables(RESULTS, ["id"], optional=_PARTS):
        done.add(unit_keys(table["id"]), State.DONE_BEFORE, _files_of(table))
    _drop_errors(
        output,
        output.files(ERRORS),
        lambda keys: ((done.find(keys) >= 0) | (done.find_whole(keys) >= 0)).tolist(),
    )


def _drop_errors(
    output: OutputFolder, names: Sequence[str], is_newer: Callable[[list[bytes]], Sequence[bool]]
) -> None:
    """Removes rows of error files for which ``is_newer`` knows a newer row, or that a newer one of
    these files has."""
    seen: set[bytes] = set()

    def remains(keys: list[bytes]) -> list[bool]:
        # If a run retried errors and was killed before this step, a unit has two error rows: keep
        # the newer one.
        keep = [
            not newer and key not in seen for key, newer in zip(keys, is_newer(keys), strict=True)
        ]
        seen.update(keys)
        return keep

    keep_error_rows(output, names, remains)


def keep_error_rows(
    output: OutputFolder, names: Sequence[str], remains: Callable[[list[bytes]], list[bool]]
) -> None:
    """Keeps only some rows of error files. A file that no run of this project wrote stays as it is.

    Args:
        output: The output.
        names: Names of the files, the oldest first; the newest is checked first.
        remains: For the keys of a file, which rows stay.
    """
    occurrences: dict[str, int] = {}
    for name in reversed(names):
        table = output.read_table(name)
        keep = remains(error_keys(table, occurrences))
        if all(keep) or output.writer(name) is None:
            continue
        table = table.filter(pa.array(keep, pa.bool_()))
        # The shorter file replaces the longer one under the same name, so at every moment each row
        # is in one of them.
        output.write_table(name, table) if len(table) else output.remove(name)
