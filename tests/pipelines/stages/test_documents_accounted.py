"""Each page of a folder of documents, good and hostile, is read or an error: none is missing, none
there twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
from testing.corpus_documents import Document, make
from testing.corpus_pages import archive, image_file, locked, picture, raw_tiff, tiff
from tests.pipelines.stages.rows import manifest_rows

DOCUMENTS = 60


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


KINDS: dict[str, Callable[[int], Expected]] = {
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


def test_pages_and_errors_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without LibreOffice
    draw = random.Random(22)
    names = [*KINDS, *draw.choices([*KINDS], k=DOCUMENTS - len(KINDS))]
    expected = {
        f"{number}-{name}": KINDS[name](draw.randint(1, 4)) for number, name in enumerate(names)
    }
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
            errors.setdefault(name, []).append(found.kind)
        else:
            read[name] += 1
    reader.close()
    outcome = {name: (read[name], tuple(errors.get(name, ()))) for name in expected}
    assert outcome == {
        name: (document.read, document.errors) for name, document in expected.items()
    }
    assert len(set(units[c.ID].to_pylist())) == len(units)
