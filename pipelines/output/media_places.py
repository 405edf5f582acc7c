"""Where the media of an output are, by its columns and the records of its runs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from typing import Any

from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS
from pipelines.sources.storage import check_scheme, has_magic, kind_of, split_glob

_FILE = re.compile(r"\.\w{1,10}(\.(gz|gzip|zst|zstd|bz2|xz))?$")  # ends in the suffix of a manifest


def media_kind_of(columns: Collection[str]) -> MediaKind:
    """The kind of the units' media, by the columns that only this kind has."""
    if "num_frames" in columns:
        return "video"
    return "document" if "page" in columns and "parent" in columns else "image"


def media_column_of(columns: Collection[str], configuration: Mapping[str, Any]) -> str | None:
    """The column of ``results/`` with the media; None if the output does not hold their places.

    Args:
        columns: Names of the columns.
        configuration: The options of a run.
    """
    named = (configuration.get(f"{kind}_column") for kind in MEDIA_KINDS)
    asked = next(filter(None, named), None)
    names = [asked] if asked else [name for name in DEFAULT_MEDIA_COLUMNS if name in columns]
    return names[0] if names and names[0] in columns else None


def base_of(configuration: Mapping[str, Any]) -> str:
    """The folder that relative media of a run's input are relative to, as `SourcePlan.base`; empty
    if unknown."""
    uri = configuration.get("media_root") or configuration.get("input")
    if not isinstance(uri, str) or not uri:
        return ""
    uri = check_scheme("--media-root", uri)
    if configuration.get("media_root"):
        return uri
    if has_magic(uri):
        return split_glob(uri)[0]
    if kind_of(uri) == "directory":
        return uri
    return posixpath.dirname(uri) if _FILE.search(uri) else uri
