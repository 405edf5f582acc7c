"""Temporary folders that go away however their process ends.

A killed process cannot clean up. So each folder is locked as long as its process lives, and who
makes a folder first removes those of this machine that nobody locks any more. The kernel ends the
lock with the process; a process id could belong to another process by then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType

PREFIX = "internvl-run-"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # containers of one machine have the same
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# Waits until the last process that holds the pipe has ended. Children of a killed process may write
# for a few seconds more.
_SWEEP = """exec 3<&0
( read -r _ <&3
for _ in 1 2 3 4 5 6; do rm -rf -- "$1" && exit; sleep 1; done ) &"""


class ScratchFolder:
    """A new temporary folder. `cleanup` removes it, and so does the end of a ``with`` block, or the
    end of the last reference to it.

    If the process is killed, the next folder that any process of the same user makes on this
    machine, in the same place, takes this one away.

    Args:
        base: Where the folder is made; None means the temporary folder of this process.
        swept: Whether a small process of its own waits for the end of this process and removes the
            folder then, if it is still there. Use True for a folder that is kept until the process
            ends.

    Attributes:
        path: The folder. Only this user can read it.

    Raises:
        OSError: No folder can be made there.
    """

    def __init__(self, base: str | None = None, *, swept: bool = False) -> None:
        base = tempfile.gettempdir() if base is None else base
        remove_dead(base)
        folder, lock = _locked_folder(base)
        self.path = Path(folder)
        held = [lock, *([_sweeper(folder)] if swept else [])]
        self._remove = weakref.finalize(self, _end, os.getpid(), folder, held)

    def cleanup(self) -> None:
        """Removes the folder. Has no effect the second time."""
        self._remove()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cleanup()


def is_scratch(folder: str) -> bool:
    """Whether ``folder`` is a `ScratchFolder`, or lies in one."""
    return any(part.startswith(PREFIX) for part in Path(folder).parts)


def remove_dead(base: str) -> None:
    """Removes the folders in ``base`` whose processes have ended. Those of other users and of other
    machines stay, and so does everything else."""
    for folder in Path(base).glob(f"{PREFIX}*"):
        if not any(mark in folder.name for mark in _machine()):
            continue  # a place that several machines share may not share locks
        # locked by a live process, owned by another user, or just removed
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@functools.cache
def _machine() -> tuple[str, str]:
    """Two marks of this machine for names of folders: its name, which is the same after it was
    started anew, and its start, which is the same in each of its containers."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    marks = (f"name {platform.node()}", f"boot {boot or platform.node()}")
    name, start = (hashlib.blake2b(mark.encode(), digest_size=4).hexdigest() for mark in marks)
    return f"n{name}", f"b{start}"


def _locked_folder(base: str) -> tuple[str, int]:
    prefix = f"{PREFIX}{'-'.join(_machine())}-"
    while True:
        folder = tempfile.mkdtemp(prefix=prefix, dir=base)
        # another process took it for the folder of one that has ended
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:  # then nobody can take it for an ended one, either
                    return folder, lock
                os.close(lock)
                raise
            if os.path.exists(folder):
                return folder, lock
            os.close(lock)


def _sweeper(folder: str) -> int:
    """Starts the process that removes ``folder`` after this one; returns the end of the pipe that
    holds it back. It belongs to no process group that a signal to this process reaches."""
    read, write = os.pipe()
    silent = subprocess.DEVNULL
    try:
        subprocess.run(
            ["/bin/sh", "-c", _SWEEP, "sh", folder],
            stdin=read,
            stdout=silent,
            stderr=silent,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
            check=False,
        )
    except OSError:  # no shell in this container: the next process removes the folder
        pass
    finally:
        os.close(read)
    return write


def _end(owner: int, folder: str, held: list[int]) -> None:
    if os.getpid() == owner:  # not a child that was forked, and ends like its parent
        _rmtree(folder)
        for descriptor in held:
            os.close(descriptor)


def _rmtree(folder: str) -> None:
    """Removes the folder. Processes that are about to end may still write to it, so it tries
    several times."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)
