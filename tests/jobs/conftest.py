"""The checkpoint that every job of these tests runs with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.model_server import ModelServer


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint


@pytest.fixture
def any_answer() -> Iterator[tuple[str, ...]]:
    """Options of a job whose model is of no interest: every answer is "A square."."""
    with ModelServer() as server:
        yield ("--engine", "openai", "--base-url", server.url, "--model", "tiny")
