"""A job that gets a signal at any moment: status 1, one line, no traceback, no process and no file
left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from testing.cluster import ROOT, wait_for
from testing.datasets import write_images
from testing.model_server import ModelServer, completion, says
from tests.jobs.output import read_output

MARK = "INTERNVL_TEST_OF_SIGNALS"
# Lines of the log; the last one is followed by the start of the engines.
LINES = ("checked the options", "starting Ray on this machine", "starting engines and reading")
SAID = ("Interrupted before", "Stopping: what is finished is written first", "Closing;")


class Job:
    """A job in a session of its own, as a terminal or a scheduler starts it.

    Args:
        folder: Of its images, its output and its temporary files.
        more: Further options.
    """

    def __init__(self, folder: Path, *more: str) -> None:
        # Sockets lie in these folders, and pytest's own folders are too long for a socket.
        self.ray, self.temporary = (Path(tempfile.mkdtemp(prefix=name)) for name in ("ray", "tmp"))
        environment = {
            "TMPDIR": str(self.temporary),
            "RAY_TMPDIR": str(self.ray),
            MARK: str(folder),
        }
        command = [
            "jobs/caption_dataset.py",
            "--input",
            str(folder / "in"),
            "--output",
            str(folder / "out"),
            *more,
        ]
        self._mark, self.err = str(folder), ""
        self.process = subprocess.Popen(
            [sys.executable, *command, "--max-new-tokens", "4", "--max-tiles", "1"],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err += line

    def ended(self) -> bool:
        return self.process.poll() is not None

    def files(self) -> int:
        """Number of files that it and Ray have made so far."""
        return sum(len(files) for top in (self.ray, self.temporary) for _, _, files in os.walk(top))

    def processes(self) -> list[str]:
        """Of the job, itself included."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.environ().get(MARK) == self._mark
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(" ".join(process.cmdline())[:100])
            except psutil.Error:
                continue
        return found

    def wait(self) -> None:
        self.process.wait(300)
        self._reader.join()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(says(completion("A square."))) as running:
        yield running


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("by", ["group", pytest.param("process", marks=pytest.mark.slow)])
def test_at_any_moment(tmp_path: Path, server: ModelServer, line: str, by: str) -> None:
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    rng = random.Random(seed)
    write_images(tmp_path / "in", 12, large=0)
    job = Job(tmp_path, "--engine", "openai", "--base-url", server.url, "--model", "tiny")
    wait_for(f"the line {line}", lambda: line in job.err or job.ended())
    more = job.files() + rng.randrange(30)  # so many files later, or at the end if there are fewer
    wait_for("its files", lambda: job.files() >= more or "units/s" in job.err or job.ended(), 60)
    number = rng.choice([signal.SIGINT, signal.SIGTERM])
    if not job.ended():
        # A terminal sends Ctrl-C to all processes of the group, a scheduler to the first one.
        (os.killpg if by == "group" and number == signal.SIGINT else os.kill)(
            job.process.pid, number
        )
    check(job, tmp_path)


@pytest.mark.slow
def test_while_a_model_loads(tmp_path: Path, model: Path) -> None:
    write_images(tmp_path / "in", 12, large=0)
    job = Job(tmp_path, "--model", str(model))
    wait_for(
        "the engine's process",
        lambda: any("EngineCore" in name for name in job.processes()) or job.ended(),
    )
    job.process.send_signal(signal.SIGTERM)
    check(job, tmp_path)


def check(job: Job, folder: Path) -> None:
    job.wait()
    assert "Traceback" not in job.err, job.err
    assert job.process.returncode in (0, 1), job.err  # 0 if it was done before the signal came
    if job.process.returncode:
        assert sum(any(said in line for said in SAID) for line in job.err.splitlines()) == 1, (
            job.err
        )
    wait_for("its processes to end", lambda: not job.processes(), 60)
    left = [path.name for path in job.temporary.iterdir()]
    # compiled code is kept
    assert [name for name in left if not name.startswith("torchinductor_")] == []
    for made in (job.ray, job.temporary):
        shutil.rmtree(made, ignore_errors=True)
    read_output(folder / "out")
