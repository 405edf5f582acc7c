"""Markdown files of documents, and the index of those that runs wrote.

A Markdown file does not say who wrote it. So its name and the digest of its content are written to
``_runs/.markdown/`` first. If a file does not match the index, somebody else wrote or edited it,
and it stays as it is.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterator
from urllib.parse import quote

import pyarrow as pa

from pipelines.output.folder import DOCUMENTS, RUNS, OutputFolder
from pipelines.output.ownership import is_run_id, mark, parquet_name
from pipelines.output.side_files import content_of, digest

MARKDOWN_INDEX = f"{RUNS}/.markdown"
_INDEX_SCHEMA = pa.schema([("name", pa.string()), ("digest", pa.binary())])
_FILES_AT_ONCE = 1000
_LONGEST_NAME = 150  # characters of a file's name

MarkdownDigests = dict[str, set[bytes]]  # digests that runs wrote, by file name


def write_markdown(
    output: OutputFolder,
    documents: Iterator[tuple[str, str]],
    run_id: str,
    *,
    replaces: Collection[str] | None = None,
) -> int:
    """Writes a file for each document, and removes those of earlier runs that are not written
    again.

    If a file of that name exists and is not a run's, the document goes to ``<name>.<run id>.md``
    beside it.

    Args:
        output: The output.
        documents: Id and text of each document.
        run_id: Id of this run.
        replaces: Ids of the documents whose earlier files go; those of all others stay. None
            replaces all.

    Returns:
        The number of documents.
    """
    indexes = [name for name, run in output.writers(MARKDOWN_INDEX).items() if run is not None]
    known: MarkdownDigests = {}
    for name in indexes:
        table = output.read_table(name)
        for file, kept in zip(table["name"].to_pylist(), table["digest"].to_pylist(), strict=True):
            known.setdefault(file, set()).add(kept)
    there = set(output.list_names(DOCUMENTS))
    written: set[str] = set()
    for number in itertools.count():
        group = list(itertools.islice(documents, _FILES_AT_ONCE))
        if not group:
            break
        files = _named(output, group, there, known, run_id)
        rows = [{"name": name, "digest": digest(data)} for name, data in files.items()]
        index = pa.Table.from_pylist(rows, _INDEX_SCHEMA).replace_schema_metadata(mark(run_id))
        output.write_table(f"{MARKDOWN_INDEX}/{parquet_name(run_id, number)}", index)
        for name, data in files.items():
            output.write_bytes(f"{DOCUMENTS}/{name}", data)
        written |= files.keys()
    replaced = known.keys() if replaces is None else _earlier_names(known, replaces)
    for name in (replaced & there) - written:
        if _is_ours(output, name, known):
            output.remove(f"{DOCUMENTS}/{name}")
    for name in indexes if replaces is None else ():
        output.remove(name)
    return len(written)


def _earlier_names(known: MarkdownDigests, ids: Collection[str]) -> set[str]:
    """The files of earlier runs for these documents, by either name that a document may have."""
    stems = {markdown_name(one) for one in ids}
    return {name for name in known if _stem(name) in stems or name.removesuffix(".md") in stems}


def _stem(name: str) -> str:
    """A file's name without ``.<run id>.md``."""
    stem, _, run = name.removesuffix(".md").rpartition(".")
    return stem if is_run_id(run) else name.removesuffix(".md")


def _named(
    output: OutputFolder,
    documents: list[tuple[str, str]],
    there: set[str],
    known: MarkdownDigests,
    run_id: str,
) -> dict[str, bytes]:
    files = {}
    for document_id, text in documents:
        data = (text + "\n").encode()
        name = f"{markdown_name(document_id)}.md"
        if name in there and not _is_ours(
            output, name, {name: known.get(name, set()) | {digest(data)}}
        ):
            name = f"{markdown_name(document_id)}.{run_id}.md"
        files[name] = data
    return files


def _is_ours(output: OutputFolder, name: str, known: MarkdownDigests) -> bool:
    data = content_of(output, f"{DOCUMENTS}/{name}")
    return data is not None and digest(data) in known[name]


def markdown_name(document_id: str) -> str:
    """Makes a file name from any id: percent-encodes what a path cannot hold, and shortens long
    names with a hash."""
    name = quote(document_id, safe=" ()[]+,=@")
    if len(name) <= _LONGEST_NAME and name.strip(". "):
        return name
    digest = hashlib.blake2b(document_id.encode(), digest_size=16).hexdigest()
    return f"{name[: _LONGEST_NAME - 33]}-{digest}"
