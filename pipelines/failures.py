"""What one row sets off costs that row: not its block, not its stage, not the job.

No code foresees what stands in everybody's manifests and in every model's answers. Stages run each row's own work
through these functions, so that any exception becomes that row's error, with the place it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, Stage, UnitError, unforeseen
from pipelines import columns as c


def outcomes(rows: pa.Table, stage: Stage, of: Callable[[pa.Table], Any]) -> list[Any]:
    """``of`` each row, as a table of one; None for a row that has failed, a `UnitError` where it raises."""
    found: list[Any] = []
    for number, error in enumerate(rows[c.ERROR].to_pylist()):
        try:
            found.append(None if error else of(rows.slice(number, 1)))
        except ConfigurationError:
            raise  # every other row would meet it, too
        except Exception as problem:
            found.append(unforeseen(stage, problem))
    return found


def errors_with(rows: pa.Table, found: Sequence[Any]) -> list[dict | None]:
    """The errors of ``rows``, with those of ``found`` that are a `UnitError`."""
    return [
        c.error_value(outcome) if isinstance(outcome, UnitError) else error
        for error, outcome in zip(rows[c.ERROR].to_pylist(), found, strict=True)
    ]


def one_by_one(work: Callable[[pa.Table], pa.Table], rows: pa.Table, stage: Stage) -> pa.Table:
    """``work(rows)``; where that raises, on each row alone, and a row on which it raises carries the error from there.

    The net under a stage, for what its finer guards let through.

    Args:
        work: One row in, one row out, in order; it leaves a row alone that has failed before.
        rows: With the column ``__error``.
        stage: Named in the errors.
    """
    try:
        return work(rows)
    except ConfigurationError:
        raise  # every other row would meet it, too
    except Exception as error:
        if len(rows) > 1:
            return pa.concat_tables([one_by_one(work, rows.slice(row, 1), stage) for row in range(len(rows))])
        if not len(rows):
            raise
        return work(c.set_errors(rows, [c.error_value(unforeseen(stage, error))]))


def fill(table: pa.Table, stage: Stage, values: Sequence[Mapping[str, Any] | None], schema: pa.Schema) -> pa.Table:
    """``table`` with the columns of ``schema`` added or replaced; a row whose values they cannot hold fails alone.

    Args:
        table: With the column ``__error``.
        stage: Named in the error of such a row.
        values: For each row its values by column; None, or a column left out, is null.
        schema: Of the columns.
    """
    try:
        columns = _arrays(values, schema)
    except Exception:  # some row's value; which one, a look at each says
        found = [_outcome(stage, row, schema) for row in values]
        table = c.set_errors(table, errors_with(table, found))
        columns = _arrays([None if isinstance(row, UnitError) else row for row in found], schema)
    return c.with_columns(table, columns, schema)


def _outcome(stage: Stage, row: Mapping[str, Any] | None, schema: pa.Schema) -> Mapping[str, Any] | UnitError | None:
    try:
        _arrays([row], schema)
    except Exception as error:
        return unforeseen(stage, error)
    return row


def _arrays(values: Sequence[Mapping[str, Any] | None], schema: pa.Schema) -> dict[str, pa.Array]:
    rows = [row or {} for row in values]
    return {field.name: c.array([row.get(field.name) for row in rows], field.type) for field in schema}
