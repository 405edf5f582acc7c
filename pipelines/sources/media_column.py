"""The media of a row: finds the column that holds them, and converts every accepted form to one."""

from __future__ import annotations

import difflib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.stores.redaction import without_credentials
from pipelines.columns import MEDIA_TYPE
from pipelines.sources.base64_media import decoded
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions

# addresses that may contain a password or a signature
_TELLING = r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//.*[@?:#;]"
_ITEM = MEDIA_TYPE.value_type
_EXPECTED = "a URI, a list of URIs, or a struct {bytes, path}"


def choose_media_column(columns: pa.Schema, options: SourceOptions) -> tuple[MediaKind, str | None]:
    """Finds the kind of media and the column that holds them; None if there is no such column and
    none is required.

    Raises:
        ConfigurationError: There is no media column, there are several and no option names one, or
            its type cannot be media.
    """
    named = options.named_media
    if options.without_media:
        return "image", None
    if named:
        kind, name = next(iter(named.items()))
        if name not in columns.names:
            raise ConfigurationError(_missing(f"--{kind}-column {name}", name, columns))
    else:
        found = [name for name in columns.names if name in DEFAULT_MEDIA_COLUMNS]
        if not found and options.media_optional:
            return "image", None
        if not found:
            raise ConfigurationError(
                _missing(
                    f"--input {options.uri}",
                    "image",
                    columns,
                    "no media column (image, images, video, document, pdf); name yours with"
                    " --image-column, --video-column or --document-column",
                )
            )
        if len(found) > 1:
            kinds = " or ".join(f"--{DEFAULT_MEDIA_COLUMNS[name]}-column {name}" for name in found)
            raise ConfigurationError(
                f"--input {options.uri} has several media columns: {', '.join(found)}. Say which to"
                f" use: {kinds}."
            )
        name, kind = found[0], DEFAULT_MEDIA_COLUMNS[found[0]]
    if uri_type(columns.field(name).type) is False:
        raise ConfigurationError(
            f"Column '{name}' is {columns.field(name).type}; media need {_EXPECTED}."
        )
    return kind, name


def _missing(
    subject: str, wanted: str, columns: pa.Schema, what: str = "no such column in the manifest"
) -> str:
    close = difflib.get_close_matches(wanted.lower(), columns.names, n=1, cutoff=0.6) or [
        name
        for name in columns.names
        if any(word in name.lower() for word in (wanted.lower(), "url", "uri", "path", "file"))
    ]
    hint = (
        f" Did you mean --image-column {close[0]}?"
        if close and subject.startswith("--input")
        else ""
    )
    hint = hint or (f" Did you mean {close[0]}?" if close else "")
    return f"{subject}: {what}. Columns there: {', '.join(columns.names) or 'none'}.{hint}"


def uri_type(kind: pa.DataType) -> pa.DataType | bool | None:
    """Type of the media column in the output: its URIs without inline bytes.

    Returns:
        ``None`` if the column is bytes only and nothing passes through; ``False`` if the type
        cannot be media.
    """
    if pa.types.is_dictionary(kind):
        return uri_type(kind.value_type)
    if _is_list(kind):
        inner = False if _is_list(kind.value_type) else uri_type(kind.value_type)
        return pa.list_(inner) if isinstance(inner, pa.DataType) else inner
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if "path" in names:
            return pa.string()
        return None if "bytes" in names else False
    if _is_text(kind):
        return pa.string()
    return None if _is_binary(kind) else False


