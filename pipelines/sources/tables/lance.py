"""Lance datasets. A fragment is a split."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.aws import options_for
from internvl_ops.stores.base import Settings
from internvl_ops.stores.redaction import safe_text
from pipelines.extras import library
from pipelines.sources.arrow_rows import lost_rows, typed
from pipelines.sources.arrow_types import plain_type, settled
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.repeated_values import pieces
from pipelines.sources.sql_tree import TypedBound
from pipelines.sources.tables.shared import SNAPSHOT

_FRAGMENTS = "fragments"
_AHEAD = 64 << 20  # bytes that Lance reads ahead; 2 GiB by default
_OFFSET = 0xFFFFFFFF  # bits of a row's address that are its place in the fragment


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """The columns and fragments of the newest version.

    Raises:
        ConfigurationError: lance is missing, or cannot read it.
    """
    dataset = _open(options.uri, None, options.settings)
    fragments = sorted(dataset.get_fragments(), key=lambda fragment: fragment.fragment_id)
    found = [
        Split(index, options.uri, f"fragment-{fragment.fragment_id}", rows=fragment.count_rows())
        for index, fragment in enumerate(fragments)
    ]
    columns = pa.schema((field.name, settled(plain_type(field.type))) for field in dataset.schema)
    snapshot = {"format": "lance", "version": dataset.version}
    return (
        columns,
        found,
        {SNAPSHOT: snapshot, _FRAGMENTS: [fragment.fragment_id for fragment in fragments]},
    )


def narrow(plan: SourcePlan) -> SourcePlan:
    """The plan as it is: Lance itself leaves out what is not wanted."""
    return plan


def count(plan: SourcePlan, split: Split) -> int:
    return int(_fragment(plan, split)[1].count_rows())


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    """Yields the rows of one fragment."""
    dataset, fragment = _fragment(plan, split)
    bounds = plan.wanted.bounds_on(dataset.schema) if plan.wanted else []
    at, left = 0, split.max_rows
    try:
        batches = dataset.scanner(
            fragments=[fragment],
            columns=[name for name in dataset.schema.names if name in plan.columns.names],
            filter=" AND ".join(map(_sql, bounds)) or None,
            with_row_address=True,
            scan_in_order=True,
            batch_size=batch_rows,
            batch_size_bytes=batch_bytes,
            batch_readahead=2,
            fragment_readahead=1,
            io_buffer_size=_AHEAD,
        ).to_reader()
        for whole in batches:
            for batch in pieces(whole, batch_bytes):
                batch = batch if left is None else batch.slice(0, left)
                numbers = (batch["_rowaddr"].to_numpy() & _OFFSET).astype(np.int64) + 1
                at = int(numbers[-1]) if len(numbers) else at
                if batch.num_rows:
                    yield typed(plan, split, batch.drop_columns(["_rowaddr"]), numbers)
                left = None if left is None else left - batch.num_rows
                if left == 0:
                    return
    except (pa.ArrowException, OSError, ValueError) as error:
        yield from lost_rows(
            plan,
            at,
            at + 1,
            1,
            f"the fragment cannot be read from here on ({safe_text(str(error)):.300})",
        )


def _sql(bound: TypedBound) -> str:
    values = [_literal(value) for value in bound.values]
    name = f"`{bound.column}`"
    return (
        f"{name} IN ({', '.join(values)})"
        if len(values) > 1
        else f"{name} {bound.operator} {values[0]}"
    )


def _literal(value: pa.Scalar) -> str:
    if pa.types.is_boolean(value.type) or pa.types.is_integer(value.type):
        return str(value.as_py()).lower()
    text = "'" + str(value.cast(pa.string())).replace("'", "''") + "'"
    if pa.types.is_date(value.type):
        return f"date {text}"
    return f"timestamp {text}" if pa.types.is_timestamp(value.type) else text


def _fragment(plan: SourcePlan, split: Split) -> tuple[Any, Any]:
    dataset = _at(plan.options.uri, plan.snapshot["version"], plan.options.settings)
    return dataset, dataset.get_fragment(plan.details[_FRAGMENTS][split.index])


@lru_cache(maxsize=1)
def _at(uri: str, version: int, settings: Settings) -> Any:
    """A version of the table, opened once in a process."""
    return _open(uri, version, settings)


def _open(uri: str, version: int | None, settings: Settings) -> Any:
    """The table at a version; the newest if None."""
    lance = library("lance", "lance", "A Lance dataset as --input")
    try:
        return lance.dataset(uri, version=version, storage_options=options_for(uri, settings))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"--input {uri} cannot be read as a Lance dataset: {safe_text(str(error))}"
        ) from None
