"""What a file's first bytes say it is, for messages that tell the person reading ``errors/`` what really lies there."""

from __future__ import annotations

from internvl_ops.errors import Kind, UnitError

_IMAGES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "BigTIFF"),
    (0, b"MM\x00+", "BigTIFF"),
    (0, b"BM", "BMP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
)
# Offset, bytes, what it is, what to do about it.
_OTHERS = (
    (0, b"%PDF", "a PDF document", "name it in the document column"),
    (4, b"ftyp", "an MP4 or QuickTime video", "name it in the video column"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", "name it in the video column"),
    (8, b"AVI ", "an AVI video", "name it in the video column"),
    (8, b"WAVE", "a WAVE sound file", "an image is needed"),
    (0, b"\xff\x0a", "a JPEG XL image", "convert it to JPEG, PNG or WebP"),
    (4, b"JXL ", "a JPEG XL image", "convert it to JPEG, PNG or WebP"),
    (0, b"8BPS", "a Photoshop document", "convert it to JPEG, PNG or WebP"),
    (0, b"%!PS", "a PostScript file", "convert it to PDF, JPEG or PNG"),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it first"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull where it came from"),
)


def described(data: bytes) -> str:
    """Names the image format the first bytes announce, such as "JPEG file", or "file" when they announce none."""
    for offset, magic, name in _IMAGES:
        if data.startswith(magic, offset):
            return f"{name} file"
    return "file"


def unreadable(data: bytes) -> UnitError:
    """The error for bytes that no image decoder takes: what they are instead, and the likely mend."""
    kind: Kind = "unsupported"
    text = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if described(data) != "file":
        message, kind = f"{described(data)} whose header is damaged; fetch it again", "corrupt"
    elif b"<svg" in text:
        message = "an SVG drawing, not a pixel image; render it to PNG first"
    elif text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text:
        message = "an HTML page, not an image; the server probably answered with an error or login page: fetch it again"
    elif text.startswith(b"<?xml") or text.startswith(b"<error"):
        message = f"an XML document, not an image, probably a storage error: {_excerpt(data)}"
    elif text.startswith((b"{", b"[")):
        message = f"a JSON document, not an image, probably a server's error: {_excerpt(data)}"
    else:
        message, kind = _other(data)
    return UnitError("decode", kind, message)


def _other(data: bytes) -> tuple[str, Kind]:
    for offset, magic, name, mend in _OTHERS:
        if data.startswith(magic, offset):
            return f"{name}, not an image; {mend}", "unsupported"
    if not any(data[:4096]):
        return f"{len(data):,} bytes that begin with zeros only; the download was probably never filled in", "corrupt"
    if _is_text(data[:512]):
        return f"a text file, not an image: {_excerpt(data)}", "unsupported"
    return (
        f"not an image this job reads (JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC, JPEG 2000, PPM); "
        f"it begins with bytes {data[:8].hex(' ')}",
        "unsupported",
    )


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n" for byte in head) and _decodes(head)


def _decodes(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a character cut by the end of the excerpt
    return True


def _excerpt(data: bytes) -> str:
    return repr(data[:80].decode("utf-8", "replace"))
