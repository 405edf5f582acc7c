"""Office documents become PDF documents by LibreOffice, which runs confined and within limits.

LibreOffice is a program of its own: install it on every node (Debian: ``libreoffice-writer-nogui``,
``libreoffice-calc-nogui`` and ``libreoffice-impress-nogui``), with ``soffice`` on the PATH.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.archive_pages import opened, refuse_bomb
from internvl_ops.media.signatures import OFFICE_FORMATS

_CHILD = "internvl_ops.media.office_child"
_ZIP = b"PK\x03\x04"
_FOLDERS = {"word/": ".docx", "ppt/": ".pptx", "xl/": ".xlsx"}
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_OF_TYPE = {"text": ".odt", "presentation": ".odp", "spreadsheet": ".ods"}
_MANIFEST, _LOOKED_AT = "META-INF/manifest.xml", 1 << 20
_ENCRYPTED = b"encryption-data"
_RESTART = 81  # exit status of a first start, which only makes the settings
_STARTS = 3
_SAID = 300
_KEPT = 16  # documents


def office_suffix(source: bytes | str) -> str:
    """The suffix for what a file is, such as ".docx"; empty if it is no office document.

    Picklable and at module level, so that it can run in a sandbox.

    Args:
        source: The file's bytes, or the path of a readable local file.

    Raises:
        UnitError: Stage "decode": "unsupported" for an encrypted document, "too_large" for one that
            claims to unpack to far more than honest ones do, "corrupt".
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        archive, size = opened(file)
        names = archive.namelist()
        suffix = ""
        if "[Content_Types].xml" in names:
            suffix = next(
                (
                    suffix
                    for folder, suffix in _FOLDERS.items()
                    if any(n.startswith(folder) for n in names)
                ),
                "",
            )
        elif "mimetype" in names:
            suffix = _suffix_of_type(
                _beginning(archive.open, "mimetype", 200).decode("latin-1").strip()
            )
        if not suffix:
            return ""
        refuse_bomb(archive.infolist(), size)
        if _MANIFEST in names and _ENCRYPTED in _beginning(archive.open, _MANIFEST, _LOOKED_AT):
            message = f"{OFFICE_FORMATS[suffix]} that is encrypted; remove its password first"
            raise UnitError("decode", "unsupported", message)
        return suffix


def _suffix_of_type(media_type: str) -> str:
    kind = media_type.removeprefix(_OPEN_DOCUMENT)
    return "" if kind == media_type else _OF_TYPE.get(kind, "")


def _beginning(open_entry: Callable[[str], object], name: str, size: int) -> bytes:
    try:
        with contextlib.closing(open_entry(name)) as entry:  # type: ignore[type-var]
            return bytes(entry.read(size))  # type: ignore[attr-defined]
    except MemoryError:
        raise
    except Exception as error:  # as many types as there are ways to damage it
        raise UnitError(
            "decode", "corrupt", f"an office document that is damaged ({error}); fetch it again"
        ) from None


