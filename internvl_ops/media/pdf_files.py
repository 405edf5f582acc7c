"""Opens PDF documents with pdfium, and says why one does not open."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.document_notes import refuse_dynamic_forms
from internvl_ops.media.sniff import unreadable


@contextlib.contextmanager
def open_document(source: bytes | str, password: str) -> Iterator[pdfium.PdfDocument]:
    if isinstance(source, str):
        # The last file stays open: callers request the pages of a long document one after another,
        # and finding a page among 2,000 takes longer than rendering it.
        yield _kept.open(source, password)
        return
    document = _load(source, password)
    try:
        yield document
    finally:
        document.close()


def _load(source: bytes | str, password: str) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(source, password=password or None)
    except pdfium.PdfiumError as error:
        if password and getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
            message = "the document is encrypted, and the password given does not open it"
            raise UnitError("decode", "unsupported", message) from None
        raise _unreadable(source, getattr(error, "err_code", None)) from None
    if not len(document):
        document.close()
        raise UnitError("decode", "corrupt", "the document has no page")
    try:
        refuse_dynamic_forms(document)
    except UnitError:
        document.close()
        raise
    document.init_forms()  # also draws the contents of form fields
    return document


class _Kept:
    """The last opened document, kept until its file changes."""

    def __init__(self) -> None:
        self._identity: tuple[str | int, ...] = ()
        self._document: pdfium.PdfDocument | None = None

    def open(self, path: str, password: str) -> pdfium.PdfDocument:
        status = os.stat(path)
        identity = (
            path,
            password,
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )
        if self._document is None or identity != self._identity:
            if self._document is not None:
                self._document.close()
            self._document = None
            self._document, self._identity = _load(path, password), identity
        return self._document


_kept = _Kept()


def _unreadable(source: bytes | str, code: int | None) -> UnitError:
    if code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
        return UnitError(
            "decode",
            "unsupported",
            f"the document is encrypted and asks for a password: give {keyword('password')}",
        )
    head = _head(source)
    if b"%PDF" in head[:1024]:
        return UnitError("decode", "corrupt", "PDF that is damaged or ends early; fetch it again")
    return unreadable(head, "document")


def _head(source: bytes | str) -> bytes:
    if isinstance(source, bytes):
        return source[: 64 << 10]
    with open(source, "rb") as file:
        return file.read(64 << 10)
