"""Groups of duplicates: for each unit that repeats another one, the one that is kept."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from internvl_ops.vectors.index import Index
from internvl_ops.vectors.nearest import near_pairs
from pipelines.extras import library
from pipelines.filtering.rules import (
    Duplicates,
    ExactDuplicates,
    NearImages,
    NearTexts,
    NearVectors,
)
from pipelines.output.sql import quoted

PERMUTATIONS = 128
SHINGLE = 3  # words
_BATCH = 10_000
# A hash has the signs of 8 x 8 frequencies against their median, row by row. In the mirrored
# picture, every second frequency across has the other sign; those between 0 and the median keep
# their bit all the same, of 300 pictures at most 8 in all but four.
MIRROR = 0x5555_5555_5555_5555
MIRROR_BITS = 4
EXACT_VECTORS = 50_000  # every pair of more takes minutes
# Letters of scripts without blanks between words count as words: Thai, Lao, Burmese, Khmer,
# Japanese, Chinese.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def find_duplicates(connection: Any, rule: Duplicates, table: str) -> None:
    """Makes ``table`` with the columns id and kept, a row for each unit that repeats one that is
    kept.

    The table ``candidates`` must hold the ids of the units that are compared.
    """
    order = f"{rule.best_first}, id" if rule.best_first else "id"
    connection.execute(
        f"CREATE OR REPLACE TABLE ranked AS SELECT id, row_number() OVER (ORDER BY {order}) AS rank"
        " FROM units WHERE id IN (SELECT id FROM candidates)"
    )
    if isinstance(rule, ExactDuplicates):
        _exact(connection, rule, table)
        return
    found = _NEAR[type(rule)](connection, rule)
    connection.execute(f"CREATE TABLE {table} (id VARCHAR, kept VARCHAR)")
    if found:
        repeated = pa.table({"rank": list(found), "kept_rank": list(found.values())})
        connection.register("found", repeated)
        connection.execute(
            f"INSERT INTO {table} SELECT one.id, kept.id FROM found JOIN ranked one USING (rank) "
            "JOIN ranked kept ON kept.rank = found.kept_rank"
        )
        connection.unregister("found")


def _exact(connection: Any, rule: ExactDuplicates, table: str) -> None:
    types = {row[0]: row[1] for row in connection.execute("DESCRIBE units").fetchall()}
    keys = []
    for column in rule.of:
        key = quoted(column)
        if types[column] == "VARCHAR":
            key = f"lower(trim(regexp_replace({key}, '\\s+', ' ', 'g')))"
        keys.append(key)
    there = " AND ".join(f"({key}) IS NOT NULL" for key in keys)
    connection.execute(
        f"CREATE TABLE {table} AS SELECT id, kept FROM (SELECT units.id, first_value(units.id) OVER"
        f" (PARTITION BY {', '.join(keys)} ORDER BY rank) AS kept FROM units JOIN ranked USING (id)"
        f" WHERE {there}) WHERE id <> kept"
    )


def _near_images(connection: Any, rule: Any) -> dict[int, int]:
    """Rank of a unit -> rank of the unit that is kept."""
    column = quoted(rule.column)
    connection.execute(
        f"CREATE OR REPLACE TABLE hashes AS SELECT rank, try_cast('0x' || {column} AS UBIGINT) AS"
        f" hash FROM units JOIN ranked USING (id) WHERE length({column}) = 16"
    )
    pairs = _hash_pairs(connection, rule.bits)
    if rule.mirrored:
        mirrored = _hash_pairs(connection, rule.bits + MIRROR_BITS, MIRROR)
        pairs = itertools.chain(pairs, mirrored)
    found = dict(_kept_of(pairs))
    equal = _rows(
        connection,
        "SELECT rank, min(rank) OVER (PARTITION BY hash) AS best FROM hashes WHERE hash IS NOT NULL"
        " QUALIFY rank > best",
    )
    return found | {rank: found.get(best, best) for rank, best in equal}


def _hash_pairs(connection: Any, bits: int, turned: int = 0) -> Iterator[tuple[int, int]]:
    """Pairs of ranks, one a hash, whose hashes differ in at most ``bits``. Such two agree in one of
    bits + 1 bands. Of the second hash, the bits in ``turned`` are turned round first."""
    distinct = "SELECT min(rank) AS rank, hash FROM hashes WHERE hash IS NOT NULL GROUP BY hash"
    edges = [64 * band // (bits + 1) for band in range(bits + 2)]
    for start, stop in itertools.pairwise(edges):
        mask = f"{(1 << (stop - start)) - 1}::UBIGINT"
        band = f"(hash >> {start}) & {mask}"
        other = f"b.band = xor(a.band, {(turned >> start) & ((1 << (stop - start)) - 1)}::UBIGINT)"
        yield from _rows(
            connection,
            f"WITH one AS (SELECT rank, hash, {band} AS band FROM ({distinct})) "
            f"SELECT a.rank, b.rank FROM one a JOIN one b ON {other} AND a.rank < b.rank "
            f"WHERE bit_count(xor(xor(a.hash, b.hash), {turned}::UBIGINT)) <= {bits}",
        )


def _near_texts(connection: Any, rule: Any) -> dict[int, int]:
    """Rank of a unit -> rank of the unit that is kept."""
    return dict(_kept_of(_text_pairs(connection, rule)))


def _near_vectors(connection: Any, rule: NearVectors) -> dict[int, int]:
    """Rank of a unit -> rank of the unit that is kept."""
    column = quoted(rule.column)
    table = connection.sql(
        f"SELECT rank, {column} AS vector FROM units JOIN ranked USING (id) WHERE {column} IS NOT"
        " NULL ORDER BY rank"
    ).to_arrow_table()
    if not len(table):
        return {}
    ranks = table["rank"].to_pylist()
    flat = pc.list_flatten(table["vector"]).to_numpy()
    if len(flat) % len(ranks):
        raise ConfigurationError(
            f"rule {rule.title}: the vectors in column {rule.column!r} are not of one length."
        )
    vectors = np.asarray(flat, np.float32).reshape(len(ranks), -1)
    if len(vectors) <= EXACT_VECTORS:
        pairs = near_pairs(vectors, rule.similarity)
    else:
        usearch = library(
            "usearch.index",
            "search",
            f"The rule near_duplicate_vectors over {len(vectors):,} units",
        )
        index = Index(vectors.shape[1], usearch)
        index.add(vectors)
        pairs = index.near_pairs(vectors, rule.similarity)
    return dict(_kept_of((ranks[one], ranks[other]) for one, other in pairs))


def _text_pairs(connection: Any, rule: NearTexts) -> Iterator[tuple[int, int]]:
    """Pairs of ranks whose texts are near: their MinHashes agree in a band, and in enough
    places."""
    min_hash = library("rensa", "filter", "The rule near_duplicate_texts").RMinHash
    ranks, packed = [], bytearray()
    for rank, text in _rows(
        connection,
        f"SELECT rank, {quoted(rule.column)}::VARCHAR FROM units JOIN ranked USING (id) "
        f"WHERE length({quoted(rule.column)}) > 0 ORDER BY rank",
    ):
        if signature := _signature(text, min_hash):
            ranks.append(rank)
            packed += signature
    signatures = np.frombuffer(bytes(packed), np.uint32).reshape(-1, PERMUTATIONS)
    rows = _rows_a_band(rule.similarity)
    for start in range(0, PERMUTATIONS - rows + 1, rows):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for place, band in enumerate(signatures[:, start : start + rows]):
            buckets[band.tobytes()].append(place)
        for places in buckets.values():
            for one, other in _near_in(signatures, places, rule.similarity):
                yield ranks[one], ranks[other]


def _near_in(
    signatures: np.ndarray, places: list[int], similarity: float
) -> Iterator[tuple[int, int]]:
    """Pairs of near texts in one bucket: each text and the first that is near to it and repeats
    none itself."""
    originals: list[int] = []
    for place in places:
        agreement = (
            (signatures[originals] == signatures[place]).mean(axis=1) if originals else np.zeros(0)
        )
        near = np.flatnonzero(agreement >= similarity)
        if len(near):
            yield originals[near[0]], place
        else:
            originals.append(place)


def _signature(text: str, min_hash: Any) -> bytes | None:
    """The MinHash of a text's runs of three words, as uint32; of three letters, where there are
    fewer words."""
    words = _WORDS.findall(text.lower())
    if len(words) < SHINGLE:
        words = list("".join(words))
    if not words:
        return None
    runs = {" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}
    hashed = min_hash(num_perm=PERMUTATIONS, seed=1)
    hashed.update(sorted(runs))
    return np.array(hashed.digest(), np.uint32).tobytes()


def _rows_a_band(similarity: float) -> int:
    """The longest bands that find 99 of 100 pairs of the wanted similarity."""
    for rows in range(PERMUTATIONS // 2, 1, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - similarity**rows) ** bands >= 0.99:
            return rows
    return 1


def _kept_of(pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Each unit that repeats a kept one, with that one. The best of all is kept, then the best of
    what is left."""
    near: dict[int, list[int]] = defaultdict(list)
    for one, other in pairs:
        near[max(one, other)].append(min(one, other))
    repeats: set[int] = set()
    for rank in sorted(near):
        kept = [better for better in near[rank] if better not in repeats]
        if kept:
            repeats.add(rank)
            yield rank, min(kept)


def _rows(connection: Any, query: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(query)
    while rows := cursor.fetchmany(_BATCH):
        yield from rows


_NEAR: dict[type[Duplicates], Callable[[Any, Any], dict[int, int]]] = {
    NearImages: _near_images,
    NearTexts: _near_texts,
    NearVectors: _near_vectors,
}
