"""The demo, from pictures to four outputs, with one start of Ray and of the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testing.cluster import ROOT


@pytest.mark.slow
def test_four_jobs_share_an_engine(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "examples.demo.run"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = [line.strip() for line in done.stdout.splitlines() if "units in" in line]
    assert counted == [
        "9 units in = 8 results + 1 errors + 0 already done",
        "8 units in = 8 results + 0 errors + 0 already done",
        "4 units in = 4 results + 0 errors + 0 already done",
        "2 units in = 2 results + 0 errors + 0 already done",
    ]
    assert (done.stdout + done.stderr).count("An engine is ready") == 1
