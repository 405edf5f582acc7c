"""The questions that the page asks about a selection: rows, one unit, counts, values of a column,
histograms."""

from __future__ import annotations

import math
from typing import Any

from pipelines.output.sql import quoted
from pipelines.viewer.database import Column, Database, QueryError, view
from pipelines.viewer.selection import Selection

PREVIEW = 300  # characters of a text in a list
SHOWN = 100_000  # characters of a text in one answer about a unit; the page asks for more
BOXES = 200  # boxes in one answer
_VALUES = 50
_BINS = 30


def rows(database: Database, chosen: Selection, limit: int, offset: int) -> dict[str, Any]:
    """Some rows, with texts cut to `PREVIEW`, and whether more follow."""
    source, parameters = chosen.source(database)
    columns = database.columns[chosen.output, chosen.table]
    shown = ", ".join(_cut(column, PREVIEW) for column in columns)
    sql = f"SELECT {shown} {source} {chosen.order(database)} LIMIT {limit + 1} OFFSET {offset}"
    found = database.query(sql, parameters)
    return {"rows": found[:limit], "offset": offset, "more": len(found) > limit}


def count(database: Database, chosen: Selection) -> int:
    source, parameters = chosen.source(database)
    return int(database.query(f"SELECT count(*) AS n {source}", parameters)[0]["n"])


def unit(database: Database, chosen: Selection, id: str) -> dict[str, Any]:
    """One row with long texts cut to `SHOWN`, and the length of each text.

    Raises:
        QueryError: There is none of this id.
    """
    columns = database.columns[chosen.output, chosen.table]
    if not columns:
        raise QueryError(f"the output has no {chosen.table}")
    lengths = [
        f"length({quoted(c.name)}) AS {quoted(f'# {c.name}')}" for c in columns if c.kind == "text"
    ]
    shown = ", ".join([*(_cut(column, SHOWN) for column in columns), *lengths])
    found = database.query(
        f"SELECT {shown} FROM {view(chosen.output, chosen.table)} WHERE id = ? LIMIT 1", [id]
    )
    if not found:
        raise QueryError(f"there is no unit {id!r} in {chosen.table}")
    values = {name: value for name, value in found[0].items() if not name.startswith("# ")}
    return {
        "values": values,
        "lengths": {
            name[2:]: value
            for name, value in found[0].items()
            if name.startswith("# ") and value is not None
        },
    }


def text(database: Database, chosen: Selection, id: str, name: str, start: int) -> str:
    """A part of a long text, `SHOWN` characters from ``start``."""
    column = chosen.column(database, name)
    sql = (
        f"SELECT {quoted(column.name)}[? : ?] AS part FROM {view(chosen.output, chosen.table)}"
        " WHERE id = ? LIMIT 1"
    )
    found = database.query(sql, [start + 1, start + SHOWN, id])
    return str(found[0]["part"] or "") if found and column.kind == "text" else ""


def whole_text(database: Database, chosen: Selection, id: str, name: str, most: int) -> str | None:
    """A text of one unit, at most ``most`` characters; None if the unit has none."""
    column = chosen.column(database, name)
    sql = (
        f"SELECT left({quoted(column.name)}::VARCHAR, {most}) AS value FROM"
        f" {view(chosen.output, chosen.table)}"
    )
    found = database.query(f"{sql} WHERE id = ? LIMIT 1", [id])
    return found[0]["value"] if found else None


def beside(database: Database, chosen: Selection, parent: str, page: int) -> dict[str, str | None]:
    """Ids of the pages before and after a page of a document."""
    table = view(chosen.output, chosen.table)
    sql = (
        f"SELECT (SELECT id FROM {table} WHERE parent = ? AND page < ? ORDER BY page DESC LIMIT 1)"
        f" AS before, (SELECT id FROM {table} WHERE parent = ? AND page > ? ORDER BY page LIMIT 1)"
        " AS after"
    )
    return database.query(sql, [parent, page, parent, page])[0]


def values(database: Database, chosen: Selection, name: str) -> list[dict[str, Any]]:
    """The most frequent values of a column, with the number of rows of each."""
    column = chosen.column(database, name)
    source, parameters = chosen.source(database)
    value = f"left({quoted(column.name)}::VARCHAR, {PREVIEW})"
    sql = (
        f"SELECT {value} AS value, count(*) AS rows {source} GROUP BY ALL ORDER BY rows DESC, value"
        f" LIMIT {_VALUES}"
    )
    return database.query(sql, parameters)