def holds_several(kind: pa.DataType) -> bool:
    """Whether a value of a media column may be more than one file."""
    return holds_several(kind.value_type) if pa.types.is_dictionary(kind) else _is_list(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def to_media(
    column: pa.Array, *, optional: bool = False
) -> tuple[pa.ListArray, pa.Array | None, dict[int, str]]:
    """Converts a media column to one form.

    Args:
        column: Column of any type for which :func:`uri_type` is not ``False``.
        optional: Whether a row may have no media.

    Returns:
        The media (``list<struct<uri, bytes>>``, null if there are none), the URIs that pass through
        (``None`` for a column of bare bytes), and the problems by row.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    size = len(column)
    if _is_list(column.type):
        if not pa.types.is_list(column.type):
            column = column.cast(pa.list_(column.type.value_type))
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        items, paths = _to_items(column.flatten())
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    else:
        items, paths = _to_items(column)
        offsets = np.arange(size + 1, dtype=np.int32)
    rows = np.repeat(np.arange(size), np.diff(offsets))
    missing = pc.is_null(items).to_numpy(zero_copy_only=False)
    without = np.flatnonzero(np.diff(offsets) == 0).tolist()
    problems = dict.fromkeys(without, f"no media; {_EXPECTED} is needed")
    problems |= dict.fromkeys(
        rows[missing].tolist(), f"a null or empty media value; {_EXPECTED} is needed"
    )
    bad = np.zeros(size, bool)
    bad[list(problems)] = True
    if optional:
        problems = {
            row: text
            for row, text in problems.items()
            if _is_list(column.type) and row not in set(without)
        }
    media = pa.ListArray.from_arrays(pa.array(offsets), items)
    if bad.any():
        media = pc.if_else(pa.array(~bad), media, pa.scalar(None, MEDIA_TYPE))
    paths = None if paths is None else _shown(paths)
    passthrough = paths
    if paths is not None and _is_list(column.type):
        passthrough = pa.ListArray.from_arrays(pa.array(offsets), paths, mask=pc.is_null(column))
    return media, passthrough, problems


def _to_items(column: pa.Array) -> tuple[pa.StructArray, pa.Array | None]:
    """One ``struct<uri, bytes>`` per value, null if it has neither, and the URIs that pass
    through."""
    size, uris, contents = len(column), None, None
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        uris = pc.struct_field(column, "path") if "path" in names else None
        contents = pc.struct_field(column, "bytes") if "bytes" in names else None
        if contents is not None and not _is_binary(contents.type):
            contents = None  # a text format has no bytes
    elif _is_binary(column.type):
        contents = column
    else:
        uris = column
    paths = uris.cast(pa.string()) if uris is not None else None
    uris = paths if paths is not None else pa.nulls(size, pa.string())
    uris = _without_empty(uris)
    contents = (
        contents.cast(pa.large_binary())
        if contents is not None
        else pa.nulls(size, pa.large_binary())
    )
    contents = _without_empty(contents)
    if paths is not None:
        uris, contents, inline = decoded(_without_blanks(uris), contents)
        if pc.any(inline).as_py():
            paths = pc.if_else(inline, pa.scalar(None, pa.string()), paths)
    missing = pc.and_(pc.is_null(uris), pc.is_null(contents))
    return pa.StructArray.from_arrays([uris, contents], fields=list(_ITEM), mask=missing), paths


def _without_blanks(uris: pa.Array) -> pa.Array:
    """Strips spaces around addresses, which no server expects. Spaces in paths stay."""
    trimmed = pc.utf8_trim_whitespace(uris)
    is_address = pc.match_substring_regex(trimmed, r"^[A-Za-z][A-Za-z0-9+.-]*://")
    changed = pc.fill_null(pc.and_(is_address, pc.not_equal(trimmed, uris)), False)
    return pc.if_else(changed, trimmed, uris) if pc.any(changed).as_py() else uris


def _shown(paths: pa.Array) -> pa.Array:
    """URIs as results keep them: without a password or a signature."""
    told = pc.fill_null(pc.match_substring_regex(paths, _TELLING), False)
    if not pc.any(told).as_py():
        return paths
    shown = pa.array(
        [without_credentials(uri) for uri in paths.filter(told).to_pylist()], paths.type
    )
    return pc.replace_with_mask(paths, told, shown)


def _without_empty(values: pa.Array) -> pa.Array:
    """Turns empty values into null. Copies only if there are any: values may be megabytes of
    images."""
    empty = pc.fill_null(pc.equal(pc.binary_length(values), 0), False)
    return (
        pc.if_else(empty, pa.scalar(None, values.type), values) if pc.any(empty).as_py() else values
    )
