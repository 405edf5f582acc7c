"""Files on disks of this machine, and on network file systems that are mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from internvl_ops.stores.base import BLOCK, EntryKind, Received, Stat, Store, TooLarge

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


def local_version(status: os.stat_result) -> str:
    """The version of a local file."""
    return f"{status.st_size}-{status.st_mtime_ns}"


class LocalStore(Store):
    """Local files."""

    def kind(self, uri: str) -> EntryKind | None:
        try:
            mode = os.stat(uri).st_mode
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise
        return "directory" if stat.S_ISDIR(mode) else "file"

    def stat(self, uri: str) -> Stat:
        status = os.stat(uri)
        return Stat(status.st_size, local_version(status))

    def open(self, uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
        return _open_regular(uri, buffering=0)

    def read(self, uri: str) -> bytes:
        with _open_regular(uri) as file:
            return file.read()

    def receive(self, uri: str, max_bytes: int) -> Received:
        with _open_regular(uri) as file:
            status = os.fstat(file.fileno())
            if status.st_size > max_bytes:
                raise TooLarge(f"{status.st_size:,} bytes")
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise TooLarge(f"over {max_bytes:,} bytes")
        return Received(data, local_version(status))

    def walk(self, uri: str, *, recursive: bool = True, beginning: str = "") -> Iterator[str]:
        yield from _walk(uri, "", recursive, ())

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def write(self, uri: str, data: bytes) -> None:
        # Readers skip names that start with a dot, so nobody reads a file that a killed job left
        # half written.
        unfinished = posixpath.join(
            posixpath.dirname(uri), f".{posixpath.basename(uri)}.{secrets.token_hex(8)}"
        )
        os.makedirs(posixpath.dirname(uri), exist_ok=True)
        try:
            with open(unfinished, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, uri)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(unfinished)
            raise

    def create(self, uri: str, data: bytes) -> None:
        os.makedirs(posixpath.dirname(uri), exist_ok=True)
        with contextlib.suppress(FileExistsError), open(uri, "xb") as file:
            file.write(data)

    def delete(self, uri: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(uri)


def _open_regular(uri: str, buffering: int = -1) -> BinaryIO:
    """Opens a file to read. A pipe, a device or a folder is refused: it would wait for a writer, or
    never end.

    Raises:
        OSError: ``EINVAL`` for what is no regular file.
    """
    # a pipe without a writer opens at once
    descriptor = os.open(uri, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", uri)
        return open(descriptor, "rb", buffering=buffering)
    except BaseException:
        os.close(descriptor)
        raise


def _walk(
    root: str, prefix: str, recursive: bool, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    """One folder at a time."""
    folder = os.path.join(root, prefix)
    here = os.stat(folder)
    identity = (here.st_dev, here.st_ino)
    if identity in above:  # a symbolic link to a parent folder: following it would never end
        return
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")
        )
    for name, is_directory in found:
        if not is_directory:
            yield prefix + name
        elif recursive:
            yield from _walk(root, f"{prefix}{name}/", recursive, (*above, identity))
