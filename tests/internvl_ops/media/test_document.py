"""What a page looks like, and what is said of documents that cannot be read."""

import numpy as np
import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import UnitError
from internvl_ops.media.document import DocumentOptions, count_pages, render_page, render_pages
from internvl_ops.media.image import TiledImage
from internvl_ops.media.page_ranges import select_pages
from internvl_ops.media.sandbox import Sandbox
from internvl_ops.media.tiling import choose_grid, tile_image
from testing.corpus_documents import Document, bomb, make, scan, scanned

A4 = make(Document(pages=3, lines=30))


def whole(page: TiledImage, columns: int, rows: int) -> np.ndarray:
    """The page put together from its tiles, uint8 (height, width, 3)."""
    tiles = page.tiles[: columns * rows].transpose(0, 2, 3, 1)
    lines = [
        np.concatenate(tiles[row * columns : (row + 1) * columns], axis=1) for row in range(rows)
    ]
    return np.ascontiguousarray(np.concatenate(lines))


def bar_length(picture: np.ndarray) -> int:
    """The page number painted into it, in hundredths of the width."""
    row = picture[int(picture.shape[0] * 0.45)].mean(axis=1)
    return round(100 * int((row < 128).sum()) / len(row))


def failure(function, *arguments) -> UnitError:
    with pytest.raises(UnitError) as caught:
        function(*arguments)
    assert caught.value.stage == "decode"
    return caught.value


class TestPages:
    def test_they_are_counted(self):
        assert count_pages(A4) == 3

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_the_page_asked_for_is_rendered(self, number):
        assert bar_length(whole(render_page(A4, number), 2, 3)) == number

    def test_several_at_once_are_the_same_pages(self):
        for number, page in zip([3, 1], render_pages(A4, [3, 1]), strict=True):
            np.testing.assert_array_equal(page.tiles, render_page(A4, number).tiles)

    def test_one_that_is_not_there_is_a_bad_row_and_costs_only_itself(self):
        first, second = render_pages(A4, [9, 2])
        assert first.kind == "bad_row"
        assert "3 pages" in first.message
        assert bar_length(whole(second, 2, 3)) == 2
        assert failure(render_page, A4, 0).kind == "bad_row"

    def test_a_path_does_as_well_as_bytes(self, tmp_path):
        (tmp_path / "a.pdf").write_bytes(A4)
        assert count_pages(str(tmp_path / "a.pdf")) == 3
        np.testing.assert_array_equal(
            render_page(str(tmp_path / "a.pdf"), 2).tiles, render_page(A4, 2).tiles
        )

    def test_a_file_that_is_replaced_is_read_anew(self, tmp_path):
        path = tmp_path / "a.pdf"
        path.write_bytes(A4)
        assert bar_length(whole(render_page(str(path), 2), 2, 3)) == 2
        path.write_bytes(make(Document(pages=1, size=(842, 595))))
        assert count_pages(str(path)) == 1
        assert render_page(str(path), 1).width > render_page(A4, 1).width
        path.write_bytes(b"no longer a document")
        assert failure(count_pages, str(path)).kind == "unsupported"
        path.write_bytes(A4)
        assert count_pages(str(path)) == 3

    def test_any_page_of_a_long_document_is_rendered_without_the_others(self):
        document = make(Document(pages=2000, lines=5))
        assert count_pages(document) == 2000
        assert bar_length(whole(render_page(document, 1942), 2, 3)) == 42


