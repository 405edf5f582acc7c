"""Temporary folders go away with their process, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from internvl_ops import scratch
from internvl_ops.scratch import PREFIX, ScratchFolder, remove_dead
from testing.cluster import ROOT, wait_for

HOLD = """
import sys
from internvl_ops.scratch import ScratchFolder
folder = ScratchFolder(sys.argv[1], swept=sys.argv[2] == "swept")
(folder.path / "sub").mkdir()
(folder.path / "sub" / "file").write_bytes(b"left behind")
print(folder.path, flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process with a `ScratchFolder` in ``base``; it ends when its input does."""

    def __init__(self, base: Path, how: str = "kept") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(base), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.folder = Path(self.process.stdout.readline().strip())

    def kill(self) -> None:
        """Kills it and its process group, as a node that is lost."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    one = Holder(tmp_path)
    yield one
    one.kill()


def test_a_folder_is_there_until_it_is_cleaned_up(tmp_path: Path) -> None:
    folder = ScratchFolder(str(tmp_path))
    assert folder.path.parent == tmp_path
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.cleanup()
    folder.cleanup()
    with ScratchFolder(str(tmp_path)) as path:
        (path / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_nobody_has_any_more_goes(tmp_path: Path) -> None:
    folder = ScratchFolder(str(tmp_path))
    del folder
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_well_leaves_nothing(tmp_path: Path, holder: Holder) -> None:
    holder.process.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_the_next_one_removes_that_of_a_killed_process(tmp_path: Path, holder: Holder) -> None:
    holder.kill()
    assert (holder.folder / "sub" / "file").exists()
    with ScratchFolder(str(tmp_path)) as path:
        assert list(tmp_path.iterdir()) == [path]


def test_that_of_a_living_process_stays(tmp_path: Path, holder: Holder) -> None:
    with ScratchFolder(str(tmp_path)):
        assert (holder.folder / "sub" / "file").exists()


def test_a_swept_one_goes_when_its_process_is_killed(tmp_path: Path) -> None:
    Holder(tmp_path, "swept").kill()
    wait_for("the folder to go", lambda: not list(tmp_path.iterdir()))


def test_the_folder_stays_while_a_forked_child_works_in_it(tmp_path: Path) -> None:
    """Engines fork, and outlive a killed parent by a moment."""
    code = """
import os, sys
from internvl_ops.scratch import ScratchFolder
folder = ScratchFolder(sys.argv[1], swept=True)
if os.fork():
    os._exit(1)  # without cleaning up
print(folder.path, flush=True)
sys.stdin.read()
os._exit(0)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    child.wait()  # the parent
    remove_dead(str(tmp_path))
    assert folder.is_dir()
    child.communicate("")
    wait_for("the folder to go", lambda: not folder.exists())


def test_folders_of_other_machines_and_other_things_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary folder on a network disk is shared, and the disk may not share its locks."""
    monkeypatch.setattr(scratch, "_machine", lambda: ("n00000000", "b00000000"))
    elsewhere = tmp_path / f"{PREFIX}n11111111-b11111111-abcdefgh"
    elsewhere.mkdir()
    (tmp_path / f"{PREFIX}n00000000-notes.txt").write_text("mine")
    (tmp_path / f"{PREFIX}n00000000-link").symlink_to(elsewhere)
    (tmp_path / "n00000000").mkdir()
    before = sorted(tmp_path.iterdir())
    remove_dead(str(tmp_path))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("again", [("n00000000", "b22222222"), ("n22222222", "b00000000")])
def test_a_machine_knows_its_folders_after_a_new_start_and_in_each_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: tuple[str, str]
) -> None:
    (tmp_path / f"{PREFIX}n00000000-b00000000-abcdefgh").mkdir()
    monkeypatch.setattr(scratch, "_machine", lambda: again)
    remove_dead(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_without_a_shell_the_folder_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_shell(*_: object, **__: object) -> None:
        raise FileNotFoundError("/bin/sh")

    monkeypatch.setattr(scratch.subprocess, "run", no_shell)
    with ScratchFolder(str(tmp_path), swept=True) as path:
        assert path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_no_other_code_makes_temporary_folders() -> None:
    """Whatever makes one of its own leaves it behind when it is killed."""
    makers = re.compile(r"\bmkdtemp|\bmkstemp|NamedTemporaryFile|TemporaryDirectory\((?!.*dir=)")
    product = [
        file
        for room in ("internvl_ops", "pipelines", "jobs")
        for file in (ROOT / room).rglob("*.py")
    ]
    found = [str(file.relative_to(ROOT)) for file in product if makers.search(file.read_text())]
    assert found == ["internvl_ops/scratch.py"]
