"""Which rows of a manifest a preview draws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commands.preview_units import FILES, draw_rows
from pipelines.sources import SourceOptions, SourcePlan, plan_source


def planned(folder: Path, sizes: list[int]) -> SourcePlan:
    folder.mkdir()
    for number, size in enumerate(sizes):
        lines = [f'{{"id": "{number:03}-{row:05}", "question": "Why?"}}\n' for row in range(size)]
        (folder / f"{number:03}.jsonl").write_text("".join(lines))
    return plan_source(SourceOptions(uri=str(folder), media_optional=True))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SourcePlan:
    return planned(tmp_path_factory.mktemp("draw") / "in", [1, 30, 2_500])


@given(st.integers(1, 60), st.integers(-(2**63), 2**63 - 1))
def test_a_seed_draws_different_rows_in_their_order_and_the_same_again(
    plan: SourcePlan, count: int, seed: int
) -> None:
    ids = draw_rows(plan, count, seed)["id"].to_pylist()
    assert len(ids) == count == len(set(ids))
    assert ids == sorted(ids)
    assert draw_rows(plan, count, seed)["id"].to_pylist() == ids


def test_every_row_has_the_same_chance(tmp_path: Path) -> None:
    plan = planned(tmp_path / "in", [2, 8])
    found = Counter(
        one for seed in range(600) for one in draw_rows(plan, 3, seed)["id"].to_pylist()
    )
    assert len(found) == 10
    # 180 are expected, with a standard deviation of 11; the seeds are fixed, so this does not
    # change from run to run.
    assert all(130 < times < 230 for times in found.values())


def test_all_rows_are_drawn_where_there_are_no_more(tmp_path: Path) -> None:
    assert len(draw_rows(planned(tmp_path / "in", [2, 3]), 100, 0)) == 5


def test_of_many_files_only_some_are_read(tmp_path: Path) -> None:
    plan = planned(tmp_path / "in", [3] * (2 * FILES))
    files = {one[:3] for one in draw_rows(plan, 1_000, 7)["id"].to_pylist()}
    assert len(files) == FILES
    assert files != {one[:3] for one in draw_rows(plan, 1_000, 8)["id"].to_pylist()}
