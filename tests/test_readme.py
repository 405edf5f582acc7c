"""The tables of README and docs are what the code and the measured figures say."""

from pathlib import Path

import pytest

from benchmarks.tables import BLOCKS, up_to_date


@pytest.mark.parametrize("page", BLOCKS, ids=lambda page: page.name)
def test_the_tables_are_up_to_date(page: Path) -> None:
    assert up_to_date(page) == page.read_text(), "run python -m benchmarks.tables"
