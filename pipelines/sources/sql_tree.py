"""What a condition in SQL says of itself, before any row is read: its columns, and bounds of their
values.

DuckDB parses it. What is not understood here is not looked at: bounds are implied by the condition,
and may be none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.extras import library

Node = dict[str, Any]

_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TIMES = ("DATE", "TIMESTAMP", "DATETIME")


@dataclass(frozen=True)
class Bound:
    """A comparison that every wanted row passes: `column` `operator` one of `values`.

    Args:
        column: As the condition spells it.
        operator: ``=``, ``<``, ``<=``, ``>``, ``>=``; ``=`` with several values means any of them.
        values: As written, int, bool or str.
    """

    column: str
    operator: str
    values: tuple[Any, ...]

    def of(self, schema: pa.Schema) -> TypedBound | None:
        """The bound on a column of ``schema``; None if there is none, or its type compares in
        another way."""
        named = [field for field in schema if field.name.casefold() == self.column.casefold()]
        if len(named) != 1:
            return None
        values = [_typed(value, named[0].type) for value in self.values]
        return None if None in values else TypedBound(named[0].name, self.operator, tuple(values))


@dataclass(frozen=True)
class TypedBound:
    """A `Bound` on a column that is there.

    Args:
        column: Its name.
        operator: As of the bound.
        values: Scalars of the column's type.
    """

    column: str
    operator: str
    values: tuple[pa.Scalar, ...]


def _typed(value: Any, kind: pa.DataType) -> pa.Scalar | None:
    """A value as the column holds it. Floats are left out: NaN is above all numbers, and statistics
    do not count it."""
    if isinstance(value, bool):
        fits = pa.types.is_boolean(kind)
    elif isinstance(value, int):
        fits = pa.types.is_integer(kind)
    else:
        text = (
            pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
        )
        fits = text or pa.types.is_date32(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)
    try:
        return pa.scalar(value).cast(kind) if fits else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


@cache
def _parsed(expression: str) -> Node | None:
    """The condition as a tree; None if DuckDB cannot say it as one."""
    duckdb = library("duckdb", "sql", "--where")
    connection = duckdb.connect(config={"threads": 1})
    try:
        said = connection.execute(
            "SELECT json_serialize_sql(?)", [f"SELECT 1 FROM t WHERE ({expression}\n)"]
        )
        found = json.loads(said.fetchone()[0])
    finally:
        connection.close()
    if found.get("error"):
        if found.get("error_type") == "parser":
            raise ConfigurationError(
                f"--where {expression!r}: {found['error_message']}. Give a condition in SQL."
            )
        return None
    statements = found["statements"]
    return statements[0]["node"]["where_clause"] if len(statements) == 1 else None


def _nodes(value: Any) -> Iterator[Node]:
    """Every node of a tree."""
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def columns_in(expression: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that the condition may look at.

    Raises:
        ConfigurationError: It cannot be parsed.
    """
    nodes = list(_nodes(_parsed(expression)))
    if not nodes or any(node["class"] in ("STAR", "POSITIONAL_REFERENCE") for node in nodes):
        return tuple(names)
    # The first part of a name may be the table, the second a field.
    said = {
        part.casefold()
        for node in nodes
        if node["class"] == "COLUMN_REF"
        for part in node["column_names"]
    }
    return tuple(name for name in names if name.casefold() in said)


def check_steady(expression: str, names: Sequence[str]) -> None:
    """Refuses a condition whose answer about a row depends on the time, on chance, or on other
    rows.

    A part of the input that is read a second time has to have the same rows.

    Raises:
        ConfigurationError: Naming what it depends on.
    """
    known = {name.casefold() for name in names}
    changing = _changing_functions()
    for node in _nodes(_parsed(expression)):
        if node["class"] in ("WINDOW", "SUBQUERY"):
            raise ConfigurationError(
                f"--where {expression!r}: must be a condition on one row, such as a = 1."
            )
        called = []
        if node["class"] == "FUNCTION":
            called = [node["function_name"]]
        elif node["class"] == "COLUMN_REF" and node["column_names"][0].casefold() not in known:
            called = node["column_names"][:1]
        if found := changing.intersection(name.casefold() for name in called):
            raise ConfigurationError(
                f"--where {expression!r}: {min(found)} has another value each time that it is read,"
                " and a part of the input may be read twice. Write the value itself, such as DATE"
                " '2026-01-31'."
            )


@cache
def _changing_functions() -> frozenset[str]:
    duckdb = library("duckdb", "sql", "--where")
    connection = duckdb.connect(config={"threads": 1})
    try:
        found = connection.execute(
            "SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        )
        names = {name for (name,) in found.fetchall()}
    finally:
        connection.close()
    return frozenset(names | {"current_timestamp", "current_time", "localtime", "localtimestamp"})


def bounds_in(expression: str) -> tuple[Bound, ...]:
    """Comparisons that follow from the condition. Rows that fail one are not wanted; others may not
    be, either."""
    tree = _parsed(expression)
    return () if tree is None else tuple(_bounds(tree))


def _bounds(node: Node) -> Iterator[Bound]:
    if node["type"] == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _bounds(child)
    elif node["type"] in _COMPARISONS:
        operator, left, right = _COMPARISONS[node["type"]], node["left"], node["right"]
        if _column(left) is None:
            operator, left, right = _MIRRORED[operator], right, left
        yield from _bound(left, operator, [right])
    elif node["type"] == "COMPARE_BETWEEN":
        yield from _bound(node["input"], ">=", [node["lower"]])
        yield from _bound(node["input"], "<=", [node["upper"]])
    elif node["type"] == "COMPARE_IN":
        yield from _bound(node["children"][0], "=", node["children"][1:])


def _bound(column: Node, operator: str, given: list[Node]) -> Iterator[Bound]:
    name, values = _column(column), [_constant(node) for node in given]
    if name is not None and None not in values:
        yield Bound(name, operator, tuple(values))


def _column(node: Node) -> str | None:
    """The name of a column; None for all else, also for a field of a column."""
    return (
        node["column_names"][0]
        if node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1
        else None
    )


def _constant(node: Node) -> int | bool | str | None:
    """A value as written; None for all else."""
    if node["type"] == "OPERATOR_CAST" and node["type_expr"].get("type_name", "").upper() in _TIMES:
        node = node["child"]
    if node["type"] != "VALUE_CONSTANT":
        return None
    literal = node.get("literal", {})
    kind, text = literal.get("kind"), literal.get("text")
    if kind == "INTEGER":
        return int(text)
    if kind == "BOOLEAN":
        return bool(text == "true")
    return text if kind == "STRING" else None