class TestSize:
    def test_without_dpi_a_page_fills_the_grid_of_its_shape(self):
        page = render_page(A4, 1)
        assert choose_grid(595_000, 842_000) == (2, 3)
        assert page.tiles.shape == (7, 3, 448, 448)
        assert page.tiles.dtype == np.uint8
        assert (page.width, page.height) == (950, 1344)
        assert page.notes == ["rendered at 115 dpi"]

    def test_more_tiles_give_a_larger_page(self):
        page = render_page(A4, 1, DocumentOptions(max_tiles=24))
        assert len(page.tiles) == 25  # 4x6 and the thumbnail
        assert page.height == 6 * 448

    def test_the_thumbnail_is_the_whole_page(self):
        page = render_page(A4, 2)
        expected = tile_image(whole(page, 2, 3), max_tiles=1)
        np.testing.assert_array_equal(page.tiles[-1], expected[0])
        assert len(render_page(A4, 2, DocumentOptions(thumbnail=False)).tiles) == 6
        assert len(render_page(A4, 2, DocumentOptions(max_tiles=1)).tiles) == 1

    def test_tile_size_comes_from_the_checkpoint(self):
        assert render_page(A4, 1, DocumentOptions(tile_size=224)).tiles.shape == (7, 3, 224, 224)

    @pytest.mark.parametrize("dpi", [144, 150, 97])
    def test_at_a_dpi_the_pixels_are_pdfiums_own(self, dpi):
        page = render_page(A4, 1, DocumentOptions(dpi=dpi, resize="exact"))
        alone = pypdfium2.PdfDocument(A4)[0].render(scale=dpi / 72, rev_byteorder=True).to_numpy()
        assert (page.height, page.width) == alone.shape[:2]
        np.testing.assert_array_equal(page.tiles, tile_image(alone, resize="exact"))

    def test_a_turned_page_is_upright(self):
        page = render_page(make(Document(rotate=90)), 1, DocumentOptions(dpi=72, max_tiles=1))
        assert (page.width, page.height) == (842, 595)
        red = page.tiles[0][:, 20, -20]  # painted at the top left, now at the top right
        assert red[0] > 200
        assert red[1] < 50

    def test_a_scan_is_rendered(self):
        page = render_page(scanned(scan(1), scan(2)), 2)
        assert page.tiles.shape == (7, 3, 448, 448)
        assert 200 < page.tiles.mean() < 255

    @pytest.mark.parametrize(
        "size", [(200_000, 200_000), (100_000, 1), (1, 100_000), (14_400, 14_400), (0.01, 0.01)]
    )
    @pytest.mark.parametrize("dpi", [None, 600])
    def test_a_page_of_enormous_or_no_size_is_rendered_within_the_limit(self, size, dpi):
        options = DocumentOptions(dpi=dpi, max_pixels=4_000_000)
        page = render_page(make(Document(pages=1, size=size)), 1, options)
        assert len(page.tiles) <= 13
        if dpi is not None:
            assert page.width * page.height <= 4_000_000

    @pytest.mark.parametrize("dpi", [None, 150])
    @pytest.mark.parametrize(
        "size",
        [
            (1, 10**9),
            (10**9, 1),
            (10**9, 10**9),
            (2_000_000, 3),
            ("0.001", 900_000),
            (1, 10**37),
            ("0.00001", "0.00001"),
        ],
    )
    def test_an_absurd_size_is_an_error_of_its_page_or_fits_the_columns(self, size, dpi):
        box = b"[0 0 %s %s]" % tuple(str(side).encode() for side in size)
        plain = make(Document(pages=2, size=(595, 842))).replace(b"[0 0 595 842]", box)
        page = render_pages(plain, [1], DocumentOptions(dpi=dpi))[0]
        if isinstance(page, UnitError):
            assert page.kind in ("too_large", "corrupt")
            assert "points" in page.message
        else:
            assert 1 <= min(page.width, page.height) <= max(page.width, page.height) < 2**31

    def test_a_lower_resolution_is_told(self):
        page = render_page(
            make(Document(size=(14_400, 14_400))), 1, DocumentOptions(dpi=300, max_pixels=9_000_000)
        )
        assert page.notes == ["rendered at 15 dpi instead of 300: the page is very large"]


class TestSelectPages:
    @pytest.mark.parametrize(
        ("ranges", "count", "pages"),
        [
            ("1-3,7", 10, [1, 2, 3, 7]),
            ("", 3, [1, 2, 3]),
            ("8-", 10, [8, 9, 10]),
            ("3, 1 , 2-3", 10, [1, 2, 3]),
            ("2-900", 4, [2, 3, 4]),
            ("7", 3, []),
            ("7-", 3, []),
        ],
    )
    def test_ranges(self, ranges, count, pages):
        assert select_pages(ranges, count) == pages

    @pytest.mark.parametrize("ranges", ["0", "3-1", "a", "1,,2", "-3", "1-2-3", "1.5", ","])
    def test_what_cannot_be_read_is_said(self, ranges):
        with pytest.raises(ValueError, match="1-3,7"):
            select_pages(ranges, 10)

    @given(st.sets(st.integers(1, 50)), st.integers(0, 60))
    def test_single_pages_are_those_that_are_there(self, numbers, count):
        ranges = ",".join(map(str, numbers)) or "99"
        assert select_pages(ranges, count) == sorted(
            number for number in numbers if number <= count
        )


