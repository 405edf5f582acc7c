"""Which rows and columns of an input are wanted: ``--where`` and ``--columns``."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from pipelines.sources.condition import Condition
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.sql_tree import Bound, TypedBound, bounds_in, check_steady, columns_in

_OPERATORS = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Wanted:
    """The rows that a condition wants. Picklable.

    Args:
        condition: The condition.
        columns: Columns of the input that it looks at, as the input names them.
        bounds: What every wanted row passes, for readers that can leave out whole parts of a file
            by it.
    """

    condition: Condition
    columns: tuple[str, ...]
    bounds: tuple[Bound, ...]

    def bounds_on(self, schema: pa.Schema) -> list[TypedBound]:
        """The bounds on columns of ``schema``, of its types."""
        return [bound for one in self.bounds if (bound := one.of(schema)) is not None]

    def expression(self, schema: pa.Schema) -> Any:
        """The bounds as an expression of Arrow; None if there are none."""
        return _expression(self.bounds_on(schema))

    def may_hold(self, constants: dict[str, pa.Scalar]) -> bool:
        """Whether rows can be wanted in which these columns have these values."""
        row = pa.table(
            {name: pa.repeat(value, 1) for name, value in constants.items() if name in self.columns}
        )
        expression = self.expression(row.schema)
        return expression is None or len(row.filter(expression)) > 0

    def of(self, raw: RawRows) -> RawRows:
        """The wanted ones of some rows. A row that cannot be tested is kept, as a row with a
        problem."""
        size = len(raw.numbers)
        looked_at = {name: raw.columns[name] for name in self.columns}
        # A table needs a column to have rows.
        rows = pa.table(looked_at if looked_at else {"": pa.nulls(size)})
        kept, problems = self.condition.test(rows)
        for row in raw.problems:
            kept[row] |= not looked_at or any(
                not column[row].is_valid for column in looked_at.values()
            )
        for row, text in problems.items():
            kept[row] = True
            raw.problems.setdefault(row, text)
        return raw if kept.all() else raw.take(np.flatnonzero(kept))


def _expression(bounds: Iterable[TypedBound]) -> Any:
    parts = []
    for bound in bounds:
        field = pc.field(bound.column)
        parts.append(
            reduce(
                operator.or_, (_OPERATORS[bound.operator](field, value) for value in bound.values)
            )
        )
    return reduce(operator.and_, parts) if parts else None


def wanted_of(where: str, columns: pa.Schema) -> Wanted:
    """The rows for which ``where`` is true.

    Raises:
        ConfigurationError: It is not a condition on a row of these columns.
    """
    condition = Condition(where, "manifest")
    names = columns_in(where, columns.names)
    check_steady(where, columns.names)
    looked_at = [columns.field(name) for name in names]
    try:
        condition.check(pa.schema(looked_at or [pa.field("", pa.null())]))
    except ConfigurationError as error:
        kinds = ", ".join(f"{field.name} ({field.type})" for field in columns)
        raise ConfigurationError(
            f"{str(error).rstrip('.')}. Columns of the input: {kinds}."
        ) from None
    return Wanted(condition, names, bounds_in(where))


def check_names(names: Sequence[str], columns: Sequence[str]) -> None:
    """Refuses ``--columns`` that are not there.

    Raises:
        ConfigurationError: Naming the first, and those there are.
    """
    for name in names:
        if name not in columns:
            raise ConfigurationError(
                f"--columns {','.join(names)}: no column {name!r} in the input. Columns there:"
                f" {', '.join(columns)}."
            )
