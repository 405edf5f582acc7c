"""The README's tables are what the code and the measured figures say."""

from benchmarks.tables import README, with_blocks


def test_the_tables_are_up_to_date() -> None:
    text = README.read_text()
    assert with_blocks(text) == text, "run python -m benchmarks.tables"
