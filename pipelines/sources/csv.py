"""CSV manifests (RFC 4180), and TSV without quoting: every value stays a string.

A quoted value may hold newlines. An unclosed quote must not swallow the rest of the file, so a row
may span at most 1,000 lines and 1 MiB. Beyond that, and wherever quoting is broken, the line on
which the row began is the bad row, and reading continues with the next line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.sources.conversion import set_aside
from pipelines.sources.lines import MAX_LINE_BYTES, Broken, Line, batches, read_lines
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.storage import look_at, suffix_of

HEADLESS = "headless"  # key in the details of a plan: files whose first line is a row
_MAX_LINES = 1_000
_MAX_CHARACTERS = 1 << 20

Record = tuple[int, "list[str] | Broken"]


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Finds the columns of all files; the columns of the first file come first."""
    looks = look_at(splits, lambda split: _header(split, options))
    headers = [(split, header) for split, header in looks if header is not None]
    columns: dict[str, None] = {}
    for split, header in headers:
        if columns and not columns.keys() & set(header):
            first = headers[0][0]
            raise ConfigurationError(
                f"--input {options.uri}: {split.name} has columns {', '.join(header)}; {first.name}"
                f" has {', '.join(columns)}. Where the files have no header, name their columns:"
                " --columns A,B."
            )
        columns |= dict.fromkeys(header)
    headless = [
        split.name
        for split, _ in headers
        if options.names and not _begins_with_header(split, options)
    ]
    return pa.schema([(name, pa.string()) for name in columns]), splits, {HEADLESS: headless}


