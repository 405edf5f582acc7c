"""Approximate neighbours by an index of the library usearch: a graph in which a search goes from
near to nearer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from internvl_ops.vectors.nearest import Nearest, of_length_one


class Index:
    """An index of vectors by cosine.

    Args:
        size: Length of a vector.
        usearch: The module ``usearch.index``; the caller says how to install it.
    """

    def __init__(self, size: int, usearch: Any) -> None:
        self._index = usearch.Index(ndim=size, metric="cos", dtype="f16")

    def __len__(self) -> int:
        return len(self._index)

    def add(self, vectors: np.ndarray) -> None:
        """Adds vectors, of shape (vectors, size); their places count on from those added before."""
        first = len(self._index)
        self._index.add(np.arange(first, first + len(vectors)), of_length_one(vectors))

    def search(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and cosines of the neighbours of each query, the nearest first, of shape (queries,
        top)."""
        top = min(top, len(self._index))
        matches = self._index.search(np.atleast_2d(of_length_one(queries)), top)
        places, distances = (np.atleast_2d(one) for one in (matches.keys, matches.distances))
        return places.astype(np.int64), (1 - distances).astype(np.float32)

    def near_pairs(
        self, vectors: np.ndarray, similarity: float, top: int = 32
    ) -> Iterator[tuple[int, int]]:
        """As `internvl_ops.vectors.nearest.near_pairs`, among the ``top`` nearest of each vector
        that it finds."""
        for start in range(0, len(vectors), 4096):
            places, cosines = self.search(vectors[start : start + 4096], top)
            for row, column in np.argwhere(cosines >= similarity):
                one, other = start + int(row), int(places[row, column])
                if one != other:
                    yield min(one, other), max(one, other)

    def recall(self, queries: np.ndarray, exact: Nearest, top: int) -> float:
        """Share of the exact neighbours of the queries that this index finds."""
        places, _ = self.search(queries, top)
        right, _ = exact.found()
        hits = sum(
            len(set(one) & set(other)) for one, other in zip(places, right[:, :top], strict=True)
        )
        return hits / max(1, right[:, :top].size)

    def save(self, path: Path) -> None:
        self._index.save(str(path))

    def load(self, path: Path) -> None:
        self._index.load(str(path))
