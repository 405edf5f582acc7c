"""The engine of vectors: many requests at once give each the vector that it has alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from internvl_ops.engines.base import EngineDead, Request, Sampling
from internvl_ops.engines.vectors import VectorEngine
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.models.encoders.config import Encoder, load_encoder
from internvl_ops.models.encoders.dual import load_dual
from internvl_ops.models.encoders.tower import load_tower
from internvl_ops.replies import Numbers
from testing.tiny.encoders import make_tiny_internvit, make_tiny_internvl

SIDE = 56


@pytest.fixture(scope="module")
def internvit(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(str(make_tiny_internvit(tmp_path_factory.mktemp("internvit"))))


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(str(make_tiny_internvl(tmp_path_factory.mktemp("internvl"))))


def tiles(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, SIDE, SIDE), np.uint8)


def answers(engine: VectorEngine, requests: Sequence[Request]) -> list[Any]:
    async def all_at_once() -> list[Any]:
        await engine.start()
        asked = [engine.generate(request, Sampling()) for request in requests]
        return await asyncio.gather(*asked, return_exceptions=True)

    try:
        return asyncio.run(all_at_once())
    finally:
        engine.shutdown()


def vectors(engine: VectorEngine, requests: Sequence[Request]) -> np.ndarray:
    found = answers(engine, requests)
    assert all(isinstance(one, Numbers) for one in found), found
    return np.stack([one.values for one in found])


EXACT = {"dtype": "float32"}


def test_units_of_different_numbers_of_tiles(internvit: Encoder) -> None:
    """A unit has the mean of its tiles' vectors, whatever it is computed with and however batches
    fall."""
    shown = [tiles(count, count) for count in (1, 3, 2, 7, 1, 1)]
    tower = load_tower(internvit).float()
    with torch.inference_mode():
        alone = [tower.pooled(torch.from_numpy(one), "class").mean(0).numpy() for one in shown]
    for batch in (1, 3, 64):
        engine = VectorEngine(
            internvit, pooling="class", normalise=False, engine_args=EXACT | {"batch": batch}
        )
        found = vectors(
            engine, [Request(str(number), tiles=one) for number, one in enumerate(shown)]
        )
        np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-4)


def test_vectors_have_the_length_one(internvit: Encoder) -> None:
    engine = VectorEngine(internvit, pooling="mean")
    found = vectors(engine, [Request("a", tiles=tiles(1)), Request("b", tiles=tiles(2))])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_texts_between_pictures(internvl: Encoder) -> None:
    """Kinds alternate, so that no batch has both, and each text has another length."""
    texts = [np.array([1, *range(10, 10 + length), 2], np.int32) for length in (3, 9, 1, 40)]
    requests = [
        request
        for number, ids in enumerate(texts)
        for request in (
            Request(f"t{number}", token_ids=ids),
            Request(f"p{number}", tiles=tiles(1, number)),
        )
    ]
    together = vectors(VectorEngine(internvl, pooling="g", engine_args=EXACT), requests)
    alone = [
        vectors(VectorEngine(internvl, pooling="g", engine_args=EXACT), [one])[0]
        for one in requests[:4]
    ]
    np.testing.assert_allclose(together[:4], alone, rtol=1e-4, atol=1e-4)
    assert together.shape == (8, 64)
    assert len(np.unique(together.round(3), axis=0)) == 8


def test_labels(internvl: Encoder) -> None:
    """After its vector, a picture has the probability of each label, by the mean of the label's
    texts."""
    texts = [
        [np.array([1, *ids, 2], np.int32) for ids in label]
        for label in ([[10, 11], [12]], [[13]], [[14, 15, 16]])
    ]
    engine = VectorEngine(internvl, pooling="c", labels=texts, engine_args=EXACT)
    found = vectors(engine, [Request(str(number), tiles=tiles(1, number)) for number in range(3)])
    dual = load_dual(internvl).float()
    with torch.inference_mode():
        each = [
            unit(dual.pooled_texts([torch.from_numpy(one.astype(np.int64)) for one in label]))
            for label in texts
        ]
        known = torch.stack([unit(one.mean(0)) for one in each])
        pictures = unit(
            dual.pooled(
                torch.from_numpy(np.concatenate([tiles(1, number) for number in range(3)])), "c"
            )
        )
        expected = (dual.logit_scale.exp() * pictures @ known.T).softmax(1)
    np.testing.assert_allclose(found[:, :64], pictures, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[:, 64:], expected, rtol=1e-3, atol=1e-4)


def unit(given: torch.Tensor) -> torch.Tensor:
    return given / given.norm(dim=-1, keepdim=True)


def test_a_unit_with_neither_picture_nor_text_fails_alone(internvit: Encoder) -> None:
    requests = [
        Request("a", tiles=tiles(1)),
        Request("b"),
        Request("c", tiles=tiles(0)),
        Request("d", tiles=tiles(1)),
    ]
    found = answers(VectorEngine(internvit, pooling="class"), requests)
    assert [type(one) for one in found] == [Numbers, UnitError, UnitError, Numbers]
    assert found[1].kind == "bad_row"


def test_a_failing_device_is_a_dead_engine(
    internvit: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request under way learns it, so that the engine is started anew."""

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr("internvl_ops.models.encoders.tower.Tower.pooled", broken)
    engine = VectorEngine(internvit, pooling="class")
    found = answers(engine, [Request(str(number), tiles=tiles(1)) for number in range(3)])
    assert all(isinstance(one, EngineDead) for one in found)
    assert engine.dead


