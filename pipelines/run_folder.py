"""One temporary folder per run. It holds everything that the run's processes leave behind, and is
removed with it.

Libraries write into ``TMPDIR`` and do not clean up, and a killed process cannot clean up. So each
run sets ``TMPDIR`` to a folder of its own and removes it at its end. If a run was killed, the next
run removes its folder. A run locks its folder while its process lives. The lock ends with the
process; a process id could belong to another process by then.
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
    """The temporary folder of this process and of the processes that it starts meanwhile.

    Ray's own folder stays where it is: other processes use it to find a cluster, its sockets need
    short names, and users read its logs after a failed run.
    """
    base = tempfile.gettempdir()
    remove_dead(base)
    folder, lock = _locked_folder(base)
    variables = {"TMPDIR": folder, "RAY_TMPDIR": os.environ.get("RAY_TMPDIR", base)}
    # Compiled code is kept for all runs, in the place where torch keeps it by default.
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
    except (KeyError, ImportError, OSError):  # the user of a container may have no name
        return f"uid_{os.getuid()}"


def _remove(folder: str) -> None:
    """Removes the folder. Processes that are about to end may still write to it, so it tries
    several times."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


def remove_dead(base: str) -> None:
    """Removes the folders in ``base`` whose runs have ended. Folders of other users, and other
    folders, stay."""
    for folder in Path(base).glob(f"{PREFIX}*"):
        # locked by a live run, owned by another user, or just removed
        with contextlib.suppress(OSError):
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
        # another run took it for an ended run's folder
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(folder):
                return folder, lock
            os.close(lock)
