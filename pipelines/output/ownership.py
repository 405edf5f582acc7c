"""Determines which run of this project wrote a file of an output, by the file's name and its
metadata together.

A run names its files ``<run id>-<number>.parquet`` and writes a mark into their metadata that names
the same run. Only such files are ever removed or rewritten; all other files in the folder are
somebody else's.
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import datetime

import pyarrow.parquet as pq

MARK = b"internvl_batch"  # in the metadata of every Parquet file: {"run": …, "token": …}
_NAME = re.compile(r"(?P<run>.+)-(?P<number>\d{6,})\.parquet", re.DOTALL)
_RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")  # the form of `new_run_id`


def mark(run_id: str, token: int = 0) -> dict[bytes, bytes]:
    """Metadata that names the run that wrote a file.

    Args:
        run_id: Id of the run.
        token: Number of the lease that the run holds; see `pipelines.output.lease`.
    """
    return {MARK: json.dumps({"run": run_id, "token": token}).encode()}


def new_run_id(started: datetime) -> str:
    """An id for a run. Ids sort by time, and two runs that start in the same second get different
    ids."""
    return f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def is_run_id(text: str) -> bool:
    """Whether a text has the form of `new_run_id`."""
    return _RUN_ID.fullmatch(text) is not None


def parquet_name(run_id: str, number: int) -> str:
    return f"{run_id}-{number:06d}.parquet"


def named_run(name: str) -> tuple[str, int] | None:
    """The run and the number in a file's name; None if the name has another form."""
    match = _NAME.fullmatch(name.rpartition("/")[2])
    return (match["run"], int(match["number"])) if match else None


def writer_of(name: str, footer: pq.FileMetaData) -> str | None:
    """The run of this project that wrote a Parquet file; None if that is not proven.

    Files of versions without marks are recognised by a run id of the usual form in their name, if
    every row has the same id in the column ``run_id``.
    """
    named = named_run(name)
    if named is None:
        return None
    run, _ = named
    metadata = footer.metadata or {}
    if MARK in metadata:
        return run if _marked_run(metadata[MARK]) == run else None
    return run if _RUN_ID.fullmatch(run) and _runs_in_rows(footer) == {run} else None


def _marked_run(text: bytes) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value.get("run") if isinstance(value, dict) else None


def _runs_in_rows(footer: pq.FileMetaData) -> set[str | None]:
    """Smallest and largest value of the column ``run_id`` of each row group, from the footer's
    statistics."""
    found: set[str | None] = set()
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        columns = [group.column(number) for number in range(group.num_columns)]
        statistics = next(
            (column.statistics for column in columns if column.path_in_schema == "run_id"), None
        )
        if statistics is None or not statistics.has_min_max:
            return {None}
        found |= {statistics.min, statistics.max}
    return found
