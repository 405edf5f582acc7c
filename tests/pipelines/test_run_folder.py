"""The temporary folders of a run: everything of the run goes there, and nothing of it stays on any
node."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from internvl_ops.models.checkpoints.config import Checkpoint
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger, State
from pipelines.run_folder import run_folder
from testing.cluster import ROOT, wait_for

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


def test_a_killed_run_leaves_nothing(base: Path, other_run) -> None:
    process, folder = other_run
    assert (folder / "sub").is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for("the folder to go", lambda: not list(base.iterdir()))


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


NODE = """
import sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20}
)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[str, Path]]:
    """A cluster that was there before any job, its address, and its node's temporary folder."""
    # The path of a socket has at most 107 bytes: pytest's own folders are too long for Ray's.
    folder = Path(tempfile.mkdtemp(prefix="node"))
    process = subprocess.Popen(
        [sys.executable, "-c", NODE],
        env={**os.environ, "TMPDIR": str(folder), "RAY_worker_niceness": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip(), folder
    process.communicate("")
    shutil.rmtree(folder, ignore_errors=True)


class Job:
    """A job on the cluster of `node`, whose engine leaves files behind; it waits for ``hold`` to
    go."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, address: str) -> None:
        self.temporary, self.asked, self.hold = (
            folder / name for name in ("driver", "asked", "hold")
        )
        self.temporary.mkdir()
        self.hold.touch()
        arguments = [folder, checkpoint.model, address]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipelines.leaving", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.temporary), "RAY_ADDRESS": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("the engine", lambda: self.asked.exists() or self.process.poll() is not None)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("killed", [False, True])
def test_a_job_leaves_nothing_on_the_nodes_of_its_cluster(
    tmp_path: Path, checkpoint: Checkpoint, node: tuple[str, Path], killed: bool
) -> None:
    address, folder = node
    job = Job(tmp_path, checkpoint, address)
    try:
        left = list(folder.rglob("left-*"))
        if killed:
            job.process.kill()
        else:
            job.hold.unlink()
        _, said = job.process.communicate()
        assert job.process.returncode == (-signal.SIGKILL if killed else 0), said
        assert len(left) == 1
        # Ray's own processes have other folders there.
        wait_for("the node's folders to go", lambda: not list(folder.glob("internvl-run-*")))
        assert list(folder.rglob("left-*")) == []
        wait_for("the driver's folder to go", lambda: not list(job.temporary.iterdir()))
    finally:
        job.process.kill()
        job.process.wait()
