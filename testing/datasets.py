"""Datasets on disk for the tests of whole jobs: real files in many formats, and files broken in
different ways."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FORMATS = {
    "jpg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "tiff": "TIFF",
    "bmp": "BMP",
    "avif": "AVIF",
}
SIZES = [
    (32, 32),
    (64, 48),
    (100, 300),
    (320, 240),
    (500, 500),
    (640, 480),
    (900, 200),
    (33, 700),
    (800, 600),
]
LARGE = (4000, 3000)


def picture(size: tuple[int, int], seed: int) -> Image.Image:
    """A gradient with some shapes: compresses like a photograph of a plain scene, and no two are
    alike."""
    rng = random.Random(seed)
    width, height = size
    x = np.linspace(0, 255, width, dtype=np.float32)[None, :, None]
    y = np.linspace(0, 255, height, dtype=np.float32)[:, None, None]
    mix = np.array([rng.random() for _ in range(6)], np.float32).reshape(2, 3)
    image = Image.fromarray(np.clip(x * mix[0] + y * mix[1], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        box = (
            sorted(rng.randrange(width) for _ in range(2)),
            sorted(rng.randrange(height) for _ in range(2)),
        )
        colour = tuple(rng.randrange(256) for _ in range(3))
        draw.ellipse((box[0][0], box[1][0], box[0][1], box[1][1]), fill=colour)
    return image


def encoded(size: tuple[int, int], suffix: str, seed: int) -> bytes:
    file = io.BytesIO()
    picture(size, seed).save(file, FORMATS[suffix])
    return file.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, with no data to speak of."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", ihdr)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def broken_files() -> dict[str, tuple[bytes, str]]:
    """Name -> (bytes, kind of error it must become); every one broken in its own way."""
    jpeg, png = encoded((640, 480), "jpg", 1), encoded((640, 480), "png", 2)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.jpg", jpeg)
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        "empty.jpg": (b"", "corrupt"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "corrupt"),
        "truncated.png": (png[: len(png) // 2], "corrupt"),
        "truncated.webp": (encoded((640, 480), "webp", 3)[:600], "corrupt"),
        "header-only.jpg": (jpeg[:20], "corrupt"),
        "bit-flip.png": (bytes(flipped), "corrupt"),
        "scan-50000.png": (_png_header(50_000, 50_000), "too_large"),
        "zero-width.png": (_png_header(0, 10), "corrupt"),
        "page.jpg": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "unsupported"),
        "notes.jpg": (b"Sorry, this picture was moved to another place.\n", "unsupported"),
        "document.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n", "unsupported"),
        "clip.jpg": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 64, "unsupported"),
        "archive.jpg": (zipped.getvalue(), "unsupported"),
        "answer.jpg": (b'{"error": "rate limited"}', "unsupported"),
        "denied.jpg": (
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
            "unsupported",
        ),
        "padded.jpg": (encoded((100, 100), "jpg", 4) + b"\0" * 3_000_000, "too_large"),
    }


def write_images(folder: Path, count: int, *, large: int = 2) -> list[str]:
    """Writes ``count`` good images of all formats and sizes into ``folder``; returns their
    names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    suffixes = list(FORMATS)
    for index in range(count):
        suffix = suffixes[index % len(suffixes)]
        size = SIZES[index % len(SIZES)]
        if index < large:
            size, suffix = LARGE, ("jpg", "png")[index % 2]
        names.append(f"{index:04d}.{suffix}")
        (folder / names[-1]).write_bytes(encoded(size, suffix, index))
    return names


def write_dataset(folder: Path, *, good: int, large: int = 2) -> dict[str, str]:
    """Writes images, sixteen broken files and ``manifest.jsonl``, in which four more rows cannot be
    read at all.

    Returns:
        Id -> kind of error it must become, for the twenty rows that must fail.
    """
    names = write_images(folder / "images", good, large=large)
    rows = [
        {"id": name.split(".")[0], "image": f"images/{name}", "year": 2000 + n}
        for n, name in enumerate(names)
    ]
    failing = {}
    for name, (data, kind) in broken_files().items():
        (folder / "images" / name).write_bytes(data)
        rows.append({"id": name, "image": f"images/{name}", "year": 1})
        failing[name] = kind
    for unit_id, uri, kind in [
        ("missing", "images/not-there.jpg", "not_found"),
        ("private", "http://169.254.169.254/latest/meta-data/", "refused"),
        ("strange", "ftp://example.org/a.jpg", "unsupported"),
        ("nothing", None, "bad_row"),
    ]:
        rows.append({"id": unit_id, "image": uri, "year": 2})
        failing[unit_id] = kind
    random.Random(0).shuffle(rows)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return failing
