"""Forms of one record a row: a line of JSON in a part, and a file a split in the end."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import orjson
import pyarrow as pa

from internvl_ops.errors import ConfigurationError, unforeseen
from internvl_ops.events import note
from pipelines.exports.counts import ExportCounts, LeftOut
from pipelines.exports.files import ExportedFiles, FilesForm, PartFiles, Staged
from pipelines.exports.target import Target

_BUFFER = 1 << 20
logger = logging.getLogger(__name__)


class RecordForm(FilesForm):
    """Writes a JSON record for each row."""

    suffix = ".jsonl"

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        """The record of a row.

        Raises:
            LeftOut: The row has no place in this form.
        """
        raise NotImplementedError

    def prepared(
        self, rows: list[dict[str, Any]], target: Target
    ) -> Iterator[dict[str, Any] | LeftOut]:
        """Each row as `record` takes it, or why it has no place in this form."""
        yield from rows

    def join(self, split: str, parts: Parts, out: BinaryIO) -> None:
        """Writes the file of a split. By default the lines as they are."""
        parts.copy(out)

    def final_name(self, split: str) -> str:
        """Name of the file of a split."""
        return f"{split}.jsonl"

    def beside(
        self, target: Target, counts: ExportCounts
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Small files that stand beside, visible after the others, and details for
        ``export.json``."""
        return {}, {}

    def kept(self, row: dict[str, Any]) -> dict[str, Any]:
        """The values of ``--columns``."""
        return {name: row[name] for name in self.options.kept_columns or () if name != "id"}

    def check(self) -> None:
        check_export_columns(self.options.kept_columns or (), self.answers.schema)

    def write(self, rows: Iterator[pa.Table], files: PartFiles, counts: ExportCounts) -> None:
        for table in rows:
            splits = self.splitter.splits_of(table)
            for split, row in zip(
                splits, self.prepared(table.to_pylist(), files.target), strict=True
            ):
                if split is None or isinstance(row, LeftOut):
                    counts.left_out["split" if split is None else cast(LeftOut, row).reason] += 1
                    continue
                try:
                    line = orjson.dumps(
                        self.record(row), default=plain, option=orjson.OPT_APPEND_NEWLINE
                    )
                except ConfigurationError:
                    raise  # every other row would fail in the same way
                except Exception as error:
                    counts.left_out[reason_of(error, row)] += 1
                    continue
                files.of(split).write(line)
                counts.out[split] += 1

    def assemble(
        self, target: Target, folder: str, staged: Sequence[Staged], counts: ExportCounts
    ) -> ExportedFiles:
        outcome = ExportedFiles()
        for split in sorted(counts.out):
            name = self.final_name(split)
            parts = Parts(target, [name for one in staged for name in one.files.get(split, ())])
            with target.writing(f"{folder}/{name}") as out:
                self.join(split, parts, out)
            outcome.moves.append((f"{folder}/{name}", name))
        small, outcome.details = self.beside(target, counts)
        for name, data in small.items():
            target.write(f"{folder}/{name}", data)
            outcome.moves.append((f"{folder}/{name}", name))
        return outcome


def reason_of(error: Exception, row: dict[str, Any]) -> str:
    """Why a row is left out; an exception that nobody foresaw is logged, and costs this row
    alone."""
    if isinstance(error, LeftOut):
        return error.reason
    said = unforeseen("write", error).message
    note(logger, "row_left_out", f"Row {row.get('id')!r:.200} is left out: {said}")
    return "bad_row"


class Parts:
    """The lines of a split, in the files of its parts. Can be read several times."""

    def __init__(self, target: Target, names: Sequence[str]) -> None:
        self._target, self._names = target, names

    def copy(self, out: BinaryIO) -> None:
        """Writes the lines as they are."""
        for name in self._names:
            with self._target.reading(name) as file:
                shutil.copyfileobj(file, out, _BUFFER)

    def lines(self) -> Iterator[bytes]:
        """Each line, without its end."""
        for name in self._names:
            with self._target.reading(name) as file:
                for line in file:
                    yield line.rstrip(b"\n")

    def copy_as_array(self, out: BinaryIO) -> None:
        """Writes the lines as the items of a JSON array."""
        write_items(self.lines(), out)


def write_items(items: Iterator[bytes], out: BinaryIO) -> None:
    """Writes a JSON array, one item a line."""
    out.write(b"[")
    for number, item in enumerate(items):
        out.write((b",\n" if number else b"\n") + item)
    out.write(b"\n]")


def check_export_columns(names: Sequence[str], schema: pa.Schema) -> None:
    """Refuses columns that results do not have.

    Raises:
        ConfigurationError: Naming them.
    """
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise ConfigurationError(
            f"--columns: results have no column {', '.join(map(repr, missing))}. Columns there: "
            f"{', '.join(schema.names)}."
        )


def plain(value: Any) -> Any:
    """Values that JSON has no form for: as text."""
    return value.hex() if isinstance(value, bytes) else str(value)