def histogram(database: Database, chosen: Selection, name: str) -> dict[str, Any]:
    """A number, or the length of a text or list, in equal bins, with its quartiles.

    Returns:
        ``expression`` in SQL, ``bins`` of start, end and rows, the number of rows without a value,
        least, quartiles, greatest and mean.
    """
    column = chosen.column(database, name)
    expression = quoted(column.name) if column.kind == "number" else f"len({quoted(column.name)})"
    if column.kind not in ("number", "text", "boxes") and not column.type.endswith("]"):
        raise QueryError(f"column {name!r} is {column.type}: it has neither numbers nor a length")
    source, parameters = chosen.source(database)
    numbers = f"SELECT {expression}::DOUBLE AS value {source}"
    whole = "count(*) FILTER (WHERE value <> floor(value)) = 0 AS whole"
    quartiles = ", ".join(
        f"quantile_cont(value, {share}) AS q{int(100 * share)}" for share in (0.25, 0.5, 0.75)
    )
    told = database.query(
        f"WITH numbers AS ({numbers}), there AS (SELECT value FROM numbers WHERE isfinite(value))"
        " SELECT (SELECT count(*) FROM numbers) - count(*) AS without, count(*) AS rows,"
        f" min(value) AS least, max(value) AS greatest, avg(value) AS mean, {whole}, {quartiles}"
        " FROM there",
        parameters,
    )[0]
    if not told["rows"]:
        return {"expression": expression, "bins": [], **told}
    start, width, bins = _bins(told["least"], told["greatest"], whole=bool(told["whole"]))
    bin_of = f"least(floor((value - {start!r}) / {width!r}), {bins - 1})::INTEGER AS bin"
    counted = database.query(
        f"WITH numbers AS ({numbers}) SELECT {bin_of}, count(*) AS rows FROM numbers WHERE"
        " isfinite(value) GROUP BY 1",
        parameters,
    )
    by_bin = {row["bin"]: row["rows"] for row in counted}
    shown = [
        {
            "start": start + width * number,
            "end": start + width * (number + 1),
            "rows": by_bin.get(number, 0),
        }
        for number in range(bins)
    ]
    return {"expression": expression, "bins": shown, **told}


def _bins(least: float, greatest: float, *, whole: bool) -> tuple[float, float, int]:
    """Start, width and number of bins; bins of whole numbers hold whole numbers of them."""
    spread = greatest - least + (1 if whole else 0)
    if not spread or not math.isfinite(spread):
        return least, 1.0, 1
    width = math.ceil(spread / _BINS) if whole else spread / _BINS
    return least, float(width), max(1, math.ceil(spread / width)) if whole else _BINS


def _cut(column: Column, most: int) -> str:
    """A column as the page gets it: texts and structures cut to ``most`` characters, all else as it
    is."""
    name = quoted(column.name)
    if column.kind in ("number", "boolean"):
        return name if column.type not in ("HUGEINT", "UHUGEINT") else f"{name}::VARCHAR AS {name}"
    if column.kind == "text":
        return f"left({name}, {most}) AS {name}"
    if column.kind == "boxes":
        return f"list_slice({name}, 1, {BOXES}) AS {name}"
    if column.type == "BLOB":
        return f"octet_length({name}) || ' bytes' AS {name}"
    if column.kind == "time":
        return f"{name}::VARCHAR AS {name}"
    return f"left(to_json({name})::VARCHAR, {most}) AS {name}"


def compared(
    database: Database, pair: tuple[int, int], name: str, which: str, page: tuple[int, int]
) -> dict[str, Any]:
    """Units of two outputs side by side, by id, with what differs in one column.

    Args:
        database: The outputs' tables.
        pair: Numbers of the outputs.
        name: A column that both have.
        which: "differs", "same", "first" or "second" (only there), or "all".
        page: Number of rows, and of rows before them.
    """
    first, second = pair
    column = Selection(output=first).column(database, name)
    Selection(output=second).column(database, name)
    value = quoted(name)
    table = f"compared_{first}_{second}_{name}"
    status = (
        "CASE WHEN b.id IS NULL THEN 'first' WHEN a.id IS NULL THEN 'second' WHEN"
        f" a.{value}::VARCHAR IS NOT DISTINCT FROM b.{value}::VARCHAR THEN 'same' ELSE"
        " 'differs' END"
    )
    database.derive(
        table,
        f"SELECT coalesce(a.id, b.id) AS id, {status} AS status FROM {view(first, 'results')} a "
        f"FULL JOIN {view(second, 'results')} b ON a.id = b.id",
    )
    counts = {
        row["status"]: row["rows"]
        for row in database.query(
            f"SELECT status, count(*) AS rows FROM {quoted(table)} GROUP BY status"
        )
    }
    limit, offset = page
    chosen = "true" if which == "all" else "status = ?"
    found = database.query(
        f"WITH page AS (SELECT * FROM {quoted(table)} WHERE {chosen} ORDER BY id LIMIT {limit + 1}"
        f" OFFSET {offset}) SELECT page.id, page.status, left(a.{value}::VARCHAR, {PREVIEW}) AS"
        f" first, left(b.{value}::VARCHAR, {PREVIEW}) AS second FROM page LEFT JOIN"
        f" {view(first, 'results')} a ON a.id = page.id LEFT JOIN {view(second, 'results')} b ON"
        " b.id = page.id ORDER BY page.id",
        [] if which == "all" else [which],
    )
    return {
        "column": column.name,
        "counts": counts,
        "rows": found[:limit],
        "offset": offset,
        "more": len(found) > limit,
    }
