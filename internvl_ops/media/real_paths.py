"""Opens files by real paths: no part of the path may be a symlink, not even one that was created a
moment ago."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

_OPENAT2 = 437  # on every architecture
_RESOLVE_NO_SYMLINKS = 0x04
_AT_FDCWD = -100
# Without O_NONBLOCK, opening a named pipe would block the thread forever.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# from kernels before 5.6, and from containers
_UNKNOWN = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL})


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW = _How(_FLAGS, 0, _RESOLVE_NO_SYMLINKS)
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def open_real(path: str) -> int:
    """A descriptor of the file at ``path``, an absolute path in which a check found no symlink.

    Raises:
        OSError: ``ELOOP`` if the path has a symlink now.
    """
    if _libc is not None:
        descriptor = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            _AT_FDCWD,
            os.fsencode(path),
            ctypes.byref(_HOW),
            ctypes.c_size_t(24),
        )
        if descriptor >= 0:
            return int(descriptor)
        problem = ctypes.get_errno()
        if problem not in _UNKNOWN:
            raise OSError(problem, os.strerror(problem), path)
    return open_by_folders(path)


def open_by_folders(path: str) -> int:
    """Does the same as `open_real`, folder by folder, for kernels without the system call."""
    *folders, name = path.strip("/").split("/")
    # O_PATH: folders on the way need no read permission. With it, a symlink is opened, not
    # followed.
    passing = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
    here = os.open("/", passing)
    try:
        for folder in folders:
            below = os.open(folder, passing, dir_fd=here)
            os.close(here)
            here = below
            if stat.S_ISLNK(os.fstat(here).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.open(name or ".", _FLAGS, dir_fd=here)
    finally:
        os.close(here)
