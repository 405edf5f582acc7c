"""Reads tar files front to back, in constant memory, and distinguishes damage from the regular end.

A tar may follow another one in the same file, as after ``cat a.tar b.tar``. Its members are read,
too.
"""

from __future__ import annotations

import os
import tarfile
from types import TracebackType
from typing import Any, Self

from pipelines.sources.storage import is_compressed, open_stream


class Shard:
    """A tar file, read member by member.

    Damage raises nothing: it ends the iteration and is described in ``damage``. If the storage
    fails, its OSError is raised.

    Args:
        uri: The file; compression is detected by its suffix.
        streamed: Read everything in order. Otherwise members that are not needed are skipped, which
            needs an uncompressed tar.
    """

    def __init__(self, uri: str, *, streamed: bool = True) -> None:
        self.damage: str | None = None
        self.behind: str | None = (
            None  # what is wrong with the data behind the end mark; no member before it is damaged
        )
        self._stream, self._file = open_stream(uri)
        self._tar: Any = None
        try:
            mode: Any = "r|" if streamed else "r:"
            # Small reads of a compressed shard: if the stream breaks off, everything within one
            # read is lost.
            size = 1 << 16 if is_compressed(uri) else 1 << 20
            self._tar = tarfile.open(fileobj=self._stream, mode=mode, bufsize=size, tarinfo=_Header)  # noqa: SIM115
        except (*_DAMAGE, OSError) as error:
            self._note(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def next_member(self) -> tarfile.TarInfo | None:
        """The next file or link to a file in it; ``None`` at its end or at damage."""
        if self._tar is None:
            return None
        try:
            while (member := self._tar.next()) is not None:
                self._tar.members.clear()  # tarfile would keep every header
                if member.isreg() or member.islnk() or member.issym():
                    # Names are bytes; a name that is not UTF-8 stays different from all others.
                    member.name = os.fsencode(member.name).decode(errors="backslashreplace")
                    return member
        except (*_DAMAGE, OSError) as error:
            self._note(error)
        else:
            self.damage = getattr(self._tar, "damage", None)
            self.behind = getattr(self._tar, "behind", None)
        return None

    def read(self, member: tarfile.TarInfo) -> bytes:
        """Content of the member just returned; the readable part if the file is damaged."""
        try:
            file = self._tar.extractfile(member)
            data = file.read() if file else b""
        except (*_DAMAGE, OSError) as error:
            self._note(error)
            return b""
        if len(data) != member.size:
            self.damage = f"'{member.name}' is cut short"
        return data

    def _note(self, error: Exception) -> None:
        if self._file.failed is not None:
            raise error
        self.damage = str(error) or type(error).__name__


_MAX_HEADER_BYTES = 1 << 20
_DAMAGE = (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError)


class _Header(tarfile.TarInfo):
    """Records a broken header on the archive, because ``tarfile`` treats it as the end."""

    def _proc_pax(self, tar: tarfile.TarFile) -> Any:
        self._refuse_large(tar)
        return super()._proc_pax(tar)  # type: ignore[misc]

    def _proc_gnulong(self, tar: tarfile.TarFile) -> Any:
        self._refuse_large(tar)
        return super()._proc_gnulong(tar)  # type: ignore[misc]

    def _refuse_large(self, tar: tarfile.TarFile) -> None:
        """Refuses a large header: tarfile reads it whole, and a small compressed file may hold one
        of gigabytes."""
        if self.size > _MAX_HEADER_BYTES:
            tar.damage = f"a header of {self.size:,} bytes"  # type: ignore[attr-defined]
            raise tarfile.InvalidHeaderError(tar.damage)  # type: ignore[attr-defined]

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return cls._after_end(tar)
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            tar.damage = "it ends without an end mark, so it may have been cut short"  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            tar.damage = str(error)  # type: ignore[attr-defined]
            raise

    @classmethod
    def _after_end(cls, tar: tarfile.TarFile) -> Self:
        """The first header of a tar that follows this one. Raises EOFHeaderError if there is
        none."""
        file: Any = tar.fileobj
        while block := file.read(tarfile.BLOCKSIZE):
            if block.strip(b"\0"):
                break
        else:
            raise tarfile.EOFHeaderError("end of file header")  # type: ignore[attr-defined]
        try:
            header = cls.frombuf(block, str(tar.encoding), tar.errors)
        except tarfile.HeaderError:
            tar.behind = "after its end stands something that is no tar"  # type: ignore[attr-defined]
            raise tarfile.EOFHeaderError("end of file header") from None  # type: ignore[attr-defined]
        header.offset = file.tell() - tarfile.BLOCKSIZE
        return header._proc_member(tar)  # type: ignore[attr-defined]
