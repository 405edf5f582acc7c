"""An error in one row fails that row only: not its block, not its stage, not the job.

No code foresees everything that manifests and model answers may contain. Stages run the work of
each row through these functions, so that any exception becomes the error of that row and names the
place in the code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, Stage, UnitError, unforeseen
from pipelines import columns as c


def outcomes(rows: pa.Table, stage: Stage, of: Callable[[pa.Table], Any]) -> list[Any]:
    """Calls ``of`` on each row, as a table of one. None for rows that failed before, a `UnitError`
    if ``of`` raises."""
    found: list[Any] = []
    for number, error in enumerate(rows[c.ERROR].to_pylist()):
        try:
            found.append(None if error else of(rows.slice(number, 1)))
        except ConfigurationError:
            raise  # every other row would fail in the same way
        except Exception as problem:
            found.append(unforeseen(stage, problem))
    return found


def errors_with(rows: pa.Table, found: Sequence[Any]) -> list[dict[str, Any] | None]:
    """The errors of ``rows``, combined with those outcomes in ``found`` that are a `UnitError`."""
    return [
        c.error_value(outcome) if isinstance(outcome, UnitError) else error
        for error, outcome in zip(rows[c.ERROR].to_pylist(), found, strict=True)
    ]


def one_by_one(work: Callable[[pa.Table], pa.Table], rows: pa.Table, stage: Stage) -> pa.Table:
    """Calls ``work(rows)``; if it raises, calls it on each row alone.

    A row that raises alone gets the exception as its error. This catches what the more specific
    guards of a stage let through.

    Args:
        work: One row in, one row out, in order; it leaves rows that failed before untouched.
        rows: Rows with the column ``__error``.
        stage: Stage that the errors name.
    """
    try:
        return work(rows)
    except ConfigurationError:
        raise  # every other row would fail in the same way
    except Exception as error:
        if len(rows) > 1:
            return pa.concat_tables(
                [one_by_one(work, rows.slice(row, 1), stage) for row in range(len(rows))]
            )
        if not len(rows):
            raise
        return work(c.set_errors(rows, [c.error_value(unforeseen(stage, error))]))


def fill(
    table: pa.Table, stage: Stage, values: Sequence[Mapping[str, Any] | None], schema: pa.Schema
) -> pa.Table:
    """``table`` with the columns of ``schema`` added or replaced. A row whose values do not fit
    fails alone.

    Args:
        table: Rows with the column ``__error``.
        stage: Stage that the error of such a row names.
        values: For each row, its values by column. None, or a missing column, becomes null.
        schema: Schema of the columns.
    """
    try:
        columns = _arrays(values, schema)
    except Exception:  # the value of some row does not fit; check each row to find it
        found = [_outcome(stage, row, schema) for row in values]
        table = c.set_errors(table, errors_with(table, found))
        columns = _arrays([None if isinstance(row, UnitError) else row for row in found], schema)
    return c.with_columns(table, columns, schema)


def _outcome(
    stage: Stage, row: Mapping[str, Any] | None, schema: pa.Schema
) -> Mapping[str, Any] | UnitError | None:
    try:
        _arrays([row], schema)
    except Exception as error:
        return unforeseen(stage, error)
    return row


def _arrays(values: Sequence[Mapping[str, Any] | None], schema: pa.Schema) -> dict[str, pa.Array]:
    rows = [row or {} for row in values]
    return {
        field.name: c.array([row.get(field.name) for row in rows], field.type) for field in schema
    }
