"""Vectors of texts by vLLM's pooling are those of transformers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.vllm_vectors import VllmVectorEngine
from internvl_ops.errors import UnitError
from internvl_ops.models.encoders.config import Pooling
from internvl_ops.models.encoders.text_config import load_text_encoder
from internvl_ops.models.encoders.texts import text_tokenizer
from testing.tiny.text_encoders import make_tiny_text_encoder

pytest.importorskip("vllm")

TEXTS = ["a red square", "two dogs on a large blue circle , three dogs", "a", "query: a photo"]


def expected(folder: Path, ids: np.ndarray, pooling: Pooling) -> np.ndarray:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        given = torch.from_numpy(ids.astype(np.int64))[None]
        hidden = model(input_ids=given).last_hidden_state[0].numpy()
    pooled = {"class": hidden[0], "mean": hidden.mean(0), "last": hidden[-1], "none": hidden}
    found: np.ndarray = pooled[pooling]
    return found


@pytest.mark.parametrize(
    ("kind", "pooling"), [("bert", "mean"), ("qwen3", "last"), ("bert", "none")]
)
def test_as_transformers(kind: Any, pooling: Pooling, tmp_path: Path) -> None:
    """One after the other and all at once; a request without a text fails alone."""
    ours = None if pooling == "none" else pooling
    folder = make_tiny_text_encoder(tmp_path, kind=kind, pooling=ours)
    encoder = load_text_encoder(str(folder))
    assert ours is None or encoder.pooling == pooling
    tokenizer = text_tokenizer(encoder)
    ids = [tokenizer.encode(text)[0] for text in TEXTS]
    engine = VllmVectorEngine(encoder, pooling=pooling, normalise=False)

    async def all_at_once() -> list[Any]:
        await engine.start()
        requests = [Request(str(number), token_ids=one) for number, one in enumerate(ids)]
        asked = [engine.generate(one, Sampling()) for one in [*requests, Request("none")]]
        return await asyncio.gather(*asked, return_exceptions=True)

    try:
        *found, failed = asyncio.run(all_at_once())
    finally:
        engine.shutdown()
    assert isinstance(failed, UnitError)
    for one, own in zip(found, ids, strict=True):
        values = (
            np.frombuffer(one.values, np.float32).reshape(len(own), -1)
            if pooling == "none"
            else one.values
        )
        np.testing.assert_allclose(values, expected(folder, own, pooling), atol=2e-5, rtol=1e-4)
        assert one.prompt_tokens == len(own)