def test_memory_that_is_too_small_halves_the_batch(
    internvit: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = type(load_tower(internvit)).pooled
    sizes: list[int] = []

    def small(self: Any, shown: torch.Tensor, pooling: Any) -> torch.Tensor:
        sizes.append(len(shown))
        if len(shown) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return pooled(self, shown, pooling)

    expected = vectors(
        VectorEngine(internvit, pooling="class", engine_args=EXACT), [Request("a", tiles=tiles(8))]
    )
    monkeypatch.setattr("internvl_ops.models.encoders.tower.Tower.pooled", small)
    engine = VectorEngine(internvit, pooling="class", engine_args=EXACT)
    found = vectors(engine, [Request("a", tiles=tiles(8))])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_vectors_that_are_no_numbers(internvit: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflown(self: Any, shown: torch.Tensor, pooling: Any) -> torch.Tensor:
        found = torch.zeros(len(shown), 128)
        found[shown.float().mean((1, 2, 3)) > 200] = float("inf")
        return found

    monkeypatch.setattr("internvl_ops.models.encoders.tower.Tower.pooled", overflown)
    engine = VectorEngine(internvit, pooling="class", normalise=False)
    bright = np.full((1, 3, SIDE, SIDE), 255, np.uint8)
    good, bad = answers(engine, [Request("a", tiles=tiles(1)), Request("b", tiles=bright)])
    assert isinstance(good, Numbers)
    assert isinstance(bad, UnitError)
    assert "128 values that are no finite numbers" in bad.message


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            {"quantization": "awq"},
            "'quantization' is not an argument of the engine of vectors: dtype, batch",
        ),
        ({"batch": 0}, "batch 0: at least 1 is needed"),
    ],
)
def test_arguments_that_it_does_not_know(
    internvit: Encoder, arguments: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        VectorEngine(internvit, pooling="class", engine_args=arguments)


def test_a_dtype_that_torch_has_not(internvit: Encoder) -> None:
    engine = VectorEngine(internvit, pooling="class", engine_args={"dtype": "float3"})
    with pytest.raises(ConfigurationError, match="dtype 'float3': give float32"):
        asyncio.run(engine.start())


def test_an_engine_that_was_shut_down(internvit: Encoder) -> None:
    engine = VectorEngine(internvit, pooling="class")

    async def late() -> None:
        await engine.start()
        engine.shutdown()
        await engine.generate(Request("a", tiles=tiles(1)), Sampling())

    with pytest.raises(EngineDead):
        asyncio.run(late())
