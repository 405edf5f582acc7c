"""What the path of a manifest file determines: partition columns, and the folder that its media are
relative to."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import MEDIA_TYPE
from pipelines.sources.options import SourcePlan, Split

_ABSOLUTE = r"^([A-Za-z][A-Za-z0-9+.-]*://|(?i:data:|file:/)|/)"


def columns_in_path(split: Split) -> dict[str, str | None]:
    """Columns in the path, as Hive and Spark write them: ``lang=en/part-0.parquet``."""
    pairs = (folder.split("=", 1) for folder in split.name.split("/")[:-1] if "=" in folder)
    return {
        name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for name, value in pairs
    }


def names_in_paths(splits: Iterable[Split], columns: pa.Schema) -> tuple[str, ...]:
    """Columns that are in the paths of the files and not in the files."""
    return tuple(
        sorted({name for split in splits for name in columns_in_path(split)} - set(columns.names))
    )


def folder_of_media(plan: SourcePlan, split: Split) -> str:
    """The base of a file's relative URIs, below ``plan.base``: the folder that contains the file.

    Partition folders do not count: they belong to one table, which has one folder for its media.
    """
    if plan.options.media_root is not None or plan.snapshot:  # a table has one folder for its media
        return ""
    return "".join(f"{folder}/" for folder in split.name.split("/")[:-1] if "=" not in folder)


def below(media: pa.ListArray, folder: str) -> pa.ListArray:
    """The media with relative URIs placed below ``folder``. The path of inline bytes is only a
    name, and stays."""
    items = media.flatten()
    uris, contents = pc.struct_field(items, "uri"), pc.struct_field(items, "bytes")
    stays = pc.or_(pc.match_substring_regex(uris, _ABSOLUTE), pc.is_valid(contents))
    moved = pc.if_else(
        pc.fill_null(stays, True), uris, pc.binary_join_element_wise(folder, uris, "")
    )
    items = pa.StructArray.from_arrays(
        [moved, contents], fields=list(MEDIA_TYPE.value_type), mask=items.is_null()
    )
    lengths = pc.fill_null(pc.list_value_length(media), 0)
    offsets = pc.cumulative_sum(pa.concat_arrays([pa.array([0], pa.int32()), lengths]))
    return pa.ListArray.from_arrays(offsets, items, mask=media.is_null())
