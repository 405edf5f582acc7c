"""Exact neighbours against a plain comparison of all with all, the index against the exact ones,
and recall by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import usearch.index
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from internvl_ops.vectors import nearest
from internvl_ops.vectors.index import Index
from internvl_ops.vectors.nearest import Nearest, near_pairs, of_length_one, recall

NUMBERS = st.floats(-9, 9, width=32).map(lambda value: round(value, 1))
VECTORS = arrays.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(4)), elements=NUMBERS)
QUERIES = arrays.arrays(np.float32, st.tuples(st.integers(0, 9), st.just(4)), elements=NUMBERS)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few vectors fill several."""
    monkeypatch.setattr(nearest, "BLOCK", 7)


@given(VECTORS, QUERIES, st.integers(1, 12), st.integers(1, 40))
def test_the_nearest_of_all(vectors: np.ndarray, queries: np.ndarray, top: int, cut: int) -> None:
    """However the vectors are added."""
    found = Nearest(queries, top)
    for start in range(0, len(vectors), cut):
        found.add(vectors[start : start + cut])
    places, cosines = found.found()
    every = of_length_one(queries) @ of_length_one(vectors).T
    assert places.shape == cosines.shape == (len(queries), min(top, len(vectors)))
    for row, (chosen, scores) in enumerate(zip(places, cosines, strict=True)):
        np.testing.assert_allclose(scores, np.sort(every[row])[::-1][:top], atol=1e-5)
        np.testing.assert_allclose(every[row][chosen], scores, atol=1e-5)
        assert len(set(chosen)) == len(chosen)


@given(VECTORS, st.floats(0.5, 0.99))
def test_pairs_of_near_vectors(vectors: np.ndarray, similarity: float) -> None:
    cosines = of_length_one(vectors) @ of_length_one(vectors).T
    sure = {(a, b) for a, b in np.argwhere(cosines > similarity + 1e-5) if a < b}
    possible = {(a, b) for a, b in np.argwhere(cosines > similarity - 1e-5) if a < b}
    found = list(near_pairs(vectors, similarity))
    assert len(set(found)) == len(found)
    assert sure <= set(found) <= possible


def test_a_vector_of_length_zero_is_near_to_none() -> None:
    assert list(near_pairs(np.zeros((3, 4), np.float32), 0.5)) == []


def test_the_index_finds_what_is_planted(tmp_path: Path) -> None:
    drawn = np.random.default_rng(3)
    vectors = drawn.normal(size=(600, 32)).astype(np.float32)
    queries = vectors[:50] + 0.05 * drawn.normal(size=(50, 32)).astype(np.float32)
    index = Index(32, usearch.index)
    for start in range(0, 600, 250):
        index.add(vectors[start : start + 250])
    exact = Nearest(queries, 10)
    exact.add(vectors)
    assert index.search(queries, 10)[0][:, 0].tolist() == list(range(50))
    assert index.recall(queries, exact, 10) > 0.9
    np.testing.assert_allclose(index.search(queries, 1)[1][:, 0], exact.found()[1][:, 0], atol=5e-3)
    index.save(tmp_path / "index")
    again = Index(32, usearch.index)
    again.load(tmp_path / "index")
    assert (len(again), again.search(queries, 3)[0].tolist()) == (
        600,
        index.search(queries, 3)[0].tolist(),
    )


def test_the_index_finds_near_pairs() -> None:
    drawn = np.random.default_rng(4)
    vectors = drawn.normal(size=(200, 32)).astype(np.float32)
    vectors[100] = vectors[7] + 0.01
    vectors[150] = vectors[100]
    index = Index(32, usearch.index)
    index.add(vectors)
    assert (
        set(index.near_pairs(vectors, 0.95))
        == set(near_pairs(vectors, 0.95))
        == {(7, 100), (7, 150), (100, 150)}
    )


def test_recall_by_hand() -> None:
    found = [["a", "b", "c"], ["b", "a", "c"], ["c", "b", "a"], ["a", "b", "c"]]
    truths = [{"a"}, {"a", "x"}, {"a"}, set()]
    assert recall(found, truths, at=(1, 2, 3)) == {1: 0.25, 2: 0.5, 3: 0.75}
    assert recall([], [], at=(1,)) == {1: 0}
