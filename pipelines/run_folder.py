"""One temporary folder a run: all that the processes of the run leave behind stands in it, and goes with it.

Libraries write into ``TMPDIR`` and forget about it, and a killed process cannot tidy up. So ``TMPDIR`` is a folder of
the run's own, which the run removes at its end, and of a run that was killed the next one. The folder is locked for as
long as its process lives; a lock goes with its process, where a process id could be another's by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "internvl-run-"


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """The temporary folder of this process and of those that it starts meanwhile.

    Ray's own folder stays where it is: other processes find a cluster by it, its sockets need short names, and its
    logs are read after a run that failed.
    """
    base = tempfile.gettempdir()
    remove_dead(base)
    folder, lock = _locked_folder(base)
    variables = {"TMPDIR": folder, "RAY_TMPDIR": os.environ.get("RAY_TMPDIR", base)}
    # What is compiled is kept for all runs, where torch keeps it by default.
    compiled = os.path.join(base, f"torchinductor_{_user()}")
    variables["TORCHINDUCTOR_CACHE_DIR"] = os.environ.get("TORCHINDUCTOR_CACHE_DIR", compiled)
    before, default = {name: os.environ.get(name) for name in variables}, tempfile.tempdir
    os.environ.update(variables)
    tempfile.tempdir = folder
    try:
        yield Path(folder)
    finally:
        tempfile.tempdir = default
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        _remove(folder)
        os.close(lock)


def _user() -> str:
    try:
        return re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    except (KeyError, ImportError, OSError):  # a container's user need not have a name
        return f"uid_{os.getuid()}"


def _remove(folder: str) -> None:
    """Removes the folder, in which processes that are about to end may still write."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


def remove_dead(base: str) -> None:
    """Removes the folders in ``base`` whose runs are gone; those of other users, and what is no run's, stay."""
    for folder in Path(base).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # locked by a run that lives, another user's, or just removed
            if folder.lstat().st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _locked_folder(base: str) -> tuple[str, int]:
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # another run took it for a dead one's
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(folder):
                return folder, lock
            os.close(lock)
