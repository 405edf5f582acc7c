"""Text manifests as programs of all kinds write them: encodings, ends of lines, compression."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from tests.pipelines.manifests import errors, notes, plan_of, read_manifest, uris

ROWS = [{"image": f"{n} é.jpg", "note": f"note {n}"} for n in range(50)]
TEXTS = {
    "m.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
    "m.csv": "image,note\n" + "".join(f"{row['image']},{row['note']}\n" for row in ROWS),
    "m.tsv": "image\tnote\n" + "".join(f"{row['image']}\t{row['note']}\n" for row in ROWS),
    "m.txt": "".join(f"{row['image']}\n" for row in ROWS),
}
IMAGES = [[row["image"]] for row in ROWS]


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_encoding_and_end_of_line(
    tmp_path: Path, name: str, newline: str, encoding: str, marked: bool
) -> None:
    mark = "\ufeff" if marked or encoding.startswith("utf-32") else ""
    (tmp_path / name).write_bytes((mark + TEXTS[name].replace("\n", newline)).encode(encoding))
    table = read_manifest(tmp_path / name)
    assert not errors(table)
    assert uris(table) == IMAGES


@pytest.mark.parametrize("name", ["m.jsonl", "m.txt"])
def test_files_that_were_put_together_have_marks_within(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(TEXTS[name].encode("utf-8-sig") * 2)
    table = read_manifest(tmp_path / name)
    assert not errors(table)
    assert uris(table) == IMAGES * 2


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files_that_were_put_together(tmp_path: Path, suffix: str, pack) -> None:
    data = pack(TEXTS["m.jsonl"].encode())
    (tmp_path / f"m.jsonl.{suffix}").write_bytes(data + data)
    assert uris(read_manifest(tmp_path / f"m.jsonl.{suffix}")) == IMAGES * 2


def test_zeros_behind_a_gzip_file_are_no_damage(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(TEXTS["m.jsonl"].encode()) + bytes(10_000))
    table = read_manifest(tmp_path / "m.jsonl.gz")
    assert not errors(table)
    assert uris(table) == IMAGES


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-20],
        lambda data: data[:-8] + bytes(4) + data[-4:],
        lambda data: data + b"something else",
    ],
)
def test_a_gzip_file_keeps_every_row_before_its_damage(tmp_path: Path, harm) -> None:
    (tmp_path / "m.jsonl.gz").write_bytes(harm(gzip.compress(TEXTS["m.jsonl"].encode(), 0)))
    table = read_manifest(tmp_path / "m.jsonl.gz")
    (place,) = errors(table)
    assert "cannot be decompressed" in errors(table)[place]
    assert [image for image in uris(table) if image] == IMAGES[: len(table) - 1]
    assert len(table) in (50, 51)


@pytest.mark.parametrize("at", [0.6, 0.95])
def test_damage_within_a_gzip_file_costs_what_follows(tmp_path: Path, at: float) -> None:
    data = bytearray(gzip.compress(TEXTS["m.jsonl"].encode()))
    place = int(len(data) * at)
    data[place : place + 40] = b"\xff" * 40
    (tmp_path / "m.jsonl.gz").write_bytes(data)
    table = read_manifest(tmp_path / "m.jsonl.gz")
    assert errors(table)
    found = [image for image in uris(table) if image]
    assert len(found) > 50 * at * 0.3


def test_objects_whose_keys_are_data_are_kept_as_json(tmp_path: Path) -> None:
    rows = [{"image": f"{n}.jpg", "scores": {f"label {n}": n / 2}} for n in range(1_000)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read_manifest(tmp_path / "m.jsonl")
    assert not notes(table)
    assert [json.loads(value) for value in table["scores"].to_pylist()] == [
        row["scores"] for row in rows
    ]


def test_media_written_in_several_ways(tmp_path: Path) -> None:
    rows = ["a.jpg", {"path": "b.jpg", "bytes": None}, {"path": "c.jpg"}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps({"image": row}) + "\n" for row in rows))
    assert uris(read_manifest(tmp_path / "m.jsonl")) == [["a.jpg"], ["b.jpg"], ["c.jpg"]]
    rows = ["a.jpg", {"path": "b.jpg"}, ["c.jpg", {"path": "d.jpg"}]]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps({"image": row}) + "\n" for row in rows))
    assert uris(read_manifest(tmp_path / "m.jsonl")) == [["a.jpg"], ["b.jpg"], ["c.jpg", "d.jpg"]]


def test_lists_of_lists_of_media_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"image": [["a.jpg"]]}))
    with pytest.raises(ConfigurationError, match="Column 'image' is list<item: list"):
        plan_of(tmp_path / "m.jsonl")


def test_texts_with_tabs_and_newlines_in_json(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"image": "a.jpg", "note": "one\ttwo"}\n')
    assert read_manifest(tmp_path / "m.jsonl")["note"].to_pylist() == ["one\ttwo"]


def test_keys_that_differ_only_in_what_is_cut_are_two_columns(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"image": "a.jpg", "\\ud83d": 1, "\\ud83e": 2}\n')
    row = read_manifest(tmp_path / "m.jsonl").select(["\ufffd", "\ufffd\ufffd"]).to_pylist()[0]
    assert list(row.values()) == [1, 2]
