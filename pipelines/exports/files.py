"""Drives the forms that are files: part after part into the target's staging folder, then all of them visible at once.

A part that is complete has a ``done.json`` and is kept when the export resumes. The content of a file depends on the
rows and the options alone, so that a second export of the same output writes the same bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from internvl_ops.redaction import safe_uri
from pipelines.exports.answers import Answers
from pipelines.exports.counts import Counts
from pipelines.exports.options import ExportOptions
from pipelines.exports.parts import Part, digest
from pipelines.exports.rows import Reader
from pipelines.exports.target import UNFINISHED, WRITER, Target, steadily


class PartFiles:
    """The files of one part: one a split, opened when its first row comes."""

    def __init__(self, target: Target, folder: str, suffix: str) -> None:
        self._target, self._folder, self._suffix = target, folder, suffix
        self._stack = contextlib.ExitStack()
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> PartFiles:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)

    def of(self, split: str) -> BinaryIO:
        """The file of a split."""
        if split not in self._open:
            writing = self._target.writing(f"{self._folder}/{split}{self._suffix}")
            self._open[split] = self._stack.enter_context(writing)
        return self._open[split]

    @property
    def names(self) -> dict[str, str]:
        """The files that were written, by split."""
        return {split: f"{self._folder}/{split}{self._suffix}" for split in sorted(self._open)}


@dataclass(frozen=True)
class Staged:
    """What a part has written."""

    part: Part
    counts: Counts
    files: Mapping[str, str]  # by split


@dataclass
class Outcome:
    """What a form makes of its parts.

    Args:
        moves: Staged files and their final names, in the order in which readers may see them.
        kept: Final files of the earlier export that are part of this one.
        details: Of the form, for ``export.json``.
    """

    moves: list[tuple[str, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


class FilesForm:
    """Writes one form. Picklable: parts may be written on other nodes.

    Args:
        options: Options of the export.
        answers: The output.
    """

    suffix: ClassVar[str]  # of the files of a part
    fetches: ClassVar[bool] = False  # whether writing a part fetches media, so that many nodes are faster

    def __init__(self, options: ExportOptions, answers: Answers) -> None:
        self.options, self.answers = options, answers
        self.splitter = options.splitter

    def check(self) -> None:
        """Refuses an output or options that this form cannot be made of.

        Raises:
            ConfigurationError: With what is missing.
        """

    @property
    def needs(self) -> tuple[str, ...] | None:
        """Columns that it reads; None for all."""
        return None

    def write(self, rows: Iterator[pa.Table], files: PartFiles, counts: Counts) -> None:
        """Writes the rows of one part and counts those that are written or left out."""
        raise NotImplementedError

    def assemble(self, target: Target, folder: str, staged: Sequence[Staged], counts: Counts) -> Outcome:
        """Makes the final files of the parts.

        Args:
            target: The folder of the export.
            folder: Where to stage files, relative to it.
            staged: The parts, in order.
            counts: Of all parts.
        """
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """What the content of the files depends on besides the rows."""
        told = {"prompt": self.answers.prompt, "settings": self.answers.settings, "bases": self.answers.bases}
        return self.options.identity() | told | {"media": self.answers.media}


def write_part(form: FilesForm, reader: Reader, target_uri: str, part: Part) -> Staged:
    """Writes one part, unless it is there already."""
    target = Target(target_uri)
    folder = part_folder(part)
    if there := target.read_json(f"{folder}/done.json"):
        return Staged(part, Counts.from_dict(there["counts"]), there["files"])

    def write() -> Staged:
        counts = Counts()
        with PartFiles(target, folder, form.suffix) as files:
            form.write(reader.batches(part.files, counts), files, counts)
        counts.check()
        return Staged(part, counts, files.names)

    staged = steadily(write, f"{safe_uri(target_uri)}: part {part.number} could not be written")
    target.write_json(f"{folder}/done.json", {"counts": staged.counts.as_dict(), "files": staged.files})
    return staged


def part_folder(part: Part) -> str:
    return f"{UNFINISHED}/{part.number:06d}-{part.key[:12]}"


def export_files(form: FilesForm, reader: Reader, target: Target, parts: Sequence[Part], run: Any = map) -> Counts:
    """Writes an export of files.

    Args:
        form: The form.
        reader: Reads the rows.
        target: Where to.
        parts: The parts of the output.
        run: Like `map`: writes the parts, in their order.

    Returns:
        The counts.
    """
    before = target.done() or {}
    if before.get("key") == digest([part.key for part in parts]) and _is_whole(target, before):
        return Counts.from_dict(before["counts"])
    _drop_stale(target, parts)
    target.begin({"to": form.options.to, "parts": len(parts)})
    staged = list(run(_Writer(form, reader, target.uri), parts))
    counts = Counts()
    for one in staged:
        counts.add(one.counts)
    counts.check()
    outcome = form.assemble(target, f"{UNFINISHED}/final", staged, counts)
    files = sorted({*(to for _, to in outcome.moves), *outcome.kept})
    done = {
        "written_by": WRITER,
        "to": form.options.to,
        "key": digest([part.key for part in parts]),
        "options": form.options.identity(),
        "input": safe_uri(form.answers.uri),
        "task": form.answers.task,
        "prompt": form.answers.prompt,
        "model": form.answers.model,
        **counts.as_dict(),
        "counts": counts.as_dict(),
        "files": files,
        **outcome.details,
    }
    target.commit(outcome.moves, sorted(set(before.get("files", ())) - set(files)), done)
    return counts


@dataclass(frozen=True)
class _Writer:
    form: FilesForm
    reader: Reader
    target_uri: str

    def __call__(self, part: Part) -> Staged:
        return write_part(self.form, self.reader, self.target_uri, part)


def _is_whole(target: Target, done: Mapping[str, Any]) -> bool:
    """Whether every file of an export is still there."""
    folders = {name.rpartition("/")[0] for name in done["files"]}
    there = {f"{folder}/{name}".lstrip("/") for folder in folders for name in target.names(folder)}
    return set(done["files"]) <= there


def _drop_stale(target: Target, parts: Sequence[Part]) -> None:
    """Removes what an export of other rows or with other options has left in the staging folder."""
    wanted = {part_folder(part).rpartition("/")[2] for part in parts} | {"plan.json"}
    for name in target.names(UNFINISHED):
        if name not in wanted:
            target.remove_folder(f"{UNFINISHED}/{name}")