class TestWhatIsNoGoodDocument:
    def test_one_that_asks_for_a_password(self):
        error = failure(count_pages, make(Document(user_password="s3cret")))
        assert error.kind == "unsupported"
        assert "`password`" in error.message

    def test_the_right_password_opens_it_and_is_never_shown(self, tmp_path):
        encrypted = make(Document(user_password="s3cret"))
        right, wrong = DocumentOptions(password="s3cret"), DocumentOptions(password="gu3ss")
        assert bar_length(whole(render_page(encrypted, 2, right), 2, 3)) == 2
        assert count_pages(A4, right) == 3
        (tmp_path / "a.pdf").write_bytes(encrypted)
        assert count_pages(str(tmp_path / "a.pdf"), right) == 3
        for source in (encrypted, str(tmp_path / "a.pdf")):
            error = failure(count_pages, source, wrong)
            assert error.kind == "unsupported"
            assert "does not open" in error.message
            assert "gu3ss" not in error.message + repr(wrong)

    def test_one_encrypted_for_everybody_to_read_is_read(self):
        document = make(Document(user_password=""))
        assert bar_length(whole(render_page(document, 2), 2, 3)) == 2

    @pytest.mark.parametrize(
        ("data", "kind", "told"),
        [
            (b"", "corrupt", "0 bytes"),
            (A4[:700], "corrupt", "ends early"),
            (b"%PDF-1.7\njunk", "corrupt", "damaged"),
            (b"<!DOCTYPE html><html>log in</html>", "unsupported", "HTML"),
            (
                b"\x89PNG\r\n\x1a\n",
                "unsupported",
                "a PNG file, not a PDF, TIFF or CBZ; name it in the image column",
            ),
            (
                b"PK\3\4" + bytes(26) + b"word/document.xml",
                "unsupported",
                "a Word document (DOCX), not a PDF",
            ),
            (b"version https://git-lfs.github.com/spec/v1\n", "unsupported", "a Git LFS pointer"),
            (
                b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
                "unsupported",
                "AccessDenied",
            ),
            (b'{"error":"expired"}', "unsupported", "a JSON document, not a PDF"),
            (bytes(2000), "corrupt", "zeros only"),
            (b"\xfe\xed\xfa\xce" * 9, "unsupported", "fe ed fa ce"),
        ],
    )
    def test_other_files(self, data, kind, told):
        error = failure(render_page, data, 1)
        assert error.kind == kind
        assert told in error.message

    def test_too_many_pages(self):
        error = failure(count_pages, A4, DocumentOptions(max_pages=2))
        assert error.kind == "too_large"
        assert "`max_pages`" in error.message

    def test_a_document_without_pages(self):
        assert failure(count_pages, make(Document(pages=0))).kind == "corrupt"

    @pytest.mark.parametrize("seed", range(60))
    def test_damaged_bytes_give_pages_or_an_error(self, seed):
        generator = np.random.default_rng(seed)
        data = np.frombuffer(A4 if seed % 2 else scanned(scan(1, 400, 600)), np.uint8).copy()
        data[generator.integers(0, len(data), 1 + seed)] ^= generator.integers(
            1, 256, 1 + seed, dtype=np.uint8
        )
        try:
            pages = render_pages(data.tobytes(), range(1, count_pages(data.tobytes()) + 1))
        except UnitError:
            return
        assert all(isinstance(page, TiledImage | UnitError) for page in pages)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stream", "image", "drawing"])
def test_a_bomb_costs_one_page_and_no_more_time_or_memory_than_allowed(kind):
    with Sandbox(memory_limit=2 << 30) as sandbox:
        try:
            sandbox.call(render_page, bomb(kind), 1, timeout_s=15)
        except UnitError as error:
            assert error.kind in ("too_large", "decoder_crashed", "timeout")  # noqa: PT017
        assert sandbox.peak_memory() < 4 << 30
        np.testing.assert_array_equal(
            sandbox.call(render_page, A4, 1).tiles, render_page(A4, 1).tiles
        )
