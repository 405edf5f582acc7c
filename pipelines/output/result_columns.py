"""The columns of results/ and errors/: a row's own, those of its answer, and those of its media."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from internvl_ops.tasks import Task
from internvl_ops.tasks.outcomes import COUNTED
from pipelines import columns as c

ERROR_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("stage", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("retriable", pa.bool_()),
        ("run_id", pa.string()),
        ("retry", pa.string()),  # the option with which the same command runs the unit again
        ("media", pa.list_(pa.string())),  # without credentials
        ("source_version", pa.string()),
    ]
)
SIZE = [("width", pa.int32()), ("height", pa.int32()), ("num_tiles", pa.int32())]
# what a PDF says of a page, and with its first page of itself
DOCUMENT_INFO = ("page_label", "document_info")
# Columns measured for a unit, by the kind of media and whether files were split into units.
MEASURE_COLUMNS: dict[tuple[str, bool], pa.Schema] = {
    ("image", False): pa.schema(SIZE),
    ("document", True): pa.schema(
        [
            ("parent", pa.string()),
            ("page", pa.int32()),
            (c.NUM_PARTS, pa.int32()),
            *SIZE,
            *((name, pa.string()) for name in DOCUMENT_INFO),
        ]
    ),
    ("video", False): pa.schema([*SIZE, ("num_frames", pa.int32())]),
    ("video", True): pa.schema(
        [
            ("parent", pa.string()),
            ("clip_start", pa.float64()),
            ("clip_end", pa.float64()),
            (c.NUM_PARTS, pa.int32()),
            *SIZE,
            ("num_frames", pa.int32()),
        ]
    ),
}
_SAID_AT_THE_END = ("source_version", "model", "run_id")


def own_columns(task: Task, answered: pa.Schema, measures: pa.Schema) -> pa.Schema:
    """Columns of a result besides id and the manifest's.

    Args:
        task: Task of the job; the raw answer of its outcome comes first, then the task's own
            columns.
        answered: The columns that its outcome brings; see
            `internvl_ops.tasks.outcomes.Outcome.columns`.
        measures: Columns measured for the unit's media, of `MEASURES`.
    """
    tail = pa.schema(
        [("notes", pa.list_(pa.string())), *((name, pa.string()) for name in _SAID_AT_THE_END)]
    )
    return pa.unify_schemas([task.outcome.raw, task.columns, measures, answered, tail])


def kept_names(passthrough: pa.Schema, own: pa.Schema) -> dict[str, str]:
    """The name of each manifest column in ``results/``: its own, or ``manifest_<name>`` if that is
    taken.

    Names that differ only in case count as the same, as they do in SQL and Spark. Names that start
    with ``__`` belong to the pipeline. If a manifest is itself an output, it may have both names;
    then ``manifest_`` is prepended until the name is free.
    """
    exploded = c.EXPLODED.names if "parent" in own.names else []
    ours = ("id", c.MORE, *own.names, *c.PREPARED.names, *COUNTED.names, *exploded)
    needed = {name.casefold() for name in ours}
    names: dict[str, str] = {}
    used: set[str] = set()
    later = []
    for name in passthrough.names:
        if name.casefold() in needed | used or name.startswith("__"):
            later.append(name)
        else:
            names[name] = name
            used.add(name.casefold())
    for name in later:
        free = f"manifest_{name}"
        while free.casefold() in needed | used:
            free = f"manifest_{free}"
        names[name] = free
        used.add(free.casefold())
    return names


def result_schema(
    passthrough: pa.Schema, task: Task, own: pa.Schema, names: Mapping[str, str] | None = None
) -> pa.Schema:
    """Columns of ``results/``: id, the manifest's own, ``more_columns``, and ``own`` (see
    `own_columns`).

    The schema's metadata, and that of the task's columns, contain task and prompt. ``names`` maps
    the manifest's columns to their names here; the default is `kept_names`.
    """
    said = {b"task": task.name.encode(), b"prompt": task.prompt.encode()}
    names = kept_names(passthrough, own) if names is None else names
    kept = [field.with_name(names[field.name]) for field in passthrough]
    columns = [
        field.with_metadata(said) if field.name in task.columns.names else field for field in own
    ]
    return pa.schema(
        [pa.field("id", pa.string()), *kept, pa.field(c.MORE, pa.string()), *columns], metadata=said
    )


def carried_names(results: pa.Schema) -> list[str]:
    """Columns of ``results/`` that a row carries over from the manifest, including
    ``more_columns``."""
    return [name for name in results.names[: first_own(results)] if name != "id"]


def first_own(results: pa.Schema) -> int:
    """Where the columns begin that a result does not carry over: after ``more_columns``.

    Outputs of older versions lack that column. All of them hold texts, so their first own column is
    ``response``.
    """
    if c.MORE in results.names:
        return results.names.index(c.MORE) + 1
    return results.names.index("response") if "response" in results.names else len(results)


def error_schema(results: pa.Schema) -> tuple[pa.Schema, dict[str, str]]:
    """Columns of ``errors/``: those of every error, the part of a file that the unit is, and the
    manifest's own.

    Args:
        results: Schema from `result_schema`.

    Returns:
        The schema, and the name of each column in a finished row. A manifest's column has the same
        name as in results, or ``manifest_<name>`` if errors have a column of that name.
    """
    parts = [results.field(name) for name in c.PART_COLUMNS if name in results.names]
    own = pa.schema([*ERROR_SCHEMA, *parts])
    carried = [results.field(name) for name in carried_names(results)]
    names = kept_names(pa.schema([field for field in carried if field.name != c.MORE]), own) | {
        c.MORE: c.MORE
    }
    schema = pa.schema([*own, *(field.with_name(names[field.name]) for field in carried)])
    there = {field.name: field.name for field in parts} | {
        names[field.name]: field.name for field in carried
    }
    return schema, {"media": c.PLACES, "source_version": "source_version", **there}
