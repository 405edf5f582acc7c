"""Documents whose pages are images: TIFF files of several pages, and comic book archives."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from internvl_ops.errors import UnitError
from internvl_ops.media.display import display
from internvl_ops.media.document import DocumentOptions
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions, Part, list_parts, load
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.tiff_pages import has_several_pages
from testing.corpus_pages import archive, image_file, locked, number_of, picture, raw_tiff, tiff

OPTIONS = DecodeOptions(kind="document", image=ImageOptions(max_tiles=1))
NUMBERS = [7, 30, 2, 99, 51]


def shown(source: bytes | str, page: int, options: DecodeOptions = OPTIONS) -> int:
    loaded = load(source, Part(page=page), options, 1)
    return number_of(loaded.tiles[0].transpose(1, 2, 0))


def numbers(source: bytes | str) -> list[int]:
    return [shown(source, part.page or 0) for part in list_parts(source, OPTIONS)]


def failure(
    source: bytes | str, page: int | None = None, options: DecodeOptions = OPTIONS
) -> UnitError:
    with pytest.raises(UnitError) as caught:
        list_parts(source, options) if page is None else shown(source, page, options)
    return caught.value


class TestTiff:
    @pytest.mark.parametrize(
        ("mode", "options"),
        [
            ("1", {"compression": "group4"}),
            ("1", {"compression": "group3"}),
            ("1", {"compression": "group4", "big_tiff": True}),
            ("L", {"compression": "jpeg"}),
            ("L", {"compression": "tiff_lzw"}),
            ("RGB", {"compression": "jpeg"}),
            ("RGB", {"compression": "tiff_adobe_deflate"}),
            ("RGB", {}),
        ],
        ids=repr,
    )
    def test_each_page_is_read_as_it_was_written(self, mode: str, options: dict) -> None:
        pages = [picture(number).convert(mode) for number in NUMBERS]
        assert numbers(tiff(pages, **options)) == NUMBERS

    @given(st.lists(st.integers(0, 99), min_size=1, max_size=12), st.sampled_from("<>"))
    def test_pages_come_in_their_order(self, wanted: list[int], order: str) -> None:
        assert numbers(raw_tiff(wanted, order)) == wanted

    def test_a_page_is_what_it_is_as_an_image(self) -> None:
        page = picture(30, mode="RGB")
        options = DecodeOptions(kind="document")
        alone = load(tiff([page]), Part(), DecodeOptions(kind="image"), 12)
        second = load(tiff([picture(7), page]), Part(page=2), options, 12)
        np.testing.assert_array_equal(second.tiles, alone.tiles)
        assert (second.width, second.height, second.notes) == (alone.width, alone.height, [])

    def test_smaller_copies_and_masks_are_no_pages(self) -> None:
        assert numbers(raw_tiff([7, 8, 9, 10], subfiles=[0, 1, 2, 4])) == [7, 9]

    def test_the_pixels_of_a_fax_are_made_square(self) -> None:
        fax = tiff([picture(7), picture(30)], dpi=(204, 98))
        read = load(fax, Part(page=2), DecodeOptions(kind="document"), 12)
        assert (read.width, read.height) == (300, round(200 * 204 / 98))
        assert any("square" in note for note in read.notes)
        seen = display(fax, Part(page=2), OPTIONS, 1000).pictures[0]
        assert seen.shape[:2] == (round(200 * 204 / 98), 300)
        assert number_of(seen) == 30

    def test_a_fax_that_lies_on_its_side_is_stretched_along_the_paper(self) -> None:
        tags = {274: 6}
        fax = tiff([picture(7)], dpi=(204, 98), tiffinfo=tags)
        read = load(fax, Part(page=1), DecodeOptions(kind="document"), 12)
        assert (read.width, read.height) == (round(200 * 204 / 98), 300)

    def test_pictures_for_a_server_are_the_same_pages(self) -> None:
        options = DecodeOptions(kind="document", as_pictures=True)
        loaded = load(tiff([picture(7), picture(30)]), Part(page=2), options, 1)
        assert (
            number_of(np.asarray(Image.open(io.BytesIO(loaded.pictures[0])).convert("RGB"))) == 30
        )

    def test_ten_thousand_pages_are_read_in_the_memory_of_a_few(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.tif"
        path.write_bytes(raw_tiff(number % 100 for number in range(10_000)))
        with Sandbox(readable=[str(tmp_path)], memory_limit=256 << 20) as sandbox:
            assert len(sandbox.call(list_parts, str(path), OPTIONS)) == 10_000
            for page in (1, 5_000, 10_000):
                loaded = sandbox.call(load, str(path), Part(page=page), OPTIONS, 1)
                assert number_of(loaded.tiles[0].transpose(1, 2, 0)) == (page - 1) % 100

    def test_more_pages_than_allowed_are_refused_with_the_mend(self) -> None:
        few = DecodeOptions(kind="document", document=DocumentOptions(max_pages=3))
        assert len(list_parts(raw_tiff([1, 2, 3]), few)) == 3
        error = failure(raw_tiff([1, 2, 3, 4]), options=few)
        assert error.kind == "too_large"
        assert "max_pages" in error.message

    def test_directories_in_a_circle_are_refused(self) -> None:
        error = failure(raw_tiff([1, 2, 3], circle=True))
        assert error.kind == "corrupt"
        assert "circle" in error.message

    def test_a_file_that_ends_early_keeps_its_pages_and_says_that_more_are_missing(self) -> None:
        whole = raw_tiff([7, 30, 2])
        cut = whole[: 8 + 2 * 550]  # where the third page begins
        assert len(list_parts(cut, OPTIONS)) == 3
        assert [shown(cut, page) for page in (1, 2)] == [7, 30]
        error = failure(cut, 3)
        assert error.kind == "corrupt"
        assert "fetch it again" in error.message

    def test_a_page_without_its_end_fails_alone(self) -> None:
        cut = raw_tiff([7, 30])[:-200]
        assert shown(cut, 1) == 7
        assert failure(cut, 2).kind == "corrupt"

    @given(st.binary(max_size=200), st.integers(0, 600))
    def test_damage_is_a_unit_error(self, noise: bytes, at: int) -> None:
        whole = raw_tiff([7, 30])
        damaged = whole[:at] + noise + whole[at + len(noise) :]
        with contextlib.suppress(UnitError):
            for part in list_parts(damaged, OPTIONS):
                load(damaged, part, OPTIONS, 1)

    @pytest.mark.parametrize("big", [False, True])
    def test_whether_there_are_several_is_seen_from_a_few_bytes(self, big: bool) -> None:
        assert not has_several_pages(io.BytesIO(tiff([picture(1)], big_tiff=big)))
        assert has_several_pages(io.BytesIO(tiff([picture(1), picture(2)], big_tiff=big)))


class TestArchives:
    def test_pages_come_in_the_order_of_their_numbers(self) -> None:
        names = {"p10.png": 10, "P2.jpg": 2, "p1.webp": 1, "b/0.png": 99}
        files = {
            name: image_file(
                number, {"jpg": "JPEG", "webp": "WEBP"}.get(name[-3:].strip("."), "PNG")
            )
            for name, number in names.items()
        }
        assert numbers(archive(files)) == [99, 1, 2, 10]

    def test_what_is_no_page_is_left_out(self) -> None:
        others = {
            "ComicInfo.xml": b"<a/>",
            "__MACOSX/._1.png": b"x",
            ".thumb.png": b"x",
            "notes.txt": b"x",
        }
        assert numbers(archive({"1.png": image_file(7), **others})) == [7]

    @pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_other_packings_are_read(self, packed: int, tmp_path: Path) -> None:
        (tmp_path / "a.cbz").write_bytes(
            archive({"1.png": image_file(7), "2.png": image_file(8)}, packed)
        )
        assert numbers(str(tmp_path / "a.cbz")) == [7, 8]

    def test_a_damaged_page_fails_alone(self) -> None:
        whole = archive({"1.png": image_file(7), "2.png": image_file(8)}, zipfile.ZIP_STORED)
        at = whole.index(b"IDAT")
        damaged = whole[: at + 9] + b"\0\0\0\0" + whole[at + 13 :]
        assert failure(damaged, 1).kind == "corrupt"
        assert shown(damaged, 2) == 8

    @pytest.mark.parametrize(
        ("data", "kind", "said"),
        [
            (archive({"1.png": image_file(7)})[:-30], "corrupt", "ends early"),
            (archive({"1.txt": b"x"}), "unsupported", "without an image"),
            (archive({"1.png": b"\0" * (100 << 20)}), "too_large", "unpacks to"),
            (b"Rar!\x1a\x07\x01\x00", "unsupported", "RAR"),
            (
                archive({"mimetype": b"application/epub+zip", "cover.png": image_file(7)}, 0),
                "unsupported",
                "EPUB book, not a PDF, TIFF or CBZ; convert it to PDF, as ebook-convert",
            ),
            (
                archive({"[Content_Types].xml": b"", "FixedDocumentSequence.fdseq": b""}),
                "unsupported",
                "XPS document, not a PDF, TIFF or CBZ; convert it to PDF, as xpstopdf",
            ),
            (
                archive({"[Content_Types].xml": b"", "word/media/1.png": image_file(7)}),
                "unsupported",
                "Word",
            ),
        ],
        ids=["cut", "empty", "bomb", "wrong suffix", "EPUB", "XPS", "Word"],
    )
    def test_others_are_refused_in_words(self, data: bytes, kind: str, said: str) -> None:
        error = failure(data)
        assert (error.kind, said in error.message) == (kind, True), error.message

    def test_an_encrypted_page_is_refused(self) -> None:
        error = failure(locked(archive({"1.png": image_file(7)})), 1)
        assert error.kind == "unsupported"
        assert "encrypted" in error.message

    def test_more_pages_than_allowed_are_refused(self) -> None:
        few = DecodeOptions(kind="document", document=DocumentOptions(max_pages=1))
        assert (
            failure(archive({"1.png": image_file(7), "2.png": image_file(8)}), options=few).kind
            == "too_large"
        )


def test_a_page_that_is_not_there_is_a_bad_row() -> None:
    for source in (raw_tiff([7]), archive({"1.png": image_file(7)})):
        assert failure(source, 2).kind == "bad_row"


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(raw_tiff([7, 8]))
    assert numbers(str(path)) == [7, 8]
    path.write_bytes(archive({"1.png": image_file(9)}))
    assert numbers(str(path)) == [9]


def test_pages_have_no_text_layer() -> None:
    options = DecodeOptions(kind="document", text_layer="compare")
    layer = load(raw_tiff([7]), Part(page=1), options, 1).seen.layer
    assert layer is not None
    assert layer.doubts == ("no_text",)
