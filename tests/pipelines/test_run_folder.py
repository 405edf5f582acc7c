"""The temporary folder of a run: everything of the run goes there, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger, State
from pipelines.run_folder import run_folder

HOLD = """
import sys, tempfile
from pipelines.run_folder import run_folder
with run_folder() as folder:
    (folder / "sub").mkdir()
    tempfile.NamedTemporaryFile(delete=False).write(b"left behind")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other_run(base: Path):
    """A run in another process, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def test_what_a_run_and_its_processes_leave_behind_is_gone_with_it(base: Path) -> None:
    with run_folder() as folder:
        left = Path(tempfile.mkdtemp())
        child = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
        of_child = Path(
            subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip()
        )
        assert folder in left.parents
        assert folder in of_child.parents
    assert list(base.iterdir()) == []
    assert tempfile.gettempdir() == str(base)
    assert os.environ["TMPDIR"] == str(base)


def test_what_a_killed_run_left_the_next_one_removes(base: Path, other_run) -> None:
    process, folder = other_run
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.is_dir()
    with run_folder():
        assert not folder.exists()


def test_a_run_that_lives_keeps_its_folder(base: Path, other_run) -> None:
    _, folder = other_run
    with run_folder():
        assert (folder / "sub").is_dir()


def test_what_is_no_runs_stays(base: Path) -> None:
    (base / "internvl-files-1").mkdir()
    (base / "internvl-run-notes.txt").write_text("mine")
    (base / "internvl-run-link").symlink_to(base / "internvl-files-1")
    with run_folder():
        pass
    assert sorted(path.name for path in base.iterdir()) == [
        "internvl-files-1", "internvl-run-link", "internvl-run-notes.txt"
    ]  # fmt: skip


def test_a_cluster_keeps_its_own_place(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with run_folder():
        assert os.environ["RAY_TMPDIR"] == str(base)
    assert "RAY_TMPDIR" not in os.environ


def test_the_ledgers_file_has_no_name(base: Path) -> None:
    ledger = Ledger()
    ids = [f"unit-{number}" for number in range(10_000)]
    ledger.claim(ids, range(len(ids)))
    ledger.written([unit_key(name) for name in ids[:-1]], State.RESULT)
    assert list(base.iterdir()) == []
    assert ledger.lost() == [len(ids) - 1]
