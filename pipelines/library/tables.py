"""Data of a Python program as a Ray Dataset: a Dataset, a DataFrame, an Arrow table, rows, or
paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from pipelines.sources.options import MEDIA_SUFFIXES

if TYPE_CHECKING:
    from ray.data import Dataset

TAKEN = (
    "a ray.data.Dataset, a pandas or Polars DataFrame, an Arrow table, a list of dicts, or a list"
    " of paths or URIs"
)


@dataclass(frozen=True)
class Given:
    """Data, and what is known of it.

    Args:
        dataset: The rows.
        schema: Their columns.
        allow: Prefixes that hold media which the caller named one by one, and so wants read.
    """

    dataset: Dataset
    schema: pa.Schema
    allow: tuple[str, ...] = ()


def is_table(data: object) -> bool:
    """Whether ``data`` holds rows; otherwise it names a manifest, a folder or a glob."""
    return not isinstance(data, str | os.PathLike)


def dataset_of(data: Any) -> Given:
    """Any of `TAKEN` as a Dataset. Starts Ray, as `ray.data` does, if the process has no session.

    Raises:
        ConfigurationError: It is nothing of these, or holds no rows to learn the columns from.
    """
    import ray.data

    if isinstance(data, ray.data.Dataset):
        return Given(data, _schema_of(data))
    if isinstance(data, list | tuple):
        return _of_list(data)
    table = _table_of(data)
    return Given(ray.data.from_arrow(table), table.schema)


def _of_list(data: Sequence[Any]) -> Given:
    import ray.data

    if not data:
        raise ConfigurationError(f"The list is empty. Give {TAKEN}.")
    if all(isinstance(one, dict) for one in data):
        table = pa.Table.from_pylist(list(data))
        return Given(ray.data.from_arrow(table), table.schema)
    if not all(isinstance(one, str | os.PathLike) for one in data):
        wrong = next(one for one in data if not isinstance(one, str | os.PathLike))
        raise ConfigurationError(f"The list holds a {type(wrong).__name__}. Give {TAKEN}.")
    uris = [os.fspath(one) for one in data]
    kinds = {media_kind_of_uri(uri) for uri in uris}
    if len(kinds) > 1:
        raise ConfigurationError(
            f"The list holds {' and '.join(f'{kind}s' for kind in sorted(kinds))}. One call reads"
            " media of one kind: make a call for each."
        )
    table = pa.table({kinds.pop(): uris})
    return Given(
        ray.data.from_arrow(table), table.schema, tuple(sorted({_folder(uri) for uri in uris}))
    )


def media_kind_of_uri(uri: str) -> MediaKind:
    """The kind of a file, by its suffix; an image if the suffix is unknown."""
    suffix = PurePath(uri.partition("?")[0]).suffix.lower()
    return next((kind for kind, suffixes in MEDIA_SUFFIXES.items() if suffix in suffixes), "image")


def _folder(uri: str) -> str:
    """The folder of a file, as a prefix of what may be read."""
    if "://" in uri or uri.startswith("data:"):
        return uri.rpartition("/")[0] + "/"
    return os.path.dirname(os.path.abspath(uri))


def _table_of(data: Any) -> pa.Table:
    if type(data).__module__.partition(".")[0] == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, pa.Table) or hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    raise ConfigurationError(
        f"A {type(data).__name__} is no table. Give {TAKEN}, or the path of a manifest."
    )


def _schema_of(dataset: Dataset) -> pa.Schema:
    """The columns of a Dataset. If Ray does not know them, it computes the first rows."""
    known = dataset.schema(fetch_if_missing=False)
    if known is not None and isinstance(known.base_schema, pa.Schema):
        return known.base_schema
    first: Any = next(
        iter(dataset.limit(1).iter_batches(batch_size=None, batch_format="pyarrow")), None
    )
    if first is None or not first.column_names:
        raise ConfigurationError(
            "The Dataset has no rows, and so no columns that could be answered."
        )
    return first.schema
