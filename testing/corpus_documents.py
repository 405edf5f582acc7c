"""Makes small PDF documents of the kinds datasets hold, each page saying its own number."""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


@dataclass(frozen=True)
class Document:
    """How a test document is made.

    Args:
        pages: How many.
        size: Of a page, in points.
        rotate: Degrees each page is turned for display.
        lines: Of small text on each page.
        tinted: On yellowed paper instead of white: every pixel has a colour.
        user_password: "" lets everybody open it; it is encrypted all the same. None leaves it
            unencrypted.
    """

    pages: int = 3
    size: tuple[float, float] = (595, 842)
    rotate: int = 0
    lines: int = 0
    tinted: bool = False
    user_password: str | None = None


def make(document: Document) -> bytes:
    """The document's file."""
    key = None if document.user_password is None else _Encryption(document.user_password)
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(document.pages))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {document.pages} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    width, height = document.size
    for page in range(document.pages):
        content = _content(page + 1, document)
        number = 5 + 2 * page
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Rotate"
            f" {document.rotate} /Resources << /Font << /F 3 0 R >> >>"
            f" /Contents {number} 0 R >>".encode()
        )
        if key is not None:
            content = key.encrypt(content, number)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return _assemble(objects, key)


def bomb(kind: Literal["stream", "image", "drawing"]) -> bytes:
    """A small document that asks for gigabytes or for minutes.

    A content stream of 3 GB packed twice, a picture of 40,000 pixels a side, or twenty million
    rectangles.
    """
    content, resources, picture = _packed(b"595 0 0 842 0 0 cm /I Do"), b"", []
    if kind == "stream":
        twice = zlib.compress(_packed_zeros(3 << 30))
        content = b"<< /Filter [/FlateDecode /FlateDecode] /Length %d >>\nstream\n%s\nendstream" % (
            len(twice),
            twice,
        )
    elif kind == "drawing":
        content = _packed(b"0 0 595 842 re f\n" * 20_000_000)
    else:
        resources, pixels = b"/XObject << /I 5 0 R >>", _packed_zeros(40_000 * 40_000 * 3)
        head = (
            b"/Type /XObject /Subtype /Image /Width 40000 /Height 40000 /ColorSpace /DeviceRGB"
            b" /BitsPerComponent 8"
        )
        picture = [
            b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
            % (head, len(pixels), pixels)
        ]
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << %s >> /Contents 4 0"
        b" R >>" % resources
    )
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return _assemble([b"<< /Type /Catalog /Pages 2 0 R >>", pages, page, content, *picture], None)


def _packed(data: bytes) -> bytes:
    data = zlib.compress(data, 9)
    return b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(data), data)


def _packed_zeros(count: int) -> bytes:
    packer, some = zlib.compressobj(9), bytes(1 << 20)
    return b"".join(packer.compress(some) for _ in range(-(-count // len(some)))) + packer.flush()


def scanned(*pictures: Image.Image) -> bytes:
    """A document of which every page is a picture, as scanners make them."""
    file = io.BytesIO()
    pictures[0].save(file, "PDF", save_all=True, append_images=pictures[1:], resolution=150)
    return file.getvalue()


def scan(number: int, width: int = 1240, height: int = 1754) -> Image.Image:
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for line in range(60):
        draw.text(
            (60, 60 + line * 27),
            f"page {number} line {line} " + "the quick brown fox " * 6,
            fill="black",
        )
    return picture


def _content(number: int, document: Document) -> bytes:
    width, height = document.size
    # The page's number as a bar from the left, a hundredth of the width for each page: easy to read
    # off the pixels.
    bar = f"0 0 0 rg 0 {height * 0.5} {width * (number % 100) / 100} {height * 0.1} re f"
    corner = f"1 0 0 rg 0 {height * 0.9} {width * 0.1} {height * 0.1} re f 0 0 0 rg"
    text = [f"BT /F 24 Tf 72 {height * 0.75} Td (PAGE {number}) Tj ET"]
    for line in range(document.lines):
        words = (
            f"line {line} of page {number}: the quick brown fox jumps over the lazy dog and runs"
            " away"
        )
        text.append(f"BT /F 10 Tf 50 {height - 110 - 12 * line} Td ({words}) Tj ET")
    paper = [f"0.98 0.95 0.86 rg 0 0 {width} {height} re f"] if document.tinted else []
    return "\n".join([*paper, bar, corner, *text]).encode()


def _assemble(objects: list[bytes], key: _Encryption | None) -> bytes:
    if key is not None:
        objects = [*objects, key.dictionary()]
    out = bytearray(b"%PDF-1.6\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    extra = b"" if key is None else b"/Encrypt %d 0 R /ID [<00> <00>] " % len(objects)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        extra,
        start,
    )
    return bytes(out)


class _Encryption:
    """PDF's oldest kind, 40-bit RC4, which every reader knows."""

    permissions = -4

    def __init__(self, user_password: str) -> None:
        padded = (user_password.encode() + _PADDING)[:32]
        self.owner = _rc4(hashlib.md5((b"owner" + _PADDING)[:32]).digest()[:5], padded)
        permissions = (self.permissions & 0xFFFFFFFF).to_bytes(4, "little")
        self.key = hashlib.md5(padded + self.owner + permissions + b"\x00").digest()[:5]

    def dictionary(self) -> bytes:
        user = _rc4(self.key, _PADDING)
        return b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P %d >>" % (
            self.owner.hex().encode(),
            user.hex().encode(),
            self.permissions,
        )

    def encrypt(self, data: bytes, number: int) -> bytes:
        return _rc4(
            hashlib.md5(self.key + number.to_bytes(3, "little") + b"\0\0").digest()[:10], data
        )


def _rc4(key: bytes, data: bytes) -> bytes:
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)
