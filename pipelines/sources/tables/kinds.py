"""The kinds of tables, and how their folders are told from folders of files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.sources.storage import kind_of, lists, names_place, parent_of, store


@dataclass(frozen=True)
class TableKind:
    """A kind of table.

    Args:
        name: In ``--input-format``.
        title: For people.
        mark: What stands in its folder, for people.
        is_at: Whether a folder is one.
        is_part: Matches the path of a file that only such a table has, relative to a folder around
            the table; None for a table whose files are not mistaken for others.
    """

    name: str
    title: str
    mark: str
    is_at: Callable[[str], bool]
    is_part: re.Pattern[str] | None


def _has(root: str, *names: str) -> bool:
    """Whether all of these entries stand in a folder."""
    return all(kind_of(f"{root}/{name}") is not None for name in names)


def _is_iceberg(root: str) -> bool:
    inner = store(root).names(f"{root}/metadata") if _has(root, "metadata") else []
    return "version-hint.text" in inner or any(is_metadata(name) for name in inner)


def is_metadata(name: str) -> bool:
    """Whether it is the name of a file with the metadata of an Iceberg table."""
    return bool(re.search(r"\.metadata\.json(\.gz)?$", name))


KINDS: tuple[TableKind, ...] = (
    TableKind(
        "delta",
        "a Delta table",
        "_delta_log",
        lambda root: _has(root, "_delta_log"),
        re.compile("(^|/)_delta_log/"),
    ),
    TableKind(
        "iceberg",
        "an Iceberg table",
        "metadata/*.metadata.json",
        _is_iceberg,
        re.compile(r"(^|/)metadata/[^/]+\.metadata\.json(\.gz)?$"),
    ),
    TableKind(
        "lance",
        "a Lance dataset",
        "_versions",
        lambda root: _has(root, "_versions") or _has(root, "_latest.manifest"),
        re.compile(r"(^|/)(_versions/[^/]+\.manifest|_latest\.manifest)$"),
    ),
    TableKind(
        "datasets",
        "a dataset saved by `datasets`",
        "state.json and dataset_info.json, or dataset_dict.json",
        lambda root: (
            _has(root, "dataset_dict.json") or _has(root, "state.json", "dataset_info.json")
        ),
        None,
    ),
)
NAMES = tuple(kind.name for kind in KINDS)


def kind_at(uri: str) -> TableKind | None:
    """The kind of table that a folder is; None if it is none."""
    root = uri.rstrip("/")
    if not lists(root) or not names_place(root) or kind_of(root) != "directory":
        return None
    return next((kind for kind in KINDS if kind.is_at(root)), None)


def refuse_inside(option: str, folder: str) -> None:
    """Refuses a folder of a table's files, which hold deleted rows too.

    Args:
        option: ``--input`` as given.
        folder: The folder that is listed.

    Raises:
        ConfigurationError: Naming the table.
    """
    at = folder.rstrip("/")
    while lists(at) and names_place(at):
        if kind := kind_at(at):
            raise ConfigurationError(
                f"{option} lies in {kind.title} ({safe_uri(at)}), whose log says which of its files"
                f" and rows count. Give --input {safe_uri(at)}, and choose its rows by --where."
            )
        if "=" not in at.rpartition("/")[2] and at.rpartition("/")[2] != "data":
            return
        at = parent_of(at)


def refuse_below(option: str, names: Iterator[str]) -> Iterator[str]:
    """The names of files, unless some belong to tables.

    Raises:
        ConfigurationError: Naming the first table.
    """
    for name in names:
        for kind in KINDS:
            if kind.is_part is not None and (match := kind.is_part.search(name)):
                raise ConfigurationError(
                    f"{option} holds {kind.title} in {name[: match.start()] or '.'}, whose log says"
                    " which of its files count. Give that folder as --input; one table is read at"
                    " a time."
                )
        yield name


def format_of_table(uri: str, format: str) -> str | None:
    """The format of a table at ``uri``; None if there is none.

    Args:
        uri: The input, no glob.
        format: As ``--input-format`` has it.

    Raises:
        ConfigurationError: It is a table and read as something else, the reverse, or it lies in a
            table.
    """
    shown = safe_uri(uri)
    if is_metadata(uri) and format in ("auto", "iceberg"):
        return "iceberg"
    kind = kind_at(uri)
    if kind is None and format in NAMES:
        mark = next(kind.mark for kind in KINDS if kind.name == format)
        raise ConfigurationError(
            f"--input-format {format}: --input {shown} is no such table: there is no {mark}. Leave"
            " the option out."
        )
    if kind is None:
        refuse_inside(f"--input {shown}", uri)
        return None
    if format not in ("auto", kind.name):
        raise ConfigurationError(
            f"--input-format {format}: --input {shown} is {kind.title} ({kind.mark}), and its files"
            " are not its rows. Leave the option out."
        )
    return kind.name
