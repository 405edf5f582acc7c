"""The folder that an export is written to. All access to its store is here.

An export is written to ``.unfinished/`` first, in parts. Once every part is there, ``commit.json``
in that folder lists the files to move and to remove; from then on an interrupted commit is finished
by the next export. ``export.json`` is removed first and written last: while it is there, the export
is whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar, cast

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.output.folder import OutputFolder
from pipelines.patience import patiently, reason

T = TypeVar("T")

DONE = "export.json"
UNFINISHED = ".unfinished"
COMMIT = "commit.json"
WRITER = "internvl-batch"


def steadily(work: Callable[[], T], what: str) -> T:
    """Returns the result of ``work()``; calls it again while the store fails, but not if the next
    call fails as well.

    Raises:
        OSError: There is no space left, or as `patiently`.
        ConfigurationError: ``work`` raised it.
    """
    final: list[Exception] = []

    def attempt() -> T | None:
        try:
            return work()
        except (ConfigurationError, RuntimeError) as error:
            final.append(error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            final.append(error)
        return None

    found = patiently(attempt, what)
    if final:
        raise final[0]
    return cast(T, found)


class Target:
    """Reads and writes the folder of one export.

    Args:
        uri: A local path, or ``s3://bucket/prefix``.
    """

    def __init__(self, uri: str) -> None:
        self.folder = OutputFolder(uri)
        self.uri, self.local = self.folder.uri, self.folder.local

    @property
    def address(self) -> str:
        """Where a reader finds it: an absolute path, or the URI."""
        return os.path.abspath(self.folder.root) if self.local else self.uri

    def names(self, folder: str = "") -> list[str]:
        """Entries of a folder of it, without their path."""
        return patiently(
            lambda: self.folder.list_names(folder), f"{safe_uri(self.uri)} could not be listed"
        )

    def done(self) -> dict[str, Any] | None:
        """What ``export.json`` says; None if there is none."""
        return self.read_json(DONE)

    def check_ours(self) -> None:
        """Refuses a folder that holds something else.

        Raises:
            ConfigurationError: It has files, and no export is or was being written there.
        """
        names = self.names()
        if not names or UNFINISHED in names:
            return
        done = self.done() if DONE in names else None
        if done is None or done.get("written_by") != WRITER:
            raise ConfigurationError(
                f"--output {safe_uri(self.uri)} is not empty, and no export of this program is"
                f" there ({names[0]} is). Give an empty or a new folder."
            )

    def read_json(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads(self.read(name))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def read(self, name: str) -> bytes:
        return patiently(
            lambda: self.folder.read_bytes(name), f"{safe_uri(self.uri)}/{name} could not be read"
        )

    def write(self, name: str, data: bytes) -> None:
        """Writes a whole file."""

        def write() -> None:
            with self.writing(name) as file:
                file.write(data)

        steadily(write, f"{safe_uri(self.uri)}/{name} could not be written")

    def begin(self, plan: dict[str, Any]) -> None:
        """Marks the folder as one that an export is being written to.

        Raises:
            ConfigurationError: It cannot be written to.
        """
        try:
            self.write_json(f"{UNFINISHED}/plan.json", plan)
        except (PermissionError, FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            raise ConfigurationError(
                f"--output {safe_uri(self.uri)}: not writable: {reason(error)}"
            ) from None

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, json.dumps(value, indent=1, ensure_ascii=False).encode())

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Opens a file for writing; it appears when the block ends without an error."""
        path = self.path(name)
        if not self.local:
            with self.folder.fs.open(path, "wb") as file:
                try:
                    yield file
                except BaseException:
                    with contextlib.suppress(Exception):
                        file.discard()
                    file.closed = True  # closing would complete the upload
                    raise
            return
        unfinished = posixpath.join(
            posixpath.dirname(path), f".{posixpath.basename(path)}.{secrets.token_hex(8)}"
        )
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        try:
            with open(unfinished, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(unfinished)
            raise

    def exists(self, name: str) -> bool:
        return patiently(
            lambda: bool(self.folder.fs.exists(self.path(name))), f"{safe_uri(self.uri)}/{name}"
        )

    def reading(self, name: str) -> BinaryIO:
        """Opens a file for reading."""
        return self.folder.fs.open(self.path(name), "rb")

    def move(self, name: str, to: str) -> None:
        """Moves a file; if it is gone, it was moved before."""

        def move() -> None:
            if self.local:
                os.makedirs(posixpath.dirname(self.path(to)), exist_ok=True)
                os.replace(self.path(name), self.path(to))
            else:
                self.folder.fs.copy(self.path(name), self.path(to))
                self.folder.fs.rm_file(self.path(name))

        with contextlib.suppress(FileNotFoundError):
            patiently(move, f"{safe_uri(self.uri)}/{name} could not be moved")

    def remove(self, name: str) -> None:
        """Removes a file; does nothing if it is gone already."""
        patiently(
            lambda: self.folder.remove_quietly(name),
            f"{safe_uri(self.uri)}/{name} could not be removed",
        )

    def remove_folder(self, name: str) -> None:
        """Removes a folder and what is in it."""

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.folder.fs.rm(self.path(name), recursive=True)

        patiently(remove, f"{safe_uri(self.uri)}/{name} could not be removed")

    def path(self, name: str) -> str:
        """The path of a file of it, for the store's file system."""
        return posixpath.join(self.folder.root, name)

    def commit(
        self, moves: Sequence[tuple[str, str]], removed: Sequence[str], done: dict[str, Any]
    ) -> None:
        """Makes a staged export visible.

        Args:
            moves: Staged files and their final names, in the order in which readers may see them.
            removed: Files of the earlier export that are not part of this one.
            done: The content of ``export.json``.
        """
        self.write_json(
            f"{UNFINISHED}/{COMMIT}", {"moves": moves, "removed": removed, "done": done}
        )
        self.finish_commit()

    def finish_commit(self) -> None:
        """Finishes a commit that was begun, if there is one."""
        commit = self.read_json(f"{UNFINISHED}/{COMMIT}")
        if commit is None:
            return
        self.remove(DONE)
        for name in commit["removed"]:
            self.remove(name)
        for name, to in commit["moves"]:
            self.move(name, to)
        self.write_json(DONE, commit["done"])
        self.remove_folder(UNFINISHED)
