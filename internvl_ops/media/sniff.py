"""Identifies files by their bytes, so that messages in ``errors/`` can say what a file really
is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from internvl_ops.errors import ErrorKind, UnitError

Family = Literal["image", "video", "sound", "document", "other", "damaged"]

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
# Documents that LibreOffice converts to PDF.
OFFICE_FORMATS = {
    ".docx": "a Word document (DOCX)",
    ".pptx": "a PowerPoint document (PPTX)",
    ".xlsx": "an Excel document (XLSX)",
    ".odt": "an OpenDocument text (ODT)",
    ".odp": "an OpenDocument presentation (ODP)",
    ".ods": "an OpenDocument spreadsheet (ODS)",
}
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
_RAW = "a camera's raw file ({})"
_DEVELOP = "develop it to JPEG, PNG or TIFF first"
_IMAGE_COLUMN = "name it in the image column"
_VIDEO_COLUMN = "name it in the video column"
_CONVERT = "convert it to JPEG, PNG or WebP"


@dataclass(frozen=True)
class Sniffed:
    """What a file is.

    Args:
        name: Its kind, with an article: "a PDF document".
        family: Its sort of media; "damaged" for bytes that are no longer, or never were, a file.
        mend: What a user can do about it if another kind is needed.
        detail: Its contents, if that helps.
    """

    name: str
    family: Family
    mend: str = ""
    detail: str = ""


# Offset, first bytes, format: the supported images.
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
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (0, b"8BPS", "PSD"),
    (0, b"\x00\x00\x01\x00", "ICO"),
)
_OTHERS: tuple[tuple[int, bytes, Sniffed], ...] = (
    (0, b"%PDF", Sniffed("a PDF document", "document", "name it in the document column")),
    (0, b"\x1a\x45\xdf\xa3", Sniffed("a Matroska or WebM video", "video", _VIDEO_COLUMN)),
    (8, b"AVI ", Sniffed("an AVI video", "video", _VIDEO_COLUMN)),
    (0, b"FLV\x01", Sniffed("a Flash video", "video", _VIDEO_COLUMN)),
    (
        0,
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        Sniffed("a Windows Media file", "video", _VIDEO_COLUMN),
    ),
    (0, b"\x00\x00\x01\xba", Sniffed("an MPEG video", "video", _VIDEO_COLUMN)),
    (0, b"\x00\x00\x01\xb3", Sniffed("an MPEG video", "video", _VIDEO_COLUMN)),
    (4, b"moov", Sniffed("a QuickTime video", "video", _VIDEO_COLUMN)),
    (8, b"WAVE", Sniffed("a WAVE sound file", "sound")),
    (0, b"ID3", Sniffed("an MP3 sound file", "sound")),
    (0, b"fLaC", Sniffed("a FLAC sound file", "sound")),
    (8, b"AIFF", Sniffed("an AIFF sound file", "sound")),
    (8, b"AIFC", Sniffed("an AIFF sound file", "sound")),
    (0, b"OggS", Sniffed("an Ogg file", "video", _VIDEO_COLUMN)),
    (0, b"#!AMR", Sniffed("an AMR sound file", "sound")),
    (0, b"FUJIFILMCCD-RAW", Sniffed(_RAW.format("Fujifilm RAF"), "other", _DEVELOP)),
    (0, b"FOVb", Sniffed(_RAW.format("Sigma X3F"), "other", _DEVELOP)),
    (6, b"HEAPCCDR", Sniffed(_RAW.format("Canon CRW"), "other", _DEVELOP)),
    (0, b"\x00MRM", Sniffed(_RAW.format("Minolta MRW"), "other", _DEVELOP)),
    (0, b"IIRO", Sniffed(_RAW.format("Olympus ORF"), "other", _DEVELOP)),
    (0, b"IIRS", Sniffed(_RAW.format("Olympus ORF"), "other", _DEVELOP)),
    (0, b"MMOR", Sniffed(_RAW.format("Olympus ORF"), "other", _DEVELOP)),
    (0, b"IIU\x00", Sniffed(_RAW.format("Panasonic RW2 or Leica RWL"), "other", _DEVELOP)),
    (0, b"ARRI", Sniffed(_RAW.format("ARRI"), "other", _DEVELOP)),
    (0, b"\x76\x2f\x31\x01", Sniffed("an OpenEXR image", "other", _CONVERT)),
    (0, b"#?RADIANCE", Sniffed("a Radiance HDR image", "other", _CONVERT)),
    (0, b"SIMPLE  =", Sniffed("a FITS file", "other", _CONVERT)),
    (128, b"DICM", Sniffed("a DICOM file", "other", _CONVERT)),
    (0, b"DDS ", Sniffed("a DDS texture", "other", _CONVERT)),
    (0, b"qoif", Sniffed("a QOI image", "other", _CONVERT)),
    (0, b"AT&TFORM", Sniffed("a DjVu document", "other", "convert it to PDF")),
    (0, b"\x00\x00\x02\x00\x01\x00", Sniffed("a Windows cursor", "other", _CONVERT)),
    (0, b"P7\n", Sniffed("a PAM image", "other", _CONVERT)),
    (0, b"PF\n", Sniffed("a PFM image in colour", "other", _CONVERT)),
    (0, b"%!PS", Sniffed("a PostScript file", "other", "convert it to PDF, JPEG or PNG")),
    (
        0,
        b"\xc5\xd0\xd3\xc6",
        Sniffed("a PostScript file (EPS)", "other", "convert it to PDF, JPEG or PNG"),
    ),
    (0, b"{\\rtf", Sniffed("an RTF document", "other", "convert it to PDF")),
    (0, b"\x1f\x8b", Sniffed("a gzip archive", "other", "unpack it first")),
    (0, b"BZh", Sniffed("a bzip2 archive", "other", "unpack it first")),
    (0, b"\xfd7zXZ\x00", Sniffed("an xz archive", "other", "unpack it first")),
    (0, b"\x28\xb5\x2f\xfd", Sniffed("a Zstandard archive", "other", "unpack it first")),
    (0, b"7z\xbc\xaf\x27\x1c", Sniffed("a 7z archive", "other", "unpack it first")),
    (0, b"Rar!\x1a\x07", Sniffed("a RAR archive", "other", "unpack it first")),
    (257, b"ustar", Sniffed("a tar archive", "other", "unpack it first")),
    (0, b"PAR1", Sniffed("a Parquet file", "other", "name it as the input, not in a row")),
    (
        0,
        b"version https://git-lfs",
        Sniffed(
            "a Git LFS pointer, not the file itself", "other", "run git lfs pull where it came from"
        ),
    ),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        Sniffed(
            "an Office document that is old or encrypted",
            "other",
            "convert a DOC, XLS or PPT to PDF, and remove the password of a newer one first",
        ),
    ),
)
# Typical contents of ZIP archives from office and publishing programs.
_ZIPPED = (
    (b"word/", OFFICE_FORMATS[".docx"]),
    (b"ppt/", OFFICE_FORMATS[".pptx"]),
    (b"xl/", OFFICE_FORMATS[".xlsx"]),
    (b"application/epub+zip", "an EPUB book"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file"),
    (b"FixedDocumentSequence", "an XPS document"),
)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset(
    {b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"vvic", b"avci", b"avcs", b"jpeg", b"j2ki"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_SOUND_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"aax ", b"aaxc"})
_VIDEO_BRANDS = (
    *(
        b"iso",
        b"mp4",
        b"mp7",
        b"qt  ",
        b"M4V",
        b"3gp",
        b"3g2",
        b"3ge",
        b"3gg",
        b"3gs",
        b"avc",
        b"hvc",
        b"hev",
        b"av01",
    ),
    *(
        b"dash",
        b"msdh",
        b"msix",
        b"cmf",
        b"MSNV",
        b"mmp4",
        b"f4v",
        b"F4V",
        b"XAVC",
        b"NDS",
        b"dby1",
        b"MFSM",
        b"KDDI",
    ),
    *(
        b"niko",
        b"pana",
        b"CAEP",
        b"dmb",
        b"mj",
        b"SDV",
        b"piff",
        b"roam",
        b"isml",
        b"ifrm",
        b"nvr",
        b"MPPI",
        b"da",
    ),
)
_PROLOGUE_BYTES = 256 << 10
_ROOT = re.compile(rb"<(?:[\w.-]{1,99}:)?([A-Za-z_][\w.-]{0,99})")


def described(data: bytes) -> str:
    """Names the image format that the first bytes indicate, such as "JPEG file"; "file" if they
    indicate none."""
    for offset, magic, name in _IMAGES:
        if data.startswith(magic, offset):
            return f"{name} file"
    brands = brands_of(data)
    for format_brands, name in (
        (_AVIF_BRANDS, "AVIF"),
        (_HEIC_BRANDS, "HEIC"),
        (_HEIF_BRANDS, "HEIF"),
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
        return Sniffed(f"{'an' if name[0] in 'AI' else 'a'} {name}", "image", _IMAGE_COLUMN)
    for offset, magic, found in _OTHERS:
        if data.startswith(magic, offset):
            return found
    if data[4:8] == b"ftyp":
        return _media_file(brands_of(data))
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(data)
    if len(data) > 3 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:
        return Sniffed("an MP3 sound file", "sound")
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return Sniffed("an MPEG transport stream", "video", _VIDEO_COLUMN)
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
    if wanted == "document" and found.mend == _CONVERT:
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
        return Sniffed(_RAW.format("Canon CR3"), "other", _DEVELOP)
    if brands[0] in _SOUND_BRANDS:
        return Sniffed("an MPEG-4 sound file", "sound")
    for brand in brands:
        if brand.startswith(_VIDEO_BRANDS):
            return Sniffed("an MP4 or QuickTime video", "video", _VIDEO_COLUMN)
    for brand in brands[1:]:
        if brand in _HEIC_BRANDS | _HEIF_BRANDS | _AVIF_BRANDS:
            return Sniffed("a HEIF file", "image", _IMAGE_COLUMN)
    return Sniffed(
        f"an ISO media file of the unknown brand {brands[0].decode('ascii', 'replace')!r}", "other"
    )


def _zipped(data: bytes) -> Sniffed:
    head, tail = data[: 64 << 10], data[-(64 << 10) :]
    for mark, name in _ZIPPED:
        if mark in head or mark in tail:
            return Sniffed(name, "other", "convert it to PDF, or to images")
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
