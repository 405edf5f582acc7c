"""Finds the files that the input names, and their format."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from internvl_ops.errors import ConfigurationError
from internvl_ops.media import misread
from internvl_ops.media.kinds import MEDIA_KINDS
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.schemes import split_uri
from pipelines.sources.options import INPUT_FORMATS, MEDIA_SUFFIXES, SourceOptions, Split
from pipelines.sources.storage import (
    has_magic,
    is_local,
    kind_of,
    lists,
    name_of,
    names_place,
    parent_of,
    present,
    split_glob,
    suffix_of,
    walk,
    without_query,
)
from pipelines.sources.tables.kinds import format_of_table, is_metadata, refuse_below, refuse_inside

MANIFEST_SUFFIXES: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "csv": (".csv", ".tsv"),
    "webdataset": (".tar", ".tgz"),
    "txt": (".txt",),
}
_FORMAT_OF = {suffix: name for name, suffixes in MANIFEST_SUFFIXES.items() for suffix in suffixes}
_RECORD = "export.json"  # see `pipelines.exports.target`
_LOOKED_AT = 10_000  # entries of a directory checked to find its format
_MOST_EXPANDED = 100_000


def list_files(options: SourceOptions, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Lists the input's files, relative to its folder; filters by suffix, unless a glob spells the
    suffix out."""
    return (name for name, is_read in seen_files(options, suffixes) if is_read)


