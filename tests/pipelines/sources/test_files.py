"""A directory or glob of media files as the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testing.corpus_pages import raw_tiff
from tests.pipelines.manifests import errors, plan_of, read_manifest, read_plan, uris


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shown = ["b.JPG", "a.png", "sub/c.webp", "sub/deep/d.tiff", "n.txt", "v.mp4", "p.pdf"]
    for name in [*shown, ".hidden.png", ".h/x.png"]:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("pattern", "options", "found"),
    [
        ("", {}, ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.tiff"]),
        ("/", {"format": "files"}, ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.tiff"]),
        ("", {"recursive": False}, ["a.png", "b.JPG"]),
        ("", {"video_column": "video"}, ["v.mp4"]),
        ("", {"document_column": "pdf"}, ["p.pdf", "sub/deep/d.tiff"]),
        ("/*.png", {}, ["a.png"]),
        ("/**/*.tiff", {}, ["sub/deep/d.tiff"]),
        ("/sub/*", {}, ["c.webp"]),
        ("/n.*", {"format": "files"}, None),
        ("/b.JPG", {}, ["b.JPG"]),
    ],
    ids=repr,
)
def test_lists_what_is_asked_for(
    folder: Path, pattern: str, options: dict, found: list | None
) -> None:
    if found is None:
        with pytest.raises(Exception, match="no file with a known suffix"):
            read_manifest(f"{folder}{pattern}", **options)
        return
    plan = plan_of(f"{folder}{pattern}", **options)
    table = read_plan(plan)
    assert table["id"].to_pylist() == found
    assert uris(table) == [[f"{plan.base}/{name}"] for name in found]
    assert all(Path(item[0]).exists() for item in uris(table))


def test_a_long_listing_is_cut_up_and_a_longer_one_streamed_with_the_same_rows(
    folder: Path, monkeypatch
) -> None:
    whole = read_manifest(folder)
    monkeypatch.setattr("pipelines.sources.files._ENTRIES_A_SPLIT", 3)
    cut = plan_of(folder)
    monkeypatch.setattr("pipelines.sources.files._LISTED_AT_START", 3)
    streamed = plan_of(folder)
    assert (len(cut.splits), len(streamed.splits), streamed.total_rows) == (2, 1, None)
    assert read_plan(cut).equals(whole)
    assert read_plan(streamed, batch_rows=3).equals(whole)


@pytest.mark.parametrize(
    ("pattern", "options", "left_out"),
    [
        ("", {"format": "files"}, {".txt": 1, ".mp4": 1, ".pdf": 1}),
        ("", {"format": "files", "recursive": False}, {".txt": 1, ".mp4": 1, ".pdf": 1}),
        ("", {"document_column": "pdf"}, {".jpg": 1, ".png": 1, ".txt": 1, ".webp": 1, ".mp4": 1}),
        ("/*", {"format": "files"}, {".txt": 1, ".mp4": 1, ".pdf": 1}),
        ("/sub/*", {}, {}),
        ("/*.png", {}, {}),
        ("/b.JPG", {}, {}),
    ],
    ids=repr,
)
def test_files_that_are_not_read_are_counted_by_suffix(
    folder: Path, pattern: str, options: dict, left_out: dict
) -> None:
    plan = plan_of(f"{folder}{pattern}", **options)
    assert plan.left_out == left_out
    assert bool(plan.left_out_in_words) == bool(left_out)


def test_a_line_says_what_is_left_out_whatever_the_files_are_called(
    tmp_path: Path, monkeypatch
) -> None:
    names = [
        "a.png",
        "LICENSE",
        "dot.",
        "x.sen tence that is no suffix at all",
        *(f"f.s{n}" for n in range(70)),
    ]
    for name in [*names, "two.s1"]:
        (tmp_path / name).touch()
    (tmp_path / b"odd.\xff".decode(errors="surrogateescape")).touch()
    plan = plan_of(tmp_path)
    assert sum(plan.left_out.values()) == 75
    assert len(plan.left_out) <= 52
    assert plan.left_out["no suffix"] == plan.left_out[".s1"] == 2
    json.dumps(plan.left_out, ensure_ascii=False).encode()
    words = plan.left_out_in_words
    assert words.startswith("75 of 76 files are left out: by their suffix they are no images (")
    assert "2 × .s1" in words
    assert len(words) < 300
    monkeypatch.setattr("pipelines.sources.files._LISTED_AT_START", 10)
    assert "of the first 10 files" in plan_of(tmp_path).left_out_in_words


def test_links_that_go_round_in_circles_end(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder)
    assert read_manifest(folder)["id"].to_pylist()[:2] == ["a.png", "b.JPG"]


def test_names_with_odd_characters(tmp_path: Path) -> None:
    names = ["a b#1?.png", "glob[1]*.png", "zeile\n2.png", "图.png"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / b"\xff.png".decode(errors="surrogateescape")).touch()
    table = read_manifest(tmp_path)
    assert table["id"].to_pylist() == [*names, "\\xff.png"]
    assert "not UTF-8" in next(iter(errors(table).values()))
    assert len(read_manifest(tmp_path / "glob[1]*.png")) == 1


def test_captions_beside_the_images_do_not_make_the_folder_ambiguous(folder: Path) -> None:
    assert plan_of(folder).format == "files"


@pytest.mark.parametrize(
    ("files", "page_by_page", "kind"),
    [
        ({"a.tif": 1, "b.tif": 1}, True, "image"),
        ({"a.tif": 1, "b.tif": 2}, True, "document"),
        ({"a.tif": 1, "b.tif": 2}, False, "image"),
        ({"a.tif": 1, "b.tif": 1, "c.pdf": 1}, False, "document"),
        ({"a.tif": 2, "b.png": 1}, True, "image"),
        ({"a.tif": 2, "b.png": 1, "c.cbz": 1, "d.pdf": 1}, True, "document"),
    ],
)
def test_a_tiff_is_a_document_or_an_image_by_what_is_beside_it(
    tmp_path: Path, files: dict[str, int], page_by_page: bool, kind: str
) -> None:
    for name, pages in files.items():
        (tmp_path / name).write_bytes(raw_tiff(range(pages)))
    plan = plan_of(str(tmp_path), page_by_page=page_by_page)
    assert plan.media_kind == kind
    assert len(read_plan(plan)) == sum(
        1 for name in files if kind == "document" or name[-3:] in ("tif", "png")
    ) - (kind == "document" and "b.png" in files)


def test_a_damaged_tiff_does_not_hinder_the_look(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no TIFF")
    assert plan_of(str(tmp_path), page_by_page=True).media_kind == "image"
    (tmp_path / "b.tif").write_bytes(raw_tiff([1, 2]))
    assert plan_of(str(tmp_path), page_by_page=True).media_kind == "document"
