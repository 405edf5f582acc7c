"""What the place of a manifest file says of its rows: columns in its path, and the folder its media are relative to."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import MEDIA_TYPE
from pipelines.sources.options import SourcePlan, Split

_ABSOLUTE = r"^([A-Za-z][A-Za-z0-9+.-]*://|data:|DATA:|/)"


def columns_in_path(split: Split) -> dict[str, str | None]:
    """Columns that stand in the path, as Hive and Spark write them: ``lang=en/part-0.parquet``."""
    pairs = (folder.split("=", 1) for folder in split.name.split("/")[:-1] if "=" in folder)
    return {name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, value in pairs}


def names_in_paths(splits: Iterable[Split], columns: pa.Schema) -> tuple[str, ...]:
    """Columns that stand in the paths of the files and not in them."""
    return tuple(sorted({name for split in splits for name in columns_in_path(split)} - set(columns.names)))


def folder_of_media(plan: SourcePlan, split: Split) -> str:
    """What relative URIs of a file are relative to, below ``plan.base``: the folder it lies in.

    Folders that are columns do not count: whoever wrote them wrote one table, with one folder for its media.
    """
    if plan.options.media_root is not None:
        return ""
    return "".join(f"{folder}/" for folder in split.name.split("/")[:-1] if "=" not in folder)


def below(media: pa.ListArray, folder: str) -> pa.ListArray:
    """The media with relative URIs below ``folder``; the path beside a value's own bytes is a name, and stays."""
    items = media.flatten()
    uris, contents = pc.struct_field(items, "uri"), pc.struct_field(items, "bytes")
    stays = pc.or_(pc.match_substring_regex(uris, _ABSOLUTE), pc.is_valid(contents))
    moved = pc.if_else(pc.fill_null(stays, True), uris, pc.binary_join_element_wise(folder, uris, ""))
    items = pa.StructArray.from_arrays([moved, contents], fields=list(MEDIA_TYPE.value_type), mask=items.is_null())
    lengths = pc.fill_null(pc.list_value_length(media), 0)
    offsets = pc.cumulative_sum(pa.concat_arrays([pa.array([0], pa.int32()), lengths]))
    return pa.ListArray.from_arrays(offsets, items, mask=media.is_null())
