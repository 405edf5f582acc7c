"""Each page of a folder of documents, good and hostile, is read or an error: none is missing, none
there twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions, Part
from internvl_ops.media_reader import MediaReader, MediaRef, ReadLimits, Unit
from pipelines import columns as c
from pipelines.ledger.ledger import Ledger
from pipelines.stages import wire
from pipelines.stages.explode import Explode
from testing import office_files
from testing.born_digital import BAD, GOOD, make_page, pdf
from testing.corpus_documents import Document, bomb, make, scan, scanned
from testing.corpus_pages import archive, image_file, locked, picture, raw_tiff, tiff
from tests.pipelines.stages.rows import manifest_rows

Make = Callable[[int], "Expected"]


@dataclass(frozen=True)
class Expected:
    """A document and what becomes of it: pages that are read, and kinds of errors."""

    data: bytes
    read: int
    errors: tuple[str, ...] = ()


def comic(pages: int) -> bytes:
    return archive({f"{number}.png": image_file(number) for number in range(1, pages + 1)})


def broken_page(pages: int) -> bytes:
    return archive(
        {
            "0.png": b"no picture",
            **{f"{number}.png": image_file(1) for number in range(1, pages + 1)},
        }
    )


KINDS: dict[str, Make] = {
    "plain.pdf": lambda n: Expected(make(Document(pages=n)), n),
    "huge.pdf": lambda n: Expected(make(Document(pages=n, size=(14_400, 14_400))), n),
    "locked.pdf": lambda n: Expected(
        make(Document(pages=n, user_password="secret")), 0, ("unsupported",)
    ),
    "cut.pdf": lambda n: Expected(make(Document(pages=n))[:200], 0, ("corrupt",)),
    "fax.tif": lambda n: Expected(
        tiff([picture(i, mode="1") for i in range(1, n + 1)], compression="group4", dpi=(204, 98)),
        n,
    ),
    "raw.tiff": lambda n: Expected(raw_tiff(range(n)), n),
    "cut.tif": lambda n: Expected(raw_tiff(range(n + 1))[: 8 + 550 * n], n, ("corrupt",)),
    "circle.tif": lambda n: Expected(raw_tiff(range(n), circle=True), 0, ("corrupt",)),
    "picture.tif": lambda n: Expected(image_file(1), 0, ("unsupported",)),
    "comic.cbz": lambda n: Expected(comic(n), n),
    "broken.cbz": lambda n: Expected(broken_page(n), n, ("unsupported",)),
    "locked.cbz": lambda n: Expected(locked(comic(n)), 0, ("unsupported",) * n),
    "bomb.cbz": lambda n: Expected(archive({"1.png": bytes(100 << 20)}), 0, ("too_large",)),
    "word.docx": lambda n: Expected(office_files.docx(["x"] * n), 0, ("unsupported",)),
    "really.docx": lambda n: Expected(make(Document(pages=n)), n),
    "empty.pdf": lambda n: Expected(b"", 0, ("corrupt",)),
}


def born_digital(kind: str) -> Make:
    return lambda n: Expected(pdf([make_page(kind, seed) for seed in range(n)]), n)


def tiff_of(mode: str, **how: Any) -> Make:
    return lambda n: Expected(tiff([picture(i, mode=mode) for i in range(1, n + 1)], **how), n)


MORE_KINDS: dict[str, Make] = {
    **{f"{kind.replace(' ', '_')}.pdf": born_digital(kind) for kind in (*GOOD, *BAD)},
    "scanned.pdf": lambda n: Expected(scanned(*(scan(i, 620, 877) for i in range(n))), n),
    "turned.pdf": lambda n: Expected(make(Document(pages=n, rotate=270)), n),
    "open_encrypted.pdf": lambda n: Expected(make(Document(pages=n, user_password="")), n),
    "sliver.pdf": lambda n: Expected(make(Document(pages=n, size=(3, 700))), n),
    "stream_bomb.pdf": lambda n: Expected(bomb("stream"), 0, ("too_large",)),
    "zeros.pdf": lambda n: Expected(bytes(5000), 0, ("corrupt",)),
    "really_text.pdf": lambda n: Expected(b"no document " * n, 0, ("unsupported",)),
    "lzw.tif": tiff_of("L", compression="tiff_lzw"),
    "jpeg.tif": tiff_of("RGB", compression="jpeg"),
    "deflate.tif": tiff_of("RGB", compression="tiff_adobe_deflate"),
    "g3.tiff": tiff_of("1", compression="group3"),
    "empty.tif": lambda n: Expected(b"", 0, ("corrupt",)),
    "renamed.tif": lambda n: Expected(make(Document(pages=n)), n),
    "not_a_zip.cbz": lambda n: Expected(b"PK no zip" * n, 0, ("unsupported",)),
}


@pytest.mark.parametrize(
    ("kinds", "documents"),
    [
        pytest.param(KINDS, 60, id="60"),
        pytest.param(KINDS | MORE_KINDS, 300, id="300", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
def test_pages_and_errors_add_up(
    kinds: dict[str, Make], documents: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without LibreOffice
    draw = random.Random(22)
    names = [*kinds, *draw.choices([*kinds], k=documents - len(kinds))]
    expected = {
        f"{number}-{name}": kinds[name](draw.randint(1, 4)) for number, name in enumerate(names)
    }
    assert len(expected) == documents
    for name, document in expected.items():
        (tmp_path / name).write_bytes(document.data)

    options = DecodeOptions(kind="document", image=ImageOptions(max_tiles=1))
    reader = MediaReader(ReadPolicy(str(tmp_path)), options, ReadLimits(decode_memory_mib=1024))
    ledger = Ledger()
    rows = manifest_rows(
        list(expected), **{c.MEDIA: [[{"uri": str(tmp_path / n), "bytes": None}] for n in expected]}
    )
    ledger.claim(rows[c.ID].to_pylist(), rows[c.POSITION].to_pylist())
    units = Explode(lambda: reader, ledger)(rows)
    assert isinstance(units, pa.Table)

    read: Counter[str] = Counter()
    errors: dict[str, list[str]] = {}
    for row in range(len(units)):
        unit = units.slice(row, 1)
        name = unit[c.ID][0].as_py().partition("#page=")[0]
        failed = unit[c.ERROR][0].as_py()
        if failed is not None:
            errors.setdefault(name, []).append(failed["kind"])
            continue
        part = wire.decode_part(unit) or Part()
        ((_, _, source),) = reader.files([Unit([], [MediaRef(str(tmp_path / name))], part)])
        found = (
            source
            if isinstance(source, UnitError)
            else reader.load(source, Unit([], [MediaRef(name)], part), 0)
        )
        if isinstance(found, UnitError):
            # whichever limit a bomb meets first
            is_limit = "bomb" in name and found.kind in ("decoder_crashed", "timeout")
            errors.setdefault(name, []).append("too_large" if is_limit else found.kind)
        else:
            read[name] += 1
    reader.close()
    outcome = {name: (read[name], tuple(errors.get(name, ()))) for name in expected}
    assert outcome == {
        name: (document.read, document.errors) for name, document in expected.items()
    }
    assert len(set(units[c.ID].to_pylist())) == len(units)