def _header(split: Split, options: SourceOptions) -> list[str] | None:
    """Column names; ``None`` for an empty file. An empty name, as pandas writes for its index, is
    replaced."""
    _, header = next(read_records(split, options, header=True), (1, None))
    if header is None:
        return None
    try:
        what = header.message if isinstance(header, Broken) else None
        "".join(header if isinstance(header, list) else ()).encode()
    except UnicodeEncodeError:
        what = "it is not UTF-8"
    if isinstance(header, Broken) or what:
        _check_form(split, [], options)
        raise ConfigurationError(
            f"--input: header of {split.uri} cannot be read: {what}. CSV in UTF-8 is needed."
        )
    if options.names and not _has_header(split, header, options):
        return list(options.names)
    _check_form(split, header, options)
    names = [name.strip() or f"unnamed_{position}" for position, name in enumerate(header)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigurationError(
            f"--input: header of {split.uri} names '{min(twice)}' twice; rename one of the columns."
        )
    return names


def _has_header(split: Split, first: list[str], options: SourceOptions) -> bool:
    """Whether the first line holds the names that ``--columns`` gives, rather than values.

    Raises:
        ConfigurationError: It holds only some of the names, or another number of values.
    """
    there = {name.strip() for name in first}
    if there >= set(options.names):
        return True
    said = f"--columns {','.join(options.names)}: the first line of {split.uri}"
    if common := there & set(options.names):
        raise ConfigurationError(
            f"{said} is a header that names {', '.join(sorted(common))}, and not"
            f" {', '.join(name for name in options.names if name not in there)}. Columns there:"
            f" {', '.join(first)}."
        )
    if len(first) != len(options.names):
        raise ConfigurationError(
            f"{said} names none of these columns, and has {len(first)} values, not"
            f" {len(options.names)}. Columns there: {', '.join(first):.300}. If the file has no"
            " header, name every column."
        )
    return False


def _begins_with_header(split: Split, options: SourceOptions) -> bool:
    _, first = next(read_records(split, options, header=True), (1, None))
    return not isinstance(first, list) or _has_header(split, first, options)


def _check_form(split: Split, header: list[str], options: SourceOptions) -> None:
    """Refuses JSON, and a file with another sign between its values.

    Args:
        split: The file.
        header: Its columns, if none of them is known; empty if they cannot be read.
        options: What to read.
    """
    known = {"id", *DEFAULT_MEDIA_COLUMNS, *options.named_media.values(), *options.prompt_columns}
    if known.intersection(name.strip() for name in header):
        return
    first, _ = _first_of(read_lines(split.uri, head_only=True))
    line = first.decode(errors="replace")
    if line.startswith(('{"', "{ ", "[{")) or line in ("{", "["):
        raise ConfigurationError(
            f"--input {options.uri}: {split.uri} begins with {line[:80]!r}, which looks like JSON."
            " Give --input-format jsonl, or name the file .jsonl."
        )
    own = "\t" if suffix_of(split.uri) == ".tsv" else ","
    for sign, name in ((";", "';'"), ("\t", "tabs"), ("|", "'|'"), (",", "commas")):
        names = {cell.strip().strip('"') for cell in line.split(sign)}
        if sign != own and sign in line and (len(header) == 1 or known & names):
            raise ConfigurationError(
                f"--input: header of {split.uri} is {line!r:.200}, which looks separated by {name}."
                " .csv has commas between its values and .tsv tabs: write or name the file so."
            )


def count(plan: SourcePlan, split: Split) -> int:
    return sum(1 for _ in islice(read_records(split, plan.options), split.max_rows))


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    try:
        names, trouble = _header(split, plan.options) or [], None
    except ConfigurationError as error:  # with many files, not every header was checked at start
        names, trouble = [], str(error)
    for batch in batches(islice(read_records(split, plan.options), split.max_rows), batch_rows):
        raw = _rows(plan, names, batch)
        if trouble:
            raw.problems = dict.fromkeys(range(len(batch)), trouble)
        yield raw


def _rows(plan: SourcePlan, names: list[str], batch: list[Record]) -> RawRows:
    width = len(names)
    raw = RawRows({}, np.fromiter((number for number, _ in batch), np.int64, len(batch)))
    empty: list[str | None] = [None] * width
    rows: list[list[str] | list[str | None]] = []
    for row, (_, cells) in enumerate(batch):
        if isinstance(cells, list) and len(cells) == width:
            rows.append(cells)
            continue
        rows.append(empty)
        raw.problems[row] = (
            cells.message if isinstance(cells, Broken) else _misfit(len(cells), width)
        )
    columns = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        try:
            columns[name] = pa.array(values, pa.string())
        except UnicodeEncodeError:
            clean = [_clean(plan, raw, row, name, value) for row, value in enumerate(values)]
            columns[name] = pa.array(clean, pa.string())
    unknown = [name for name in names if name not in plan.columns.names]
    if unknown and not plan.options.names:  # with so many files, not every header was checked
        notes = [
            f"Not kept: column '{name}', which is not in the files looked at on start"
            for name in unknown
        ]
        for row in range(len(batch)):
            raw.notes[row] = [*raw.notes.get(row, ()), *notes]
    missing = pa.nulls(len(batch), pa.string())
    raw.columns = {name: columns.get(name, missing) for name in plan.columns.names}
    return raw


def _misfit(found: int, width: int) -> str:
    return (
        f"{found} values for the {width} columns of the header; in a .csv quote values that hold a"
        " comma or newline, in a .tsv no value can hold a tab or newline"
    )


def _clean(plan: SourcePlan, raw: RawRows, row: int, name: str, value: str | None) -> str | None:
    try:
        if value is not None:
            value.encode()
        return value
    except UnicodeEncodeError:
        set_aside(plan, raw, row, name, "holds bytes that are not UTF-8; they are U+FFFD here")
        return (
            None
            if plan.is_asked(name)
            else str(value).encode(errors="surrogateescape").decode(errors="replace")
        )


def read_records(split: Split, options: SourceOptions, *, header: bool = False) -> Iterator[Record]:
    """Yields each row with the number of the line it begins on; blank lines are skipped.

    Args:
        header: Begin with the first line, and read nothing else; by default, begin with the first
            row.
    """
    lines = read_lines(split.uri, head_only=header)
    if suffix_of(split.uri) == ".tsv" and options.reshape is None:
        records = _unquoted(lines)
    else:
        # The csv module's default limit of 128 KiB per value would refuse long prompts.
        csv.field_size_limit(MAX_LINE_BYTES)
        delimiter = "\t" if suffix_of(split.uri) == ".tsv" else ","
        first, lines = _first_of(lines)
        records = _records(_Lines(lines), delimiter, spaced=_is_spaced(first, delimiter))
    if header:
        return records
    return _below_header(split, options, records)


def _first_of(lines: Iterator[Line]) -> tuple[bytes, Iterator[Line]]:
    """The first line that is not blank, and all lines from it on. Excel's ``sep=,`` is no line."""
    for item in lines:
        line = b"" if isinstance(item[1], Broken) else item[1].strip()
        if isinstance(item[1], Broken) or (line and line.strip(b'"') != b"sep=,"):
            return line, chain([item], lines)
    return b"", iter(())


def _is_spaced(line: bytes, delimiter: str) -> bool:
    """Whether a blank follows each delimiter of the first line: then none is part of a value."""
    signs = line.count(delimiter.encode())
    return signs > 0 and line.count(f"{delimiter} ".encode()) == signs


def _below_header(
    split: Split, options: SourceOptions, records: Iterator[Record]
) -> Iterator[Record]:
    first = next(records, None)
    if first is None:
        return
    names = set(options.names)
    if names and isinstance(first[1], list) and not names <= {name.strip() for name in first[1]}:
        yield first
    yield from records


def _unquoted(lines: Iterator[Line]) -> Iterator[Record]:
    """Rows of a TSV in which quotes have no meaning, as in caption datasets. TSVs from pandas have
    quoting."""
    for number, line in lines:
        if isinstance(line, Broken):
            yield number, Broken(line.message)
        elif line.strip(b"\r"):
            cells = line.removesuffix(b"\r").decode(errors="surrogateescape").split("\t")
            yield number, [_plain_cell(cell) for cell in cells]


def _plain_cell(cell: str) -> str:
    """Removes the quoting from a value whose quotes only a program would write: ``"a ""b"" c"``."""
    inner = cell[1:-1]
    if (
        len(cell) > 3
        and cell[0] == cell[-1] == '"'
        and '""' in inner
        and '"' not in inner.replace('""', "")
    ):
        return inner.replace('""', '"')
    return cell


def _records(lines: _Lines, delimiter: str, *, spaced: bool) -> Iterator[Record]:
    def new_reader() -> Any:
        return csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=spaced)

    reader = new_reader()
    while True:
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _Runaway) as error:
            number, message = lines.give_up(str(error))
            yield number, Broken(message)
            reader = new_reader()
            continue
        if cells:
            yield lines.taken[0][0], cells


class _Runaway(Exception):
    """A row became longer than allowed, or contains a line that cannot be read."""


class _Lines:
    """Feeds ``csv.reader`` and keeps the lines of the current row, so that reading can go back if
    the row is broken."""

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
        """Gives up the first line of the row as broken, and hands out the other lines again."""
        number, line = self.taken[0]
        self._again.extendleft(reversed(self.taken[1:]))
        return number, (
            line.message
            if isinstance(line, Broken)
            else f"not CSV ({why}); close and double quotes in it"
        )
