"""A web server for what is fetched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from testing.faulty_server import FaultyServer

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def path() -> str:
    """One that no other test asks for."""
    return f"/{next(_numbers)}.jpg"
