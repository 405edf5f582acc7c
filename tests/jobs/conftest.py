"""The checkpoint that every job of these tests runs with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint
