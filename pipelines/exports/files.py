"""Drives the forms that are files: part after part into the target's staging folder, then all of
them visible at once.

A part that is complete has a ``done.json`` and is kept when the export resumes. The content of a
file depends on the rows and the options alone, so that a second export of the same output writes
the same bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from internvl_ops.stores.redaction import safe_uri
from pipelines.exports.base import ExportForm
from pipelines.exports.counts import ExportCounts
from pipelines.exports.parts import ExportPart, json_digest
from pipelines.exports.rows import ResultReader
from pipelines.exports.target import UNFINISHED, Target, steadily
from pipelines.options.messages import say_now


class PartFiles:
    """The files of one part: one or more a split, opened when a row comes.

    Args:
        target: The folder of the export.
        folder: Where the files are staged in it.
        suffix: Of the files.
        opened: Makes of a file what a form writes to, such as an archive; it is closed before the
            file.
    """

    def __init__(
        self,
        target: Target,
        folder: str,
        suffix: str,
        opened: Callable[[BinaryIO], Any] = contextlib.nullcontext,
    ) -> None:
        self.target = target
        self._folder, self._suffix, self._opened = folder, suffix, opened
        self._open: dict[str, tuple[contextlib.ExitStack, Any]] = {}
        self.names: dict[str, list[str]] = {}  # of the files, by split

    def __enter__(self) -> PartFiles:
        return self

    def __exit__(self, *raised: Any) -> None:
        with contextlib.ExitStack() as stack:
            for one, _ in self._open.values():
                stack.push(one)
            stack.__exit__(*raised)

    def of(self, split: str) -> Any:
        """What rows of a split are written to."""
        if split not in self._open:
            names = self.names.setdefault(split, [])
            names.append(f"{self._folder}/{split}-{len(names)}{self._suffix}")
            stack = contextlib.ExitStack()
            file = stack.enter_context(self.target.writing(names[-1]))
            self._open[split] = stack, stack.enter_context(self._opened(file))
        return self._open[split][1]

    def end(self, split: str) -> None:
        """Ends the file of a split; the next row begins another one."""
        self._open.pop(split)[0].close()


@dataclass(frozen=True)
class Staged:
    """What a part has written."""

    part: ExportPart
    counts: ExportCounts
    files: Mapping[str, list[str]]  # by split
    final: bool = False  # whether the files are those of the earlier export, in their places


@dataclass
class ExportedFiles:
    """What a form makes of its parts.

    Args:
        moves: Staged files and their final names, in the order in which readers may see them.
        kept: Final files of the earlier export that are part of this one.
        details: Of the form, for ``export.json``.
    """

    moves: list[tuple[str, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


class FilesForm(ExportForm):
    """Writes a form of files. Picklable: parts may be written on other nodes."""

    suffix: ClassVar[str]  # of the files of a part
    # of results that make a part, compressed; a part that fails is written again
    part_bytes: int = 8 << 20
    names_place: ClassVar[bool] = False  # whether files have the address of the export in them
    # Whether files of parts are final, so that a later export keeps those of earlier rows.
    keeps: ClassVar[bool] = False

    def opened(self, file: BinaryIO) -> Any:
        """A context that makes of a file what `write` writes to."""
        return contextlib.nullcontext(file)

    def write(self, rows: Iterator[pa.Table], files: PartFiles, counts: ExportCounts) -> None:
        """Writes the rows of one part and counts those that are written or left out."""
        raise NotImplementedError

    def assemble(
        self, target: Target, folder: str, staged: Sequence[Staged], counts: ExportCounts
    ) -> ExportedFiles:
        """Makes the final files of the parts.

        Args:
            target: The folder of the export.
            folder: Where to stage files, relative to it.
            staged: The parts, in order.
            counts: Of all parts.
        """
        raise NotImplementedError

    def places(self, staged: Sequence[Staged]) -> dict[str, str]:
        """The final name of each file of the parts, for a form that keeps them."""
        raise NotImplementedError


def write_part(form: FilesForm, reader: ResultReader, target_uri: str, part: ExportPart) -> Staged:
    """Writes one part, unless it is there already."""
    target = Target(target_uri)
    folder = part_folder(part)
    if there := target.read_json(f"{folder}/done.json"):
        return Staged(part, ExportCounts.from_dict(there["counts"]), there["files"])

    def write() -> Staged:
        counts = ExportCounts()
        with PartFiles(target, folder, form.suffix, form.opened) as files:
            form.write(reader.batches(part.rows, counts), files, counts)
        counts.check()
        return Staged(part, counts, files.names)

    staged = steadily(write, f"{safe_uri(target_uri)}: part {part.number} could not be written")
    target.write_json(
        f"{folder}/done.json", {"counts": staged.counts.as_dict(), "files": staged.files}
    )
    return staged


def part_folder(part: ExportPart) -> str:
    return f"{UNFINISHED}/{part.number:06d}-{part.key[:12]}"


def export_files(
    form: FilesForm,
    reader: ResultReader,
    target: Target,
    parts: Sequence[ExportPart],
    run: Any = map,
) -> ExportCounts:
    """Writes an export of files.

    Args:
        form: The form.
        reader: Reads the rows.
        target: Where to.
        parts: The parts of the output.
        run: Like `map`: writes the parts; what it returns has their order.

    Returns:
        The counts.
    """
    before = target.done() or {}
    key = json_digest([target.address if form.names_place else "", *(part.key for part in parts)])
    again = form.options.overwrite and _unread(before)
    if before.get("key") == key and _is_whole(target, before) and not again:
        return ExportCounts.from_dict(before)
    _drop_stale(target, parts)
    target.begin({"to": form.options.to, "parts": len(parts)})
    say_now(f"exporting {len(parts):,} part(s) of the output")
    staged = _staged(form, reader, target, parts, _kept(form, target, before), run)
    counts = ExportCounts()
    for one in staged:
        counts.add(one.counts)
    counts.check()
    outcome = form.assemble(target, f"{UNFINISHED}/final", staged, counts)
    files = sorted({*(to for _, to in outcome.moves), *outcome.kept})
    done = {**form.about(counts), "key": key, "files": files, **outcome.details}
    target.commit(outcome.moves, sorted(set(before.get("files", ())) - set(files)), done)
    return counts


def _kept(
    form: FilesForm, target: Target, before: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """The parts of the earlier export whose files are all there, by key."""
    if not form.keeps or not before or not _is_whole(target, before):
        return {}
    again = form.options.overwrite
    return {
        part["key"]: part
        for part in before.get("parts", ())
        if not (again and _unread(part["counts"]))
    }


def _unread(counts: Mapping[str, Any]) -> bool:
    """Whether rows were left out since their media could not be read, which can be different
    now."""
    return any(reason.startswith(("fetch_", "render_")) for reason in counts.get("left_out", ()))


def _staged(
    form: FilesForm,
    reader: ResultReader,
    target: Target,
    parts: Sequence[ExportPart],
    kept: Mapping[str, Mapping[str, Any]],
    run: Any,
) -> list[Staged]:
    """Every part: as the earlier export has it, or written."""
    writer = _Writer(form, reader, target.uri)
    staged = {
        part: Staged(
            part,
            ExportCounts.from_dict(kept[part.key]["counts"]),
            kept[part.key]["files"],
            final=True,
        )
        for part in parts
        if part.key in kept
    }
    new = [part for part in parts if part not in staged]
    staged |= dict(zip(new, run(writer, new), strict=True))
    if kept:
        # If an earlier part has another number of files than before, the files after it get other
        # names.
        places = form.places([staged[part] for part in parts])
        moved = [
            part
            for part in parts
            if staged[part].final
            and any(places[name] != name for names in staged[part].files.values() for name in names)
        ]
        staged |= dict(zip(moved, run(writer, moved), strict=True))
    return [staged[part] for part in parts]


@dataclass(frozen=True)
class _Writer:
    form: FilesForm
    reader: ResultReader
    target_uri: str

    def __call__(self, part: ExportPart) -> Staged:
        return write_part(self.form, self.reader, self.target_uri, part)


def _is_whole(target: Target, done: Mapping[str, Any]) -> bool:
    """Whether every file of an export is still there."""
    folders = {name.rpartition("/")[0] for name in done["files"]}
    there = {f"{folder}/{name}".lstrip("/") for folder in folders for name in target.names(folder)}
    return set(done["files"]) <= there


def _drop_stale(target: Target, parts: Sequence[ExportPart]) -> None:
    """Removes what an export of other rows or with other options has left in the staging folder."""
    wanted = {part_folder(part).rpartition("/")[2] for part in parts} | {"plan.json"}
    for name in target.names(UNFINISHED):
        if name not in wanted:
            target.remove_folder(f"{UNFINISHED}/{name}")
