"""Nearest neighbours by cosine, exact: every query is compared with every vector, a block at a
time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

BLOCK = 4096  # vectors compared at once; the products of a block of each take 64 MiB


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """The vectors with the length one, as float32; one of length zero stays as it is."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


class Nearest:
    """Collects the nearest vectors of each query, while vectors are added block by block.

    Args:
        queries: float32 of shape (queries, size), of any length.
        top: Number of neighbours of each query.
    """

    def __init__(self, queries: np.ndarray, top: int) -> None:
        self._queries, self._top = of_length_one(queries), top
        self._scores = np.full((len(queries), 0), -np.inf, np.float32)
        self._places = np.zeros((len(queries), 0), np.int64)
        self._count = 0

    def add(self, vectors: np.ndarray) -> None:
        """Adds vectors, of shape (vectors, size); their places count on from those added before."""
        for start in range(0, len(vectors), BLOCK):
            block = of_length_one(vectors[start : start + BLOCK])
            places = np.arange(self._count, self._count + len(block))
            self._count += len(block)
            parts = [
                self._better(slice(at, at + BLOCK), block, places)
                for at in range(0, len(self._queries), BLOCK)
            ]
            none = np.zeros((0, min(self._top, self._count)))
            self._scores = np.concatenate(
                [none.astype(np.float32), *(scores for scores, _ in parts)]
            )
            self._places = np.concatenate([none.astype(np.int64), *(found for _, found in parts)])

    def _better(
        self, part: slice, block: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores and places of the best for some queries, with those that were the best before."""
        scores = np.concatenate([self._scores[part], self._queries[part] @ block.T], 1)
        found = np.concatenate(
            [self._places[part], np.broadcast_to(places, (len(scores), len(places)))], 1
        )
        if scores.shape[1] > self._top:
            best = np.argpartition(-scores, self._top - 1, axis=1)[:, : self._top]
            scores, found = np.take_along_axis(scores, best, 1), np.take_along_axis(found, best, 1)
        return scores, found

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Places and cosines of the neighbours, the nearest first, each of shape (queries, min(top,
        vectors)).

        Of equal ones, that with the smaller place comes first.
        """
        order = np.lexsort((self._places, -self._scores), axis=1)
        return np.take_along_axis(self._places, order, 1), np.take_along_axis(
            self._scores, order, 1
        )


def near_pairs(vectors: np.ndarray, similarity: float) -> Iterator[tuple[int, int]]:
    """Places of all pairs of vectors whose cosine is at least ``similarity``, the smaller place
    first.

    Args:
        vectors: float32 of shape (vectors, size), of any length. Those of length zero are near to
            none.
        similarity: Above 0.
    """
    vectors = of_length_one(vectors)
    for start in range(0, len(vectors), BLOCK):
        rows = vectors[start : start + BLOCK]
        for other in range(start, len(vectors), BLOCK):
            near = rows @ vectors[other : other + BLOCK].T >= similarity
            for row, column in np.argwhere(near):
                if start + row < other + column:
                    yield int(start + row), int(other + column)


def recall(
    found: Sequence[Sequence[str]], truths: Sequence[set[str]], at: Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Share of the queries of which at least one right answer is among the first ``k``, for each
    ``k``.

    As CLIP Benchmark computes it for retrieval: a query with several right answers needs one of
    them.

    Args:
        found: For each query its answers, the nearest first.
        truths: For each query its right answers. One without a right answer counts as missed.
        at: The numbers of answers that are looked at.
    """
    if not truths:
        return dict.fromkeys(at, 0.0)
    hits = {
        k: sum(
            bool(truth & set(list(answers)[:k]))
            for answers, truth in zip(found, truths, strict=True)
        )
        for k in at
    }
    return {k: hits[k] / len(truths) for k in at}