def seen_files(options: SourceOptions, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Every file that the input could mean, and whether `list_files` lists it."""
    every = _names_files(options)
    # a table's files are Parquet; media may lie beside tables
    with_tables = ".parquet" not in suffixes
    return (
        (name, every or suffix_of(name) in suffixes) for name in _named_files(options, with_tables)
    )


def _names_files(options: SourceOptions) -> bool:
    """Whether the input names files, so that their suffix does not matter, and not a folder."""
    if has_magic(options.uri):
        return bool(re.search(r"\.\w+$", split_glob(options.uri)[1]))
    return kind_of(options.uri) == "file"


def _named_files(options: SourceOptions, with_tables: bool) -> Iterator[str]:
    """The files of a folder, the files that match a glob, or the single file that the input is.

    Args:
        options: What to read.
        with_tables: Whether there may be tables among them.

    Raises:
        ConfigurationError: A file that a glob spells out is missing, or there is a table.
    """

    def walked(root: str, recursive: bool, beginning: str = "") -> Iterator[str]:
        names = walk(root, recursive=recursive, beginning=beginning)
        return names if with_tables else refuse_below(f"--input {safe_uri(options.uri)}", names)

    if not has_magic(options.uri):
        if kind_of(options.uri) == "file":
            yield name_of(options.uri)
        else:
            yield from walked(options.uri, options.recursive)
        return
    root, pattern = split_glob(options.uri)
    patterns = expand_braces(pattern)
    if not lists(root):
        yield from _asked_for(options, root, patterns)
        return
    missing = {one for one in patterns if not has_wildcard(one)} if len(patterns) > 1 else set()
    matches = matcher(pattern)
    beginning = re.split(r"[*?\[{]", pattern, maxsplit=1)[0]
    for name in walked(root, "/" in pattern, beginning):
        if matches(name):
            missing.discard(name)
            yield name
    if missing:
        raise _not_there(options, root, missing)


def matcher(pattern: str) -> Callable[[str], object]:
    """A function that says whether a glob matches a name."""
    import fsspec.utils  # slow, and seldom needed

    each = (f"(?:{fsspec.utils.glob_translate(one)})" for one in expand_braces(pattern))
    return re.compile("|".join(each)).match


def _asked_for(options: SourceOptions, root: str, names: list[str]) -> list[str]:
    """The files that braces name in a store that lists nothing."""
    there = present([f"{root}/{name}" for name in names])
    if missing := {name for name, is_there in zip(names, there, strict=True) if not is_there}:
        raise _not_there(options, root, missing)
    return names


def _not_there(options: SourceOptions, root: str, missing: set[str]) -> ConfigurationError:
    return ConfigurationError(
        f"--input {safe_uri(options.uri)}: {len(missing):,} of the files that it names are not"
        f" there, the first is {safe_uri(f'{root}/{min(missing)}')}."
    )


def has_wildcard(pattern: str) -> bool:
    return bool(re.search(r"[*?\[]", pattern))


def expand_braces(pattern: str) -> list[str]:
    """The patterns that ``{a,b}`` and ``{00000..00003}`` stand for, as shells and WebDataset write
    them."""
    found = list(islice(_expanded(pattern), _MOST_EXPANDED + 1))
    if len(found) > _MOST_EXPANDED:
        raise ConfigurationError(
            f"--input {pattern}: the braces name more than {_MOST_EXPANDED:,} files."
        )
    return found


def _expanded(pattern: str) -> Iterator[str]:
    braces = re.search(r"\{(?:(\d{1,18})\.\.(\d{1,18})|([^{}]*,[^{}]*))\}", pattern)
    if braces is None:
        yield pattern
        return
    first, last, listed = braces.groups()
    if listed is not None:
        choices: Iterable[str] = listed.split(",")
    else:
        step = 1 if int(first) <= int(last) else -1
        width = len(first) if first.startswith("0") or last.startswith("0") else 0
        choices = (f"{number:0{width}d}" for number in range(int(first), int(last) + step, step))
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    for choice in choices:
        yield from _expanded(before + choice + after)


def table_format(options: SourceOptions) -> str | None:
    """The format of the table that the input is; None if it is none.

    Raises:
        ConfigurationError: It lies in a table, or ``--input-format`` does not fit.
    """
    if not has_magic(options.uri):
        return format_of_table(options.uri, options.format)
    refuse_inside(f"--input {safe_uri(options.uri)}", split_glob(options.uri)[0])
    return None


def folder_of(options: SourceOptions) -> str:
    """Folder or prefix that the names of :func:`list_files` are relative to."""
    if has_magic(options.uri):
        return split_glob(options.uri)[0]
    if is_metadata(options.uri) and options.format in ("auto", "iceberg"):
        return parent_of(parent_of(options.uri))
    return options.uri if kind_of(options.uri) == "directory" else parent_of(options.uri)


def check_exists(options: SourceOptions) -> None:
    """Raises ConfigurationError if the input does not exist."""
    target = split_glob(options.uri)[0] if has_magic(options.uri) else options.uri
    if has_magic(options.uri) and not lists(target):
        return  # each file that it names is asked for
    if not names_place(target) and kind_of(target) is None:
        raise ConfigurationError(
            f"--input {options.uri}: there is no bucket '{split_uri(target)[0]}'."
        )
    if kind_of(target) is None:
        near = _neighbours(target) if is_local(target) else []
        meant = misread.hint(target).removeprefix(".") if is_local(target) else ""
        look = f"{meant}." if meant else " Look at the path."
        hint = f" Did you mean {near[0]}?" if near else look
        raise ConfigurationError(
            f"--input {safe_uri(options.uri)}: {safe_uri(target)} does not exist.{hint}"
        )


def _neighbours(path: str) -> list[str]:
    import difflib

    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        return []
    return [
        os.path.join(folder, near)
        for near in difflib.get_close_matches(name, os.listdir(folder), n=1)
    ]


def resolve_format(options: SourceOptions) -> str:
    """Resolves ``auto`` by suffix: of the file, or of the files in a directory or glob."""
    if options.format != "auto":
        if options.format not in INPUT_FORMATS:
            raise ConfigurationError(
                f"--input-format {options.format}: allowed are {', '.join(INPUT_FORMATS)}."
            )
        return options.format
    if not has_magic(options.uri) and kind_of(options.uri) == "file":
        return _format_of_file(options)
    every = tuple(
        dict.fromkeys((*_FORMAT_OF, *(one for kind in MEDIA_KINDS for one in MEDIA_SUFFIXES[kind])))
    )
    names = _data(
        islice(
            (name for name in list_files(options, every) if not _is_bookkeeping(name)), _LOOKED_AT
        )
    )
    seen = Counter(_FORMAT_OF.get(suffix_of(name), "files") for name in names)
    if len(seen) > 1:
        # a caption beside each image, or a licence: text files are not the main content
        seen.pop("txt", None)
    if len(seen) > 1:
        found = ", ".join(f"{name} ({number})" for name, number in seen.most_common())
        raise ConfigurationError(
            f"--input {options.uri} holds several formats: {found}. {_described(names)}Say which by"
            " --input-format, or name the file."
        )
    if not seen:
        raise ConfigurationError(
            f"--input {options.uri}: no file of a known suffix ({', '.join(_FORMAT_OF)}, or an"
            " image's, a video's or a document's). Look at the path, or say --input-format."
        )
    return next(iter(seen))


def _described(names: list[str]) -> str:
    """Explains how to read media with metadata files beside them, the layout of `datasets`."""
    suffixes = [
        suffix_of(name) for name in names if name.rpartition("/")[2].startswith("metadata.")
    ]
    formats = {_FORMAT_OF[suffix] for suffix in suffixes if suffix in _FORMAT_OF}
    kinds = Counter(
        kind for name in names for kind in MEDIA_KINDS if suffix_of(name) in MEDIA_SUFFIXES[kind]
    )
    if len(formats) != 1 or not kinds:
        return ""
    return (
        f"To read the media that its metadata describe, add --input-format {formats.pop()} "
        f"--{kinds.most_common(1)[0][0]}-column file_name. "
    )


def _format_of_file(options: SourceOptions) -> str:
    suffix = suffix_of(name_of(options.uri))
    if suffix in _FORMAT_OF:
        return _FORMAT_OF[suffix]
    if any(suffix in MEDIA_SUFFIXES[kind] for kind in MEDIA_KINDS):
        return "files"
    raise ConfigurationError(
        f"--input {options.uri}: suffix '{suffix}' does not tell the format; known are"
        f" {', '.join(_FORMAT_OF)}. Say --input-format ({', '.join(INPUT_FORMATS[1:])})."
    )


def manifest_splits(options: SourceOptions, format: str, base: str) -> list[Split]:
    """One split per manifest file. Raises ConfigurationError if there is none."""
    if options.files:
        return [Split(index, uri, name_of(uri)) for index, uri in enumerate(options.files)]
    names = list(list_files(options, MANIFEST_SUFFIXES[format]))
    is_file = names == [name_of(options.uri)]
    if not is_file:
        names = _data(name for name in names if not _is_bookkeeping(name))
    if not names:
        raise ConfigurationError(
            f"--input {options.uri}: no file with a suffix of {format}"
            f" ({', '.join(MANIFEST_SUFFIXES[format])})."
        )
    root = base.rstrip("/")
    return [
        Split(
            index,
            options.uri if is_file and not lists(root) else f"{root}/{name}",
            _shown(name, root),
        )
        for index, name in enumerate(names)
    ]


def _data(names: Iterable[str]) -> list[str]:
    """The names without the record of an export that stands beside its files."""
    found = list(names)
    return [name for name in found if name != _RECORD] or found


def _shown(name: str, root: str) -> str:
    """A file's name in valid UTF-8, and without what may be a signature."""
    plain = name if lists(root) else without_query(name)
    return os.fsencode(plain).decode(errors="backslashreplace")


def _is_bookkeeping(name: str) -> bool:
    """Whether it is a file that writers leave beside the data: ``_SUCCESS``, ``_metadata``,
    ``_runs/…``."""
    return any(part.startswith("_") for part in name.split("/"))
