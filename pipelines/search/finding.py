"""Finds the nearest units of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.remote import first_line
from internvl_ops.vectors.nearest import Nearest, recall
from pipelines.extras import library
from pipelines.options.label_files import true_labels
from pipelines.output.sql import parquet_table, register_store
from pipelines.search.embedded import Embedded
from pipelines.search.index_file import open_index
from pipelines.search.options import SearchOptions

RECALL_AT = (1, 5, 10)
# all vectors are read once for so many; each takes its size and its matches in memory
QUERIES_AT_ONCE = 50_000


@dataclass
class Match:
    """A unit that was found.

    Args:
        id: Its id.
        similarity: The cosine, from -1 to 1.
    """

    id: str
    similarity: float


@dataclass
class Found:
    """What was found for each query.

    Args:
        names: The queries.
        matches: For each of them the nearest units, the nearest first.
        recall: Share of the queries of which a right unit is among the first 1, 5 and 10; None
            without a truth.
    """

    names: list[str]
    matches: list[list[Match]]
    recall: dict[int, float] | None = None


def find(options: SearchOptions) -> Found:
    """Finds the nearest units of all queries.

    Raises:
        ConfigurationError: An option is wrong, an output holds no vectors, or a query cannot be
            made.
    """
    embedded = Embedded("--input", options.input)
    if options.queries is not None:
        return _of_output(options, embedded)
    names, vectors = _of_options(options, embedded)
    # A unit is the nearest to itself, which nobody asks for.
    matches = _Searched(options, embedded).nearest(vectors, options.top + bool(options.query_id))
    known = dict.fromkeys(options.query_id)
    found = [
        [one for one in near if not (name in known and one.id == name)][: options.top]
        for name, near in zip(names, matches, strict=True)
    ]
    return Found(names, found)


def _of_options(options: SearchOptions, embedded: Embedded) -> tuple[list[str], np.ndarray]:
    names = [*options.query_id, *options.query_text, *options.query_image]
    if not names:
        raise ConfigurationError(
            "Nothing to search for: add --query-id ID, --query-text TEXT, --query-image FILE, or"
            " --queries OUTPUT."
        )
    parts = [np.zeros((0, embedded.size), np.float32)]
    if options.query_id:
        parts.append(embedded.of_ids(options.query_id))
    if options.query_text or options.query_image:
        from pipelines.search.queries import query_vectors

        parts.append(
            query_vectors(
                embedded,
                options.query_text,
                options.query_image,
                options.model,
                options.base_url,
            )
        )
    return names, np.concatenate(parts)


def _of_output(options: SearchOptions, embedded: Embedded) -> Found:
    queries = Embedded("--queries", str(options.queries))
    embedded.check_same_space(queries)
    column = options.truth_column
    if column is not None and column not in queries.columns:
        raise ConfigurationError(
            f"--truth-column {column}: no such column in {safe_uri(str(options.queries))}. Columns"
            f" there: {', '.join(queries.columns)}."
        )
    found, truths = Found([], []), []
    searched, waiting, count = (
        _Searched(options, embedded),
        [np.zeros((0, embedded.size), np.float32)],
        0,
    )

    def search() -> None:
        found.matches.extend(searched.nearest(np.concatenate(waiting), options.top))
        waiting[1:] = []

    for rows, vectors in queries.tables(*([column] if column else [])):
        found.names += rows["id"].to_pylist()
        truths += (
            [true_labels(value, several=True) or set() for value in rows[column].to_pylist()]
            if column
            else []
        )
        waiting.append(vectors)
        count += len(vectors)
        if count >= QUERIES_AT_ONCE:
            search()
            count = 0
    search()
    if column is not None:
        at = [k for k in RECALL_AT if k <= options.top]
        found.recall = recall([[one.id for one in near] for near in found.matches], truths, at)
    return found


class _Searched:
    """What is searched: the index, or the vectors that a condition chooses; both are settled
    once."""

    def __init__(self, options: SearchOptions, embedded: Embedded) -> None:
        if options.index is not None and options.where is not None:
            raise ConfigurationError(
                "--where with --index: the index holds all units. Leave one of them out."
            )
        self._embedded = embedded
        self._index = None if options.index is None else open_index(options.index, embedded)
        self._wanted = None if options.where is None else _wanted(embedded, options.where)

    def nearest(self, vectors: np.ndarray, top: int) -> list[list[Match]]:
        """The nearest units of each vector. Without an index, all vectors are read once."""
        if self._index is not None:
            index, ids = self._index
            return _matches(ids, *index.search(vectors, top)) if ids else [[] for _ in vectors]
        exact, ids = Nearest(vectors, top), []
        for rows, block in self._embedded.tables():
            names = rows["id"].to_pylist()
            if self._wanted is not None:
                kept = [place for place, name in enumerate(names) if name in self._wanted]
                names, block = [names[place] for place in kept], block[kept]
            ids += names
            exact.add(block)
        return _matches(ids, *exact.found())


def _matches(ids: Sequence[str], places: np.ndarray, cosines: np.ndarray) -> list[list[Match]]:
    return [
        [Match(ids[place], float(cosine)) for place, cosine in zip(row, values, strict=True)]
        for row, values in zip(places, cosines, strict=True)
    ]


def _wanted(embedded: Embedded, where: str) -> set[str]:
    """Ids of the units for which the condition is true."""
    duckdb: Any = library("duckdb", "sql", "--where")
    with duckdb.connect() as connection:
        register_store(connection, embedded.folder)
        try:
            rows = connection.execute(
                f"SELECT id FROM {parquet_table(embedded.folder, embedded.files)} WHERE {where}"
            ).fetchall()
        except duckdb.Error as error:
            raise ConfigurationError(f"--where {where}: {first_line(error)}") from None
    return {row[0] for row in rows}