class OfficeConverter:
    """Converts office documents to PDF, and keeps the last of them. Safe to use from several
    threads.

    LibreOffice may read libraries, fonts and its own settings, and write in a folder that holds the
    one document. It has no network, as far as the kernel can confine it; see `sandbox_confinement`.

    Args:
        folder: Where PDF documents are put.
        suffix_of: `office_suffix`, or a call of it in a sandbox.
        timeout_s: Maximum seconds for a document.
        memory_limit: Bytes that LibreOffice may allocate.
        max_bytes: Maximum size of a PDF that it makes.
    """

    def __init__(
        self,
        folder: str,
        suffix_of: Callable[[bytes | str], str],
        *,
        timeout_s: float = 60,
        memory_limit: int = 4 << 30,
        max_bytes: int = 1 << 28,
    ) -> None:
        self._folder, self._suffix_of = folder, suffix_of
        self._timeout_s, self._memory_limit, self._max_bytes = timeout_s, memory_limit, max_bytes
        # path of the PDF; empty for other files
        self._done: OrderedDict[object, str | UnitError] = OrderedDict()
        self._lock = threading.Lock()

    def pdf_of(self, source: bytes | str) -> bytes | str:
        """The document as PDF, as bytes or a path like ``source``; other files as they are.

        Raises:
            UnitError: Stage "decode": "unsupported" without LibreOffice, "corrupt" for a document
                that it cannot open, "timeout", "decoder_crashed".
        """
        if not _begins_like_zip(source):
            return source
        with self._lock:
            key = _identity(source)
            if key not in self._done:
                try:
                    self._done[key] = self._convert(source)
                except UnitError as error:
                    self._done[key] = error
                self._drop_oldest()
            self._done.move_to_end(key)
            found = self._done[key]
            if isinstance(found, UnitError):
                raise UnitError(found.stage, found.kind, found.message)
            if not found:
                return source
            return Path(found).read_bytes() if isinstance(source, bytes) else found

    def _convert(self, source: bytes | str) -> str:
        suffix = self._suffix_of(source)
        if not suffix:
            return ""
        program = libreoffice()
        if program is None:
            message = (
                f"{OFFICE_FORMATS[suffix]}, which LibreOffice converts, and it is not here; install"
                " it on every node, with soffice on the PATH, or convert the file to PDF"
            )
            raise UnitError("decode", "unsupported", message)
        with tempfile.TemporaryDirectory(prefix="office-", dir=self._folder) as folder:
            document = Path(folder) / f"document{suffix}"
            if isinstance(source, bytes):
                document.write_bytes(source)
            else:
                shutil.copyfile(source, document)
            self._run(program, document)
            made = document.with_suffix(".pdf")
            place = Path(self._folder) / f"{Path(folder).name}.pdf"
            if made.is_symlink() or not made.is_file():  # a link could lead to any file
                message = (
                    f"{OFFICE_FORMATS[suffix]} that LibreOffice cannot open: it is damaged, or asks"
                    " for a password"
                )
                raise UnitError("decode", "corrupt", message)
            if (size := made.stat().st_size) > self._max_bytes:
                message = (
                    f"it becomes a PDF of {size:,} bytes, above the limit of {self._max_bytes:,}"
                )
                raise UnitError(
                    "decode", "too_large", f"{message}. Raise {keyword('max_bytes')} to read it"
                )
            made.rename(place)
            return str(place)

    def _run(self, program: str, document: Path) -> None:
        limits = [str(self._memory_limit), str(int(self._timeout_s) + 1)]
        command = [
            sys.executable,
            "-P",
            "-m",
            _CHILD,
            program,
            str(document.parent),
            *limits,
            document.name,
        ]
        environment = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        for _ in range(_STARTS):
            status, said = _finished(command, environment, self._timeout_s)
            if status != _RESTART:
                break
        if status < 0 and status != -signal.SIGKILL:
            message = (
                f"LibreOffice ended with signal {signal.Signals(-status).name} at the"
                f" document{said}"
            )
            raise UnitError("decode", "decoder_crashed", message)
        if status == -signal.SIGKILL:
            raise UnitError(
                "decode",
                "too_large",
                "the system stopped LibreOffice, most likely for want of memory",
            )

    def _drop_oldest(self) -> None:
        while len(self._done) > _KEPT:
            _, found = self._done.popitem(last=False)
            if isinstance(found, str) and found:
                Path(found).unlink(missing_ok=True)


def libreoffice() -> str | None:
    """The path of LibreOffice's program on this machine; None if it is not on the PATH."""
    found = shutil.which("soffice") or shutil.which("libreoffice")
    if found is None:
        return None
    script = os.path.realpath(found)
    # the script starts others, which may not run here
    program = os.path.join(os.path.dirname(script), "soffice.bin")
    return program if os.access(program, os.X_OK) else script


def _finished(command: list[str], environment: dict[str, str], timeout_s: float) -> tuple[int, str]:
    """Runs a command to its end; returns its status and what it said last."""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that all that it starts ends with it
    ) as process:
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            message = (
                f"converting it to PDF took longer than {timeout_s:g} s; raise"
                f" {keyword('decode_timeout_s')}"
            )
            raise UnitError("decode", "timeout", message) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    lines = said[-_SAID:].decode("utf-8", "replace").split("\n")
    return process.returncode, f": {lines[0]}" if lines[0] else ""


def _begins_like_zip(source: bytes | str) -> bool:
    if isinstance(source, bytes):
        return source.startswith(_ZIP)
    with open(source, "rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _identity(source: bytes | str) -> object:
    if isinstance(source, bytes):
        return hashlib.blake2b(source, digest_size=16).digest()
    status = os.stat(source)
    return source, status.st_ino, status.st_size, status.st_mtime_ns
