"""The temporary folder of a run: one in the driver, for it and the processes that it starts, and
one in each worker process on other nodes.

Libraries write into ``TMPDIR`` and do not clean up: sockets of engines, ``pymp-…`` folders of
multiprocessing. So each process of a run sets ``TMPDIR`` to a folder that goes away with it; see
`internvl_ops.scratch`.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from internvl_ops.scratch import ScratchFolder, is_scratch

_lock = threading.Lock()
_worker: ScratchFolder | None = None


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """The temporary folder of this process and of the processes that it starts meanwhile.

    Ray's own folder stays where it is: other processes use it to find a cluster, its sockets need
    short names, and users read its logs after a failed run.
    """
    base = tempfile.gettempdir()
    scratch = ScratchFolder(swept=True)
    variables = _variables(base, scratch.path)
    variables["RAY_TMPDIR"] = os.environ.get("RAY_TMPDIR", base)
    before, default = {name: os.environ.get(name) for name in variables}, tempfile.tempdir
    os.environ.update(variables)
    tempfile.tempdir = str(scratch.path)
    try:
        yield scratch.path
    finally:
        tempfile.tempdir = default
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        scratch.cleanup()


def worker_folder() -> None:
    """Gives this process, a worker of a cluster, a temporary folder of its own until it ends.

    Call it before the worker uses anything that could write a file. A worker that the driver's own
    Ray has started has the driver's folder and keeps it. Safe to call again, from any thread.
    """
    global _worker
    with _lock:
        base = tempfile.gettempdir()
        if is_scratch(base):
            return
        _worker = ScratchFolder(swept=True)
        os.environ.update(_variables(base, _worker.path))
        tempfile.tempdir = str(_worker.path)


def _variables(base: str, folder: Path) -> dict[str, str]:
    # Compiled code is kept for all runs, in the place where torch keeps it by default.
    compiled = os.path.join(base, f"torchinductor_{_user()}")
    return {
        "TMPDIR": str(folder),
        "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR", compiled),
    }


def _user() -> str:
    try:
        return re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    except (KeyError, ImportError, OSError):  # the user of a container may have no name
        return f"uid_{os.getuid()}"
