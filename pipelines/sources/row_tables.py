"""Turns the rows of a reader into the tables that travel on: id, passthrough columns, position,
media, error."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError, unforeseen
from pipelines.columns import ERROR_TYPE, MEDIA_TYPE, READ
from pipelines.flags import in_flags
from pipelines.sources.ids import ids_from_column, made_ids
from pipelines.sources.listed_media import as_cells, lists_in
from pipelines.sources.media_column import to_media
from pipelines.sources.options import POSITION_BITS, SourcePlan, Split
from pipelines.sources.places import below, folder_of_media
from pipelines.sources.raw_rows import RawRows, TooLargeMedia

_SEVERAL = (
    "several media, and none of the rows looked at on start has several; put such a row first, or"
    " write the manifest as JSONL"
)


def finish(plan: SourcePlan, split: Split, raw: RawRows) -> pa.Table:
    """Makes a table of ``plan.table_schema``; rows that cannot be processed carry an error of kind
    ``bad_row``."""
    try:
        return _finish(plan, split, raw)
    except ConfigurationError:
        raise  # every other row would fail in the same way
    # the value of some row causes an unforeseen exception; trying each row alone finds it
    except Exception:
        return pa.concat_tables(
            _alone(plan, split, raw.row(row)) for row in range(len(raw.numbers))
        )


def _alone(plan: SourcePlan, split: Split, raw: RawRows) -> pa.Table:
    try:
        return _finish(plan, split, raw)
    except ConfigurationError:
        raise
    except Exception as error:
        nothing = {name: pa.nulls(1, column.type) for name, column in raw.columns.items()}
        message = unforeseen("read", error).message
        return _finish(plan, split, RawRows(nothing, raw.numbers, {0: message}, raw.ids, None))


def _finish(plan: SourcePlan, split: Split, raw: RawRows) -> pa.Table:
    size = len(raw.numbers)
    numbers = pa.array(raw.numbers, pa.int64())
    sources = pc.binary_join_element_wise(split.name, numbers.cast(pa.string()), ":")
    media, paths, problems = _media(plan, split, raw)
    problems = {row: f"column '{plan.media_column}': {text}" for row, text in problems.items()}
    ids = _ids(plan, raw, media)
    given = raw.ids is not None or plan.id_column is not None
    if given:
        empty = np.flatnonzero(pc.is_null(ids).to_numpy(zero_copy_only=False)).tolist()
        problems |= dict.fromkeys(
            empty, f"column '{plan.id_column}': null or empty; every row needs an id"
        )
    problems |= raw.problems
    if problems:  # a row that has an id keeps it, so that the user can find the row
        without = np.zeros(size, bool)
        without[[row for row in problems if not given or not ids[row].is_valid]] = True
        ids = pc.if_else(pa.array(without), sources, ids)
    passing = (
        raw.columns
        if raw.media is not None or plan.media_column is None
        else raw.columns | {plan.media_column: paths}
    )
    made = {
        "id": ids,
        "__source": sources,
        "__position": pa.array((np.int64(split.index) << POSITION_BITS) + raw.numbers - 1),
        "__media": media,
        "__error": _errors(sources, problems),
        "__notes": _notes(size, raw.notes),
    }
    schema = plan.table_schema
    return pa.table([made.get(f.name, passing.get(f.name)) for f in schema], schema=schema)


def _media(
    plan: SourcePlan, split: Split, raw: RawRows
) -> tuple[pa.ListArray, pa.Array | None, dict[int, str]]:
    if raw.media is not None:
        return to_media(raw.media)
    if plan.media_column is None:
        return pa.nulls(len(raw.numbers), MEDIA_TYPE), None, {}
    column = raw.columns[plan.media_column]
    lists = lists_in(column) if plan.format == "csv" else None
    media, paths, problems = to_media(
        column if lists is None else lists, optional=plan.options.media_optional
    )
    if lists is not None and paths is not None:
        paths = as_cells(paths)
        if not plan.several_media:  # blocks are made for rows of one file
            several = np.flatnonzero(
                pc.greater(pc.fill_null(pc.list_value_length(media), 0), 1)
            ).tolist()
            problems |= dict.fromkeys(several, _SEVERAL)
    folder = "" if plan.format == "files" else folder_of_media(plan, split)
    return below(media, folder) if folder else media, paths, problems


def _ids(plan: SourcePlan, raw: RawRows, media: pa.ListArray) -> pa.Array:
    if raw.ids is not None:
        return raw.ids
    if plan.id_column is not None:
        return ids_from_column(raw.columns[plan.id_column])
    return made_ids(
        media, {n: raw.columns[n] for n in plan.options.prompt_columns if n in raw.columns}
    )


def _notes(size: int, notes: dict[int, list[str]]) -> pa.Array:
    kind = READ.field("__notes").type
    return (
        pa.array([notes.get(row) for row in range(size)], kind) if notes else pa.nulls(size, kind)
    )


def _errors(sources: pa.Array, problems: dict[int, str]) -> pa.Array:
    size = len(sources)
    if not problems:
        return pa.nulls(size, ERROR_TYPE)
    messages: list[str | None] = [None] * size
    kinds = ["bad_row"] * size
    for row, text in problems.items():
        if isinstance(text, TooLargeMedia):
            kinds[row] = "too_large"
        messages[row] = f"{sources[row].as_py()}: {in_flags(text)}"
    filled = [
        pa.array(["read"] * size, pa.string()),
        pa.array(kinds, pa.string()),
        pa.array(messages, pa.string()),
        pa.array(np.ones(size, np.int32)),
        pa.array(np.zeros(size, bool)),
    ]
    return pa.StructArray.from_arrays(filled, fields=list(ERROR_TYPE), mask=pc.is_null(filled[2]))
