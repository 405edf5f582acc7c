"""Tar files front to back, in constant memory, with damage told from the end."""

from __future__ import annotations

import tarfile
from types import TracebackType
from typing import Any, Self

from pipelines.sources.storage import is_compressed, open_stream


class Shard:
    """A tar file, member by member.

    Damage does not raise: it ends the iteration and stands in ``damage``. A storage that fails raises its OSError.

    Args:
        uri: The file; compressed ones by their suffix.
        streamed: Read everything in order; otherwise jump over what is not asked for, which needs a plain tar.
    """

    def __init__(self, uri: str, *, streamed: bool = True) -> None:
        self.damage: str | None = None
        self._stream, self._file = open_stream(uri)
        self._tar: Any = None
        try:
            mode: Any = "r|" if streamed else "r:"
            # Small reads of a compressed shard: all that one read spans is lost where the stream breaks off.
            size = 1 << 16 if is_compressed(uri) else 1 << 20
            self._tar = tarfile.open(fileobj=self._stream, mode=mode, bufsize=size, tarinfo=_Header)  # noqa: SIM115
        except (*_DAMAGE, OSError) as error:
            self._note(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def next_member(self) -> tarfile.TarInfo | None:
        """The next file in it, or ``None`` at its end or damage."""
        if self._tar is None:
            return None
        try:
            while (member := self._tar.next()) is not None:
                self._tar.members.clear()  # it would keep every header
                if member.isreg():
                    return member
        except (*_DAMAGE, OSError) as error:
            self._note(error)
        else:
            self.damage = getattr(self._tar, "damage", None)
        return None

    def read(self, member: tarfile.TarInfo) -> bytes:
        """Content of the member just returned; what there is of it, when the file is damaged."""
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
    """Notes a broken header on the archive, because ``tarfile`` takes one for the end."""

    def _proc_pax(self, tar: tarfile.TarFile) -> Any:
        self._refuse_large(tar)
        return super()._proc_pax(tar)  # type: ignore[misc]

    def _proc_gnulong(self, tar: tarfile.TarFile) -> Any:
        self._refuse_large(tar)
        return super()._proc_gnulong(tar)  # type: ignore[misc]

    def _refuse_large(self, tar: tarfile.TarFile) -> None:
        """Such a header is read into memory whole, and packed well a short file holds one of gigabytes."""
        if self.size > _MAX_HEADER_BYTES:
            tar.damage = f"a header of {self.size:,} bytes"  # type: ignore[attr-defined]
            raise tarfile.InvalidHeaderError(tar.damage)  # type: ignore[attr-defined]

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)  # type: ignore[return-value]
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            tar.damage = "it ends without an end mark, so it may have been cut short"  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            tar.damage = str(error)  # type: ignore[attr-defined]
            raise
