"""The first bytes by which files are told apart, and what each kind of file is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["image", "video", "sound", "document", "other", "damaged"]
# Documents that LibreOffice converts to PDF.
OFFICE_FORMATS = {
    ".docx": "a Word document (DOCX)",
    ".pptx": "a PowerPoint document (PPTX)",
    ".xlsx": "an Excel document (XLSX)",
    ".odt": "an OpenDocument text (ODT)",
    ".odp": "an OpenDocument presentation (ODP)",
    ".ods": "an OpenDocument spreadsheet (ODS)",
}


RAW = "a camera's raw file ({})"
DEVELOP = "develop it to JPEG, PNG or TIFF first"
IMAGE_COLUMN = "name it in the image column"
VIDEO_COLUMN = "name it in the video column"
CONVERT = "convert it to JPEG, PNG or WebP"


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
IMAGES = (
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
OTHERS: tuple[tuple[int, bytes, Sniffed], ...] = (
    (0, b"%PDF", Sniffed("a PDF document", "document", "name it in the document column")),
    (0, b"\x1a\x45\xdf\xa3", Sniffed("a Matroska or WebM video", "video", VIDEO_COLUMN)),
    (8, b"AVI ", Sniffed("an AVI video", "video", VIDEO_COLUMN)),
    (0, b"FLV\x01", Sniffed("a Flash video", "video", VIDEO_COLUMN)),
    (
        0,
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        Sniffed("a Windows Media file", "video", VIDEO_COLUMN),
    ),
    (0, b"\x00\x00\x01\xba", Sniffed("an MPEG video", "video", VIDEO_COLUMN)),
    (0, b"\x00\x00\x01\xb3", Sniffed("an MPEG video", "video", VIDEO_COLUMN)),
    (4, b"moov", Sniffed("a QuickTime video", "video", VIDEO_COLUMN)),
    (8, b"WAVE", Sniffed("a WAVE sound file", "sound")),
    (0, b"ID3", Sniffed("an MP3 sound file", "sound")),
    (0, b"fLaC", Sniffed("a FLAC sound file", "sound")),
    (8, b"AIFF", Sniffed("an AIFF sound file", "sound")),
    (8, b"AIFC", Sniffed("an AIFF sound file", "sound")),
    (0, b"OggS", Sniffed("an Ogg file", "video", VIDEO_COLUMN)),
    (0, b"#!AMR", Sniffed("an AMR sound file", "sound")),
    (0, b"FUJIFILMCCD-RAW", Sniffed(RAW.format("Fujifilm RAF"), "other", DEVELOP)),
    (0, b"FOVb", Sniffed(RAW.format("Sigma X3F"), "other", DEVELOP)),
    (6, b"HEAPCCDR", Sniffed(RAW.format("Canon CRW"), "other", DEVELOP)),
    (0, b"\x00MRM", Sniffed(RAW.format("Minolta MRW"), "other", DEVELOP)),
    (0, b"IIRO", Sniffed(RAW.format("Olympus ORF"), "other", DEVELOP)),
    (0, b"IIRS", Sniffed(RAW.format("Olympus ORF"), "other", DEVELOP)),
    (0, b"MMOR", Sniffed(RAW.format("Olympus ORF"), "other", DEVELOP)),
    (0, b"IIU\x00", Sniffed(RAW.format("Panasonic RW2 or Leica RWL"), "other", DEVELOP)),
    (0, b"ARRI", Sniffed(RAW.format("ARRI"), "other", DEVELOP)),
    (0, b"\x76\x2f\x31\x01", Sniffed("an OpenEXR image", "other", CONVERT)),
    (0, b"#?RADIANCE", Sniffed("a Radiance HDR image", "other", CONVERT)),
    (0, b"SIMPLE  =", Sniffed("a FITS file", "other", CONVERT)),
    (128, b"DICM", Sniffed("a DICOM file", "other", CONVERT)),
    (0, b"DDS ", Sniffed("a DDS texture", "other", CONVERT)),
    (0, b"qoif", Sniffed("a QOI image", "other", CONVERT)),
    (0, b"AT&TFORM", Sniffed("a DjVu document", "other", "convert it to PDF")),
    (0, b"\x00\x00\x02\x00\x01\x00", Sniffed("a Windows cursor", "other", CONVERT)),
    (0, b"P7\n", Sniffed("a PAM image", "other", CONVERT)),
    (0, b"PF\n", Sniffed("a PFM image in colour", "other", CONVERT)),
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
ZIPPED = (
    (b"word/", OFFICE_FORMATS[".docx"]),
    (b"ppt/", OFFICE_FORMATS[".pptx"]),
    (b"xl/", OFFICE_FORMATS[".xlsx"]),
    (b"application/epub+zip", "an EPUB book"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file"),
    (b"FixedDocumentSequence", "an XPS document"),
)
# Programs that convert those of them which only a library under the AGPL draws.
MENDS = {
    b"application/epub+zip": "convert it to PDF, as ebook-convert of Calibre does",
    b"FixedDocumentSequence": "convert it to PDF, as xpstopdf of libgxps does",
}
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
HEIF_BRANDS = frozenset(
    {b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"vvic", b"avci", b"avcs", b"jpeg", b"j2ki"}
)
AVIF_BRANDS = frozenset({b"avif", b"avis"})
SOUND_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"aax ", b"aaxc"})
VIDEO_BRANDS = (
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
