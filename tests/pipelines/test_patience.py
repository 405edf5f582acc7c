"""A store that fails for a while costs time and no row."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import patience
from pipelines.patience import ATTEMPTS, patiently, read_patiently


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited, which are not."""
    seconds: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


class FailingReader:
    """Yields the numbers 0 … rows - 1 in tables of some length, and fails where it is told to.

    Args:
        rows: How many.
        script: For each time it is begun, the length of its tables and after how many of them it
            fails.
    """

    def __init__(self, rows: int, script: list[tuple[int, int]]) -> None:
        self._rows, self._script = rows, list(script)

    def __call__(self) -> Iterator[pa.Table]:
        length, tables = self._script.pop(0) if self._script else (self._rows or 1, 1 << 30)
        for number, start in enumerate(range(0, self._rows, length)):
            if number == tables:
                raise ConnectionResetError("gone")
            yield pa.table({"n": range(start, min(start + length, self._rows))})
        if tables < 1 << 30:
            raise TimeoutError


class TestReading:
    @settings(deadline=None)
    @given(
        st.integers(0, 30),
        st.lists(st.tuples(st.integers(1, 8), st.integers(0, 5)), max_size=ATTEMPTS - 1),
    )
    def test_every_row_comes_once_and_in_order(
        self, rows: int, script: list[tuple[int, int]]
    ) -> None:
        tables = list(read_patiently(FailingReader(rows, script), "m"))
        assert [n for table in tables for n in table["n"].to_pylist()] == list(range(rows))

    def test_what_fails_for_long_is_given_up_and_named(self, waits: list[float]) -> None:
        with pytest.raises(OSError, match=r"s3://b/m\.jsonl could not be read on: gone"):
            list(
                read_patiently(
                    FailingReader(5, [(1, 2)] * 100), "s3://b/m.jsonl could not be read on"
                )
            )
        assert 150 < sum(waits) < 310  # a store that is down for two minutes comes back in time

    def test_a_reader_that_gets_on_is_never_given_up(self) -> None:
        script = [(1, tables) for tables in range(1, 60)]
        assert sum(map(len, read_patiently(FailingReader(60, script), "m"))) == 60


class TestTrying:
    @pytest.mark.parametrize(
        "error", [PermissionError("denied"), FileNotFoundError("gone"), ValueError("not Parquet")]
    )
    def test_what_time_does_not_mend_is_not_tried_again(
        self, error: Exception, waits: list[float]
    ) -> None:
        def fail() -> None:
            raise error

        with pytest.raises(type(error)):
            patiently(fail, "x")
        assert waits == []
