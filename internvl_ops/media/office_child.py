"""The child's side of `office.OfficeConverter`: limits and confines its process, then becomes
LibreOffice."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import NoReturn

from internvl_ops.media.sandbox_confinement import confine_program

_PR_SET_PDEATHSIG = 1
_LARGEST_FILE = 2 << 30
# Settings of the machine that LibreOffice reads: fonts, its own, and which user this is.
_READABLE = (
    "/etc/libreoffice",
    "/etc/passwd",
    "/etc/nsswitch.conf",
    "/var/cache/fontconfig",
    "/var/lib/libreoffice",
)
# Options of LibreOffice. The last one takes the format.
_FLAGS, _OUTPUT = ("headless", "norestore", "nolockcheck", "nodefault", "convert-to"), "outdir"


def become(program: str, folder: str, memory: int, seconds: int, name: str) -> NoReturn:
    """Converts a document to PDF; does not return.

    Args:
        program: Path of LibreOffice's program, without links.
        folder: The only folder that it may write. It holds the document; the PDF comes into it.
        memory: Bytes that it may allocate.
        seconds: Of the processor that it may use.
        name: The document's file name.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    os.chdir(folder)
    programs = os.path.dirname(program)
    if program.endswith(".bin"):  # what it needs lies beside its folder of programs
        programs = os.path.dirname(programs)
    confine_program([programs], _READABLE, folder)
    arguments = [
        program,
        f"-env:UserInstallation=file://{folder}/profile",
        *(f"--{flag}" for flag in _FLAGS),
        *("pdf", f"--{_OUTPUT}", folder),
        os.path.join(folder, name),
    ]
    os.execve(
        program,
        arguments,
        {"HOME": folder, "TMPDIR": folder, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )


if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
