"""CSV manifests (RFC 4180): every value stays the string it is.

A quoted value may hold newlines. A quote that is never closed must not swallow the rest of the file, so a row may span
at most 1,000 lines and 1 MiB; beyond that, and wherever quoting is broken, the line on which the row began is the bad
row, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.sources.lines import MAX_LINE_BYTES, Broken, Line, batches, read_lines
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.rows import RawRows
from pipelines.sources.storage import look_at, suffix_of

_MAX_LINES = 1_000
_MAX_CHARACTERS = 1 << 20

Record = tuple[int, "list[str] | Broken"]


def inspect(splits: list[Split], options: SourceOptions) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    headers = [(split, header) for split, header in look_at(splits, _header) if header is not None]
    if not headers:
        return pa.schema([]), splits, {}
    first, columns = headers[0]
    for split, header in headers[1:]:
        if sorted(header) != sorted(columns):
            raise ConfigurationError(
                f"--input {options.uri}: {split.name} has columns {', '.join(header)}; "
                f"{first.name} has {', '.join(columns)}. All parts need the same columns."
            )
    return pa.schema([(name, pa.string()) for name in columns]), splits, {}


def _header(split: Split) -> list[str] | None:
    """Column names; ``None`` of an empty file. A name left empty, as pandas writes for its index, gets one."""
    _, header = next(read_records(split, header=True), (1, None))
    if header is None:
        return None
    try:
        what = header.message if isinstance(header, Broken) else None
        "".join(header if isinstance(header, list) else ()).encode()
    except UnicodeEncodeError:
        what = "it is not UTF-8"
    if isinstance(header, Broken) or what:
        raise ConfigurationError(f"--input: header of {split.uri} cannot be read: {what}. CSV in UTF-8 is needed.")
    names = [name.strip() or f"unnamed_{position}" for position, name in enumerate(header)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigurationError(
            f"--input: header of {split.uri} names '{min(twice)}' twice; rename one of the columns."
        )
    return names


def count(plan: SourcePlan, split: Split) -> int:
    return sum(1 for _ in islice(read_records(split), split.max_rows))


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    try:
        names, trouble = _header(split) or [], None
    except ConfigurationError as error:  # of many files not every header was looked at on start
        names, trouble = [], str(error)
    for batch in batches(islice(read_records(split), split.max_rows), batch_rows):
        raw = _rows(plan, names, batch)
        if trouble:
            raw.problems = dict.fromkeys(range(len(batch)), trouble)
        yield raw


def _rows(plan: SourcePlan, names: list[str], batch: list[Record]) -> RawRows:
    width, problems = len(names), {}
    empty, rows = [None] * width, []
    for row, (_, cells) in enumerate(batch):
        if isinstance(cells, list) and len(cells) == width:
            rows.append(cells)
            continue
        rows.append(empty)  # type: ignore[arg-type]
        problems[row] = (
            cells.message
            if isinstance(cells, Broken)
            else f"{len(cells)} values for the {width} columns of the header; quote values that hold a comma or newline"
        )
    columns = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        try:
            columns[name] = pa.array(values, pa.string())
        except UnicodeEncodeError:
            columns[name] = pa.array([_clean(problems, row, value) for row, value in enumerate(values)], pa.string())
    numbers = np.fromiter((number for number, _ in batch), np.int64, len(batch))
    if set(names) != set(plan.columns.names):  # of so many files not every header was looked at
        odd = min(set(names) ^ set(plan.columns.names))
        message = f"column '{odd}' is in some of the files only; write all parts with the same columns"
        problems |= dict.fromkeys(range(len(batch)), message)
    missing = pa.nulls(len(batch), pa.string())
    return RawRows({name: columns.get(name, missing) for name in plan.columns.names}, numbers, problems)


def _clean(problems: dict[int, str], row: int, value: str | None) -> str | None:
    try:
        if value is not None:
            value.encode()
    except UnicodeEncodeError:
        problems[row] = "line is not UTF-8; write the manifest in UTF-8"
        return None
    return value


def read_records(split: Split, *, header: bool = False) -> Iterator[Record]:
    """Yields each row with the number of the line it begins on; blank lines are skipped.

    Args:
        header: Begin with the header, which is all that will be read.
    """
    # The module's own limit of 128 KiB a value would refuse long prompts.
    csv.field_size_limit(MAX_LINE_BYTES)
    records = _records(_Lines(read_lines(split.uri, head_only=header)), "\t" if suffix_of(split.uri) == ".tsv" else ",")
    return records if header else islice(records, 1, None)


def _records(lines: _Lines, delimiter: str) -> Iterator[Record]:
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _Runaway) as error:
            number, message = lines.give_up(str(error))
            yield number, Broken(message)
            reader = csv.reader(lines, strict=True, delimiter=delimiter)
            continue
        if cells:
            yield lines.taken[0][0], cells


class _Runaway(Exception):
    """A row became longer than rows may be, or ran into a line that cannot be read."""


class _Lines:
    """Feeds ``csv.reader`` and remembers the lines of the row in the making, to go back when it turns out broken."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._size = 0
        self.taken: list[Line] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        item = self._again.popleft() if self._again else next(self._lines)
        if self.taken:
            self._size += len(item[1]) if isinstance(item[1], bytes) else 0
            if len(self.taken) >= _MAX_LINES or self._size > _MAX_CHARACTERS:
                self.taken.append(item)
                raise _Runaway("a quote opened here is not closed within 1,000 lines and 1 MiB")
        else:
            self._size = 0
        self.taken.append(item)
        if isinstance(item[1], Broken):
            raise _Runaway(item[1].message)
        return item[1].decode(errors="surrogateescape") + "\n"

    def give_up(self, why: str) -> tuple[int, str]:
        """Leaves the first line of the row behind as the broken one and hands out the others again."""
        number, line = self.taken[0]
        self._again.extendleft(reversed(self.taken[1:]))
        return number, line.message if isinstance(line, Broken) else f"not CSV ({why}); close and double quotes in it"
