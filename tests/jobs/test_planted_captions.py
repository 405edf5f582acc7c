"""Planted wrong captions and swapped pictures through score and filter, as whole jobs: a judge that
sees the pictures finds them. `make bench-judge` has more of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.bench_judge import judged, records
from testing.commands import run_here
from testing.judged_captions import SOUND, captioned


def run(script: str, arguments: Sequence[str]) -> None:
    done = run_here(script, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_planted_captions_are_found_and_sound_ones_stay(tmp_path: Path) -> None:
    units = captioned(6, sound=16)
    found = judged(units, tmp_path, run)
    told = {one["name"]: one for one in records(units, found)}
    assert told["any fault"]["ours"] >= 0.9
    assert told["any fault"]["precision"] >= 0.9
    assert told["swapped picture"]["got"] >= 5
    sound = [mean for unit, (_, mean, _) in zip(units, found, strict=True) if unit.fault == SOUND]
    assert sorted(sound)[len(sound) // 2] > 9
