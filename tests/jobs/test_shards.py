"""A job in parts on a cluster: killed and repeated, it ends as one run would."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest

from testing.cluster import RayHead, wait_for
from testing.pictures import encoded, natural

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    head = RayHead({}, cpus=4)
    yield head
    head.stop()


def command(folder: Path, model: Path, *more: str) -> list[str]:
    return ["jobs/caption_dataset.py", "--input", str(folder / "in"), "--output",
            str(folder / "out"), "--model", str(model), "--max-new-tokens", "8", "--max-tiles", "1",
            *more]  # fmt: skip


def parts_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [one for one in psutil.Process(process.pid).children() if "--shard" in one.cmdline()]


def test_a_part_that_is_killed_is_taken_up_by_the_same_command(
    head: RayHead, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(60):
        (tmp_path / "in" / f"{number:02d}.jpg").write_bytes(
            encoded(natural(40, 40, number), "JPEG")
        )
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    job = command(tmp_path, tiny_checkpoint, "--shards", "2", "--commit-seconds", "1")
    with head.start(*job) as process:
        wait_for("a result", lambda: any((tmp_path / "out" / "results").glob("*.parquet")))
        parts_of(process)[0].send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == 1
    done = head.run(*job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 2 parts: 61 units in = 60 results + 1 errors" in done.stdout
    ids = ds.dataset(tmp_path / "out" / "results").to_table(columns=["id"])["id"].to_pylist()
    assert len(ids) == len(set(ids)) == 60
    runs = [
        json.loads(path.read_text()) for path in (tmp_path / "out" / "_runs").glob("*/run.json")
    ]
    assert sum(run["counts"]["results"] for run in runs) <= 60
    whole = head.run(*command(tmp_path, tiny_checkpoint))
    assert (
        "61 units in = 0 results + 0 errors + 60 already done + 1 already failed" in whole.stdout
    ), whole.stderr


def test_more_parts_than_engines_are_refused(
    head: RayHead, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(encoded(natural(40, 40, 1), "JPEG"))
    done = head.run(*command(tmp_path, tiny_checkpoint, "--shards", "9"))
    assert done.returncode == 2
    assert (
        "--shards 9: 9 engines and 9 prepare actors, one of each for a part at least, need 18 CPUs"
        in done.stderr
    )
