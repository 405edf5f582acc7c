"""A directory or glob of media files, read as the manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MEDIA_KINDS
from internvl_ops.media.tiff_pages import has_several_pages
from pipelines.sources.lines import batches
from pipelines.sources.listing import folder_of, list_files, seen_files
from pipelines.sources.options import MEDIA_SUFFIXES, SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.storage import open_input, suffix_of

# Up to this many entries are listed at start and handed to tasks in parts. A longer listing is
# streamed by one task, so that the start does not take long and the driver does not hold the
# listing.
_LISTED_AT_START = 50_000
_ENTRIES_A_SPLIT = 10_000
_SUFFIXES_KEPT = 50  # suffixes of ignored files in the record; a longer list helps nobody
_OTHERS = "others"
_LOOKED_AT = 10_000  # entries checked to find the most frequent kind
_PAGES_LOOKED_AT = 20  # TIFFs whose pages are looked for
_HEAD_BYTES = 64 << 10  # read ahead, of a file in a store


def with_kind(options: SourceOptions) -> SourceOptions:
    """``options`` with the media column of the most frequent kind of file; unchanged if an option
    names one."""
    if options.named_media:
        return options
    every = tuple(dict.fromkeys(suffix for kind in MEDIA_KINDS for suffix in MEDIA_SUFFIXES[kind]))
    names = list(islice(_known(options, every), _LOOKED_AT))
    seen = Counter(
        kind for name in names for kind in MEDIA_KINDS if suffix_of(name) in MEDIA_SUFFIXES[kind]
    )
    if (
        options.page_by_page
        and seen["image"] == seen["document"] == len(names)
        and _has_pages(options, names)
    ):
        return replace(options, document_column="document")
    # with equal numbers, images win, because they come first
    kind = max(MEDIA_KINDS, key=lambda kind: seen[kind])
    if kind == "video":
        return replace(options, video_column=kind)
    return replace(options, document_column=kind) if kind == "document" else options


def _has_pages(options: SourceOptions, names: Sequence[str]) -> bool:
    """Whether one of the first files, all of which are TIFFs, has several pages."""
    root = folder_of(options).rstrip("/")
    for name in names[:_PAGES_LOOKED_AT]:
        try:
            with open_input(f"{root}/{name}", block_size=_HEAD_BYTES) as file:
                if has_several_pages(file):
                    return True
        except Exception:  # whatever is wrong with the file, its row will say
            continue
    return False


def left_out(options: SourceOptions) -> dict[str, Any]:
    """Details for the plan on ignored files of a folder or glob, among the entries that are
    checked."""
    found: Counter[str] = Counter()
    seen = 0
    for name, is_read in islice(seen_files(options, media_suffixes(options)), _LISTED_AT_START):
        seen += 1
        if not is_read:
            found[_shown_suffix(name)] += 1
    by_suffix = dict(found.most_common(_SUFFIXES_KEPT))
    if rest := found.total() - sum(by_suffix.values()):
        by_suffix[_OTHERS] = by_suffix.get(_OTHERS, 0) + rest
    return {"left_out": by_suffix, "looked_at": seen, "looked_at_all": seen < _LISTED_AT_START}


def _shown_suffix(name: str) -> str:
    suffix = suffix_of(name)
    plain = suffix.encode(errors="backslashreplace").decode()  # names may be invalid UTF-8
    if suffix in ("", "."):
        return "no suffix"
    return plain if plain.isprintable() and len(plain) < 20 else _OTHERS


def _known(options: SourceOptions, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Names whose suffix is one of ``suffixes``, even if a glob spells out another suffix."""
    return (name for name in list_files(options, suffixes) if suffix_of(name) in suffixes)


def media_suffixes(options: SourceOptions) -> tuple[str, ...]:
    return MEDIA_SUFFIXES[options.media_name[0]]


def plan_splits(options: SourceOptions, base: str) -> list[Split]:
    """Cuts the listing into splits. Raises ConfigurationError if it is empty."""
    listing = list_files(options, media_suffixes(options))
    names = list(islice(listing, _LISTED_AT_START))
    if not names:
        raise ConfigurationError(
            f"--input {options.uri}: no file with a known suffix"
            f" ({', '.join(media_suffixes(options))}). Look at the path, or name the files by a"
            " glob that ends in their suffix."
        )
    if next(listing, None) is not None:
        return [Split(0, base, "listing")]
    return [
        Split(
            0,
            base,
            "listing",
            first_row=start,
            rows=min(_ENTRIES_A_SPLIT, len(names) - start),
            paths=tuple(names[start : start + _ENTRIES_A_SPLIT]),
        )
        for start in range(0, len(names), _ENTRIES_A_SPLIT)
    ]


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    return pa.schema([(options.media_name[1], pa.string())]), splits, {}


def count(plan: SourcePlan, split: Split) -> int:
    return split.rows if split.rows is not None else sum(1 for _ in _entries(plan, split))


def _entries(plan: SourcePlan, split: Split) -> Iterator[str]:
    names = (
        split.paths
        if split.paths is not None
        else list_files(plan.options, media_suffixes(plan.options))
    )
    return islice(names, split.max_rows)


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    row = split.first_row
    for names in batches(iter(_entries(plan, split)), batch_rows):
        yield _rows(plan, names, row)
        row += len(names)


def _rows(plan: SourcePlan, names: list[str], first: int) -> RawRows:
    problems = {}
    for row, name in enumerate(names):
        try:
            name.encode()
        except UnicodeEncodeError:
            names[row] = os.fsencode(name).decode(errors="backslashreplace")
            problems[row] = f"file name {names[row]!r} is not UTF-8; rename the file"
    ids = pa.array(names, pa.string())
    root = plan.base.rstrip("/")
    uris = pa.array([f"{root}/{name}" for name in names], pa.string())
    return RawRows(
        {str(plan.media_column): uris}, np.arange(first + 1, first + len(names) + 1), problems, ids
    )
