"""Plans the rows that are judged: manifests, outputs of this project, and the meta files of
InternVL's training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.job import run_job
from pipelines.exports.answers import open_answers
from pipelines.options.command_line import Mode
from pipelines.output.folder import RESULTS, RUNS, OutputFolder
from pipelines.sources import SourcePlan, plan_source
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.storage import (
    check_scheme,
    has_magic,
    kind_of,
    open_input,
    parent_of,
    read_with,
    suffix_of,
)
from pipelines.wiring.sources import source_options

_LARGEST_META = 64 << 20  # bytes


def run(options: Any, mode: Mode) -> NoReturn:
    """Runs a job over texts; see `pipelines.commands.job.run_job`."""
    run_job(options, mode, type(options).make_task, make_plan=plan_texts)


def plan_texts(options: Any) -> SourcePlan:
    """Plans how to read a manifest, an output, or the files that a meta file names.

    Raises:
        ConfigurationError: The input cannot be read.
    """
    given = source_options(options)
    uri = check_scheme("--input", given.uri)
    read_with(given.settings)
    if not has_magic(uri) and kind_of(uri) == "directory" and _is_output(uri):
        return plan_source(_of_output(uri, given))
    files = _files_of_meta(uri, given)
    if files is None:
        return plan_source(given)
    return plan_source(replace(given, format="jsonl", files=tuple(files), reshape=FromMeta(files)))


def _is_output(uri: str) -> bool:
    return all(kind_of(f"{uri.rstrip('/')}/{name}") == "directory" for name in (RESULTS, RUNS))


def _of_output(uri: str, given: SourceOptions) -> SourceOptions:
    """The results of an output, whose media lie where its runs found them."""
    results = replace(given, uri=f"{uri.rstrip('/')}/{RESULTS}", recursive=False)
    if given.without_media:
        return results
    answers = open_answers(OutputFolder(uri), media_root=given.media_root)
    if "parent" in answers.schema.names:
        raise ConfigurationError(
            f"--input {safe_uri(uri)}: its units are pages or clips, which would be taken from"
            " their files once more. Add --no-pictures to judge their texts alone."
        )
    named: dict[str, Any] = (
        {}
        if given.named_media or not answers.media
        else {f"{answers.media_kind}_column": answers.media}
    )
    base = given.media_root or answers.base
    known = base and kind_of(base) == "directory"
    return replace(results, media_root=base if known or given.media_root else None, **named)


@dataclass(frozen=True)
class DataSet:
    """An entry of a meta file.

    Args:
        name: Its name there; ids begin with it, because files number their rows alike.
        root: Folder that its media are relative to.
    """

    name: str
    root: str


@dataclass(frozen=True)
class FromMeta:
    """Gives rows of several files their own ids and whole paths. A
    `pipelines.sources.options.Reshape`.

    Args:
        files: The entry of each file.
    """

    files: Mapping[str, DataSet]

    def columns(self, given: pa.Schema) -> pa.Schema:
        return pa.schema(
            [field.with_type(pa.string()) if field.name == "id" else field for field in given]
        )

    def rows(self, plan: SourcePlan, split: Split, raw: RawRows) -> RawRows:
        known = self.files[split.uri]
        for name, column in raw.columns.items():
            if name == "id":
                text = pc.cast(column, pa.string())
                raw.columns[name] = pc.binary_join_element_wise(known.name, text, "/")
            elif name in DEFAULT_MEDIA_COLUMNS and known.root:
                raw.columns[name] = _below(known.root, column)
        return raw


def _below(root: str, column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        paths = _below(root, column.values)
        return pa.ListArray.from_arrays(column.offsets, paths, mask=pc.is_null(column))
    if not pa.types.is_string(column.type):
        return column
    absolute = pc.match_substring_regex(column, r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)")
    return pc.if_else(absolute, column, pc.binary_join_element_wise(root.rstrip("/"), column, "/"))


def _files_of_meta(uri: str, options: SourceOptions) -> dict[str, DataSet] | None:
    """The files that a meta file names; None if the input is none."""
    if (
        options.format not in ("auto", "jsonl")
        or has_magic(uri)
        or suffix_of(uri) != ".json"
        or kind_of(uri) != "file"
    ):
        return None
    with open_input(uri) as file:
        content = file.read(_LARGEST_META + 1)
    try:
        found = json.loads(content) if len(content) <= _LARGEST_META else None
    except (ValueError, RecursionError):
        return None  # several objects, one a line
    entries = list(found.items()) if isinstance(found, dict) else []
    if not entries or not all(
        isinstance(entry, dict) and "annotation" in entry for _, entry in entries
    ):
        return None
    files: dict[str, DataSet] = {}
    for name, entry in entries:
        annotation, root = entry["annotation"], entry.get("root") or ""
        if not isinstance(annotation, str) or not isinstance(root, str):
            raise ConfigurationError(
                f"--input {safe_uri(uri)}: the entry {name!r} has no path in annotation or root."
                " Write texts."
            )
        path = _beside(uri, annotation)
        if path in files:
            raise ConfigurationError(
                f"--input {safe_uri(uri)}: the entries {files[path].name!r} and {name!r} name the"
                " same annotation. Leave one out."
            )
        files[path] = DataSet(name, _beside(uri, options.media_root or root))
    return files


def _beside(meta: str, path: str) -> str:
    """A path that a meta file names; a relative one is relative to the meta file."""
    return (
        path if "://" in path or path.startswith("/") else f"{parent_of(meta).rstrip('/')}/{path}"
    )
