"""Identifies files by their bytes, so that messages in ``errors/`` can say what a file really
is."""

from __future__ import annotations

import re
from typing import Literal

from internvl_ops.errors import ErrorKind, UnitError
from internvl_ops.media.signatures import (
    AVIF_BRANDS,
    CONVERT,
    DEVELOP,
    HEIC_BRANDS,
    HEIF_BRANDS,
    IMAGE_COLUMN,
    IMAGES,
    MENDS,
    OFFICE_FORMATS,
    OTHERS,
    RAW,
    SOUND_BRANDS,
    VIDEO_BRANDS,
    VIDEO_COLUMN,
    ZIPPED,
    Sniffed,
)

# Every supported image format, with the suffixes of its files. A test compares it with the readers.
IMAGE_FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "AVIF": (".avif", ".avifs"),
    "HEIC": (".heic", ".heif", ".hif"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "JPEG XL": (".jxl",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "ICO": (".ico",),
    "TGA": (".tga",),
    "PSD": (".psd",),
}
IMAGE_SUFFIXES: tuple[str, ...] = tuple(
    suffix for suffixes in IMAGE_FORMATS.values() for suffix in suffixes
)
# Every supported format of documents. A TIFF is an image too: its first page.
DOCUMENT_FORMATS: dict[str, tuple[str, ...]] = {
    "PDF": (".pdf",),
    "TIFF": IMAGE_FORMATS["TIFF"],
    "CBZ": (".cbz",),
    **{suffix[1:].upper(): (suffix,) for suffix in OFFICE_FORMATS},
}
DOCUMENT_SUFFIXES: tuple[str, ...] = tuple(
    suffix for suffixes in DOCUMENT_FORMATS.values() for suffix in suffixes
)


_PROLOGUE_BYTES = 256 << 10
_ROOT = re.compile(rb"<(?:[\w.-]{1,99}:)?([A-Za-z_][\w.-]{0,99})")


def described(data: bytes) -> str:
    """Names the image format that the first bytes indicate, such as "JPEG file"; "file" if they
    indicate none."""
    for offset, magic, name in IMAGES:
        if data.startswith(magic, offset):
            return f"{name} file"
    brands = brands_of(data)
    for format_brands, name in (
        (AVIF_BRANDS, "AVIF"),
        (HEIC_BRANDS, "HEIC"),
        (HEIF_BRANDS, "HEIF"),
    ):
        if brands and brands[0] in format_brands:
            return f"{name} file"
    return "file"


def brands_of(data: bytes) -> list[bytes]:
    """The brands of an ISO base media file (MP4, HEIC, AVIF …): the major one, then those it is
    compatible with."""
    if data[4:8] != b"ftyp":
        return []
    head = data[8 : min(int.from_bytes(data[:4], "big"), 512)] or data[8:12]
    return [head[:4], *(head[at : at + 4] for at in range(8, len(head) - 3, 4))]


def sniffed(data: bytes) -> Sniffed:
    """Identifies a file; the first 64 KiB are enough for nearly all."""
    if not data:
        return Sniffed("an empty file (0 bytes)", "damaged", "it was probably never downloaded")
    if (name := described(data)) != "file":
        return Sniffed(f"{'an' if name[0] in 'AI' else 'a'} {name}", "image", IMAGE_COLUMN)
    for offset, magic, found in OTHERS:
        if data.startswith(magic, offset):
            return found
    if data[4:8] == b"ftyp":
        return _media_file(brands_of(data))
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(data)
    if len(data) > 3 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:
        return Sniffed("an MP3 sound file", "sound")
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return Sniffed("an MPEG transport stream", "video", VIDEO_COLUMN)
    if not any(data[:4096]):
        return Sniffed(
            f"{len(data):,} bytes that begin with zeros only",
            "damaged",
            "it was probably never filled in",
        )
    return _text(data) or Sniffed(f"a file that begins with bytes {data[:8].hex(' ')}", "other")


def unreadable(data: bytes, wanted: Literal["image", "video", "document"] = "image") -> UnitError:
    """The error for bytes that no decoder accepts: what they are instead, and how to fix it.

    Args:
        data: The file, or its first 64 KiB.
        wanted: The kind that the row's column is for. If the file is of this kind, the message says
            that its header cannot be read.
    """
    found = sniffed(data)
    if found.family == wanted:
        return UnitError(
            "decode", "corrupt", f"{found.name.split(' ', 1)[1]} whose header cannot be read"
        )
    kind: ErrorKind = "corrupt" if found.family == "damaged" else "unsupported"
    if not data:
        return UnitError(
            "decode", kind, "the file is empty (0 bytes); it was probably never downloaded"
        )
    if found.name.startswith("a file that begins"):
        formats = {
            "image": f"not an image this job reads ({', '.join(IMAGE_FORMATS)})",
            "video": "not a video this job reads (MP4, WebM, AVI, …)",
            "document": f"not a document this job reads ({', '.join(DOCUMENT_FORMATS)})",
        }[wanted]
        return UnitError("decode", kind, f"{formats}; it begins with bytes {data[:8].hex(' ')}")
    needed = {"image": "an image", "video": "a video", "document": "a PDF, TIFF or CBZ"}[wanted]
    mend = found.mend or f"{needed} is needed"
    if wanted == "document" and found.mend == CONVERT:
        mend = "convert it to PDF"
    detail = f": {found.detail}" if found.detail else ""
    why = (
        "of a format that is not read"
        if needed == "an image" and found.name.endswith("image")
        else f"not {needed}"
    )
    return UnitError("decode", kind, f"{found.name}, {why}; {mend}{detail}")


def _media_file(brands: list[bytes]) -> Sniffed:
    if b"crx " in brands:
        return Sniffed(RAW.format("Canon CR3"), "other", DEVELOP)
    if brands[0] in SOUND_BRANDS:
        return Sniffed("an MPEG-4 sound file", "sound")
    for brand in brands:
        if brand.startswith(VIDEO_BRANDS):
            return Sniffed("an MP4 or QuickTime video", "video", VIDEO_COLUMN)
    for brand in brands[1:]:
        if brand in HEIC_BRANDS | HEIF_BRANDS | AVIF_BRANDS:
            return Sniffed("a HEIF file", "image", IMAGE_COLUMN)
    return Sniffed(
        f"an ISO media file of the unknown brand {brands[0].decode('ascii', 'replace')!r}", "other"
    )


def _zipped(data: bytes) -> Sniffed:
    head, tail = data[: 64 << 10], data[-(64 << 10) :]
    for mark, name in ZIPPED:
        if mark in head or mark in tail:
            return Sniffed(name, "other", MENDS.get(mark, "convert it to PDF, or to images"))
    return Sniffed(
        "a ZIP archive",
        "other",
        "unpack it first, or convert it to PDF where it is an Office document",
    )


def _text(data: bytes) -> Sniffed | None:
    text = data[:_PROLOGUE_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    lowered = text[:512].lower()
    if text.startswith(b"<"):
        root = _root_element(text)
        if root == b"svg":
            return Sniffed("an SVG drawing, which has no pixels", "other", "render it to PNG first")
        if (
            root in (b"html", b"head", b"body")
            or b"<html" in lowered
            or lowered.startswith(b"<!doctype html")
        ):
            mend = "the server probably answered with an error or login page: fetch it again"
            return Sniffed("an HTML page", "other", mend)
        if lowered.startswith(b"<?xml") or root == b"error":
            return Sniffed(
                "an XML document", "other", "it is probably a storage error", _excerpt(data)
            )
    if b"<html" in lowered:
        mend = "the server probably answered with an error or login page: fetch it again"
        return Sniffed("an HTML page", "other", mend)
    if text.startswith((b"{", b"[")):
        return Sniffed(
            "a JSON document", "other", "it is probably a server's error", _excerpt(data)
        )
    if _is_text(data[:512]):
        return Sniffed("a text file", "other", "", _excerpt(data))
    return None


def _root_element(text: bytes) -> bytes:
    """The first element of an XML or HTML document, in lower case and without its prefix; empty if
    there is none."""
    at = 0
    while (at := text.find(b"<", at)) >= 0:
        if text.startswith(b"<!--", at):
            end = text.find(b"-->", at)
        elif text.startswith(b"<?", at):
            end = text.find(b"?>", at)
        elif text.startswith(b"<!", at):
            bracket, close = text.find(b"[", at), text.find(b">", at)
            end = text.find(b"]", bracket) if 0 <= bracket < close else close
        else:
            match = _ROOT.match(text, at)
            return match[1].lower() if match else b""
        if end < 0:
            return b""
        at = end + 1
    return b""


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n" for byte in head) and _decodes(head)


def _decodes(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a character that the end of the excerpt cuts
    return True


def _excerpt(data: bytes) -> str:
    return repr(data[:80].decode("utf-8", "replace"))
