"""Image files of every kind to tiles, and the errors of those that are none."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from internvl_ops.errors import UnitError
from internvl_ops.media.image import decode_image, image_size, load_image, load_picture
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.tiling import tile_image
from testing.corpus_images import png, png_chunk, tiff_block
from testing.pictures import encoded, natural

SMALL = ImageOptions(tile_size=56)
EXACT = ImageOptions(tile_size=56, resize="exact")
ORIENTATIONS = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


def pixels_of(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def exact_tiles(image: Image.Image) -> np.ndarray:
    return tile_image(image, tile_size=56, resize="exact")


def failure(data: bytes, options: ImageOptions = SMALL) -> UnitError:
    with pytest.raises(UnitError) as caught:
        load_image(data, options)
    assert caught.value.stage == "decode"
    return caught.value


class TestFormats:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"progressive": True},
            {"subsampling": 0},
            {"subsampling": 1, "quality": 30},
            {"restart_marker_rows": 1},
            {"keep_rgb": True},
            {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
        ],
    )
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_jpeg_pixels_are_pillows(self, mode: str, options: dict) -> None:
        data = encoded(natural(301, 203).convert(mode), "JPEG", **options)
        image = load_image(data, EXACT)
        assert (image.width, image.height, image.notes) == (301, 203, [])
        assert np.array_equal(image.tiles, exact_tiles(pixels_of(data)))

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000"])
    def test_lossless_formats_keep_every_pixel(self, file_format: str) -> None:
        picture = natural(301, 203)
        data = encoded(
            picture, file_format, **({"lossless": True} if file_format == "WEBP" else {})
        )
        assert np.array_equal(load_image(data, EXACT).tiles, exact_tiles(picture))

    @pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
    def test_lossy_formats_show_the_picture(self, file_format: str) -> None:
        picture = natural(301, 203)
        image = load_image(encoded(picture, file_format, quality=95), EXACT)
        assert (image.width, image.height) == (301, 203)
        assert np.abs(image.tiles.astype(int) - exact_tiles(picture)).mean() < 4

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("interlaced", [False, True])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_png_of_any_depth_and_interlacing(
        self, channels: int, interlaced: bool, dtype: type
    ) -> None:
        picture = natural(67, 45).convert("L" if channels < 3 else "RGB")
        pixels = np.asarray(picture).reshape(45, 67, -1)
        if channels in (2, 4):
            pixels = np.dstack([pixels, np.full((45, 67), 255, np.uint8)])
        scaled = pixels.astype(dtype) * (257 if dtype == np.uint16 else 1)
        image = load_image(png(scaled, interlaced=interlaced), EXACT)
        assert np.array_equal(image.tiles, exact_tiles(picture.convert("RGB")))

    def test_one_bit_and_palettes(self) -> None:
        for picture in (natural(90, 60).convert("1"), natural(90, 60).quantize(16)):
            for file_format in ("PNG", "GIF", "BMP", "TIFF"):
                data = encoded(picture, file_format)
                assert np.array_equal(
                    load_image(data, EXACT).tiles, exact_tiles(picture.convert("RGB"))
                )

    def test_floating_point_tiff_is_scaled_by_its_own_range_and_says_so(self) -> None:
        ramp = Image.fromarray(np.linspace(-2, 3, 60 * 60, dtype=np.float32).reshape(60, 60))
        image = load_image(encoded(ramp, "TIFF"), SMALL)
        assert image.tiles.min() == 0
        assert image.tiles.max() >= 254
        assert image.notes == ["32-bit samples scaled from -2..3"]

    def test_options_reach_the_tiles(self) -> None:
        data = encoded(natural(300, 200), "PNG")
        assert load_image(data).tiles.shape == (7, 3, 448, 448)
        options = ImageOptions(tile_size=28, max_tiles=24, min_tiles=20, thumbnail=False)
        assert load_image(data, options).tiles.shape == (24, 3, 28, 28)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"alpha": "black"}, "alpha 'black' is not allowed: white or drop"),
            ({"truncated": "maybe"}, "truncated 'maybe' is not allowed: error or accept"),
            ({"resize": "quick"}, "resize 'quick' is not allowed: fast or exact"),
            ({"min_tiles": 7, "max_tiles": 6}, "min_tiles 7 with max_tiles 6"),
            ({"tile_size": 0}, "tile_size 0 is not allowed: at least 1"),
            ({"max_pixels": 0}, "max_pixels 0 is not allowed: at least 1"),
        ],
    )
    def test_options_that_do_not_exist_are_refused(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ImageOptions(**options)

    def test_results_are_not_touched_by_the_next_image(self) -> None:
        first = load_image(encoded(natural(301, 203), "JPEG"), SMALL).tiles
        before = first.copy()
        load_image(encoded(natural(203, 301, seed=5), "JPEG"), SMALL)
        assert np.array_equal(first, before)


class TestOrientation:
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_every_orientation_is_turned_upright(self, file_format: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = encoded(natural(120, 80), file_format, exif=exif.tobytes(), **options)
        stored = pixels_of(encoded(natural(120, 80), file_format, **options))
        upright = ORIENTATIONS[orientation](stored)
        image = load_image(data, EXACT)
        assert (image.width, image.height) == upright.size
        assert np.array_equal(image.tiles, exact_tiles(upright))

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_an_orientation_that_does_not_exist_is_none(self, value: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = value
        assert (
            load_image(encoded(natural(120, 80), "JPEG", exif=exif.tobytes()), SMALL).width == 120
        )

    @pytest.mark.parametrize("orientation", [1, 2, 6])
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_ignored_it_leaves_images_as_pillow_opens_them(
        self, file_format: str, orientation: int
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(natural(120, 80), file_format, exif=exif.tobytes())
        ignoring = ImageOptions(exif="ignore", max_tiles=1)
        opened = Image.open(io.BytesIO(data)).convert("RGB")

        assert (load_image(data, ignoring).width, load_image(data, ignoring).height) == opened.size
        assert image_size(data, ignoring) == opened.size
        assert image_size(data) == (load_image(data, SMALL).width, load_image(data, SMALL).height)
        np.testing.assert_allclose(decode_image(data, ignoring), np.asarray(opened), atol=3)
        picture = load_picture(data, ignoring)  # carries nothing that would turn it elsewhere
        assert Image.open(io.BytesIO(picture.data)).getexif().get(0x0112, 1) == 1

    def test_a_broken_exif_block_costs_the_orientation_only(self) -> None:
        data = encoded(natural(120, 80), "WEBP", exif=tiff_block(order=b"XX*\0"))
        image = load_image(data, SMALL)
        assert image.width == 120
        assert image.notes == ["EXIF unreadable, orientation not applied: SyntaxError"]

    def test_a_zero_division_in_exif_is_harmless(self) -> None:
        block = tiff_block((0x0112, 3, 1, b"\6\0\0\0"), (0x011A, 5, 1, (38).to_bytes(4, "little")))
        assert load_image(encoded(natural(120, 80), "JPEG", exif=block), SMALL).width == 80


class TestTransparency:
    def test_clear_pixels_become_white(self) -> None:
        red = Image.new("RGBA", (60, 60), (255, 0, 0, 0))
        red.paste((0, 0, 255, 255), (0, 0, 30, 60))
        tiles = load_image(encoded(red, "PNG"), SMALL).tiles
        assert tiles[0, :, 30, 5].tolist() == [0, 0, 255]
        assert tiles[0, :, 30, 50].tolist() == [255, 255, 255]

    def test_half_clear_pixels_become_half_white(self) -> None:
        tiles = load_image(encoded(Image.new("RGBA", (60, 60), (0, 0, 0, 128)), "PNG"), SMALL).tiles
        assert np.unique(tiles).tolist() == [127]

    def test_drop_shows_what_hides_under_clear_pixels_as_the_cards_do(self) -> None:
        red = Image.new("RGBA", (60, 60), (255, 0, 0, 0))
        tiles = load_image(encoded(red, "PNG"), ImageOptions(tile_size=56, alpha="drop")).tiles
        assert tiles[0, :, 30, 30].tolist() == [255, 0, 0]

    @pytest.mark.parametrize("file_format", ["PNG", "GIF"])
    def test_clear_palette_entries(self, file_format: str) -> None:
        image = Image.new("P", (60, 60), 1)
        image.putpalette([0, 0, 0, 200, 0, 0])
        image.paste(0, (0, 0, 30, 60))
        tiles = load_image(encoded(image, file_format, transparency=0), SMALL).tiles
        assert tiles[0, :, 30, 5].tolist() == [255, 255, 255]
        assert tiles[0, :, 30, 50].tolist() == [200, 0, 0]

    def test_grey_with_alpha_and_colour_keys(self) -> None:
        for image, options in (
            (Image.new("LA", (60, 60), (0, 0)), {}),
            (Image.new("L", (60, 60), 7), {"transparency": 7}),
            (Image.new("RGB", (60, 60), (7, 8, 9)), {"transparency": (7, 8, 9)}),
        ):
            assert load_image(encoded(image, "PNG", **options), SMALL).tiles.min() == 255


class TestSeveralFrames:
    @pytest.mark.parametrize(
        ("file_format", "note"),
        [
            ("GIF", "first frame of 4"),
            ("WEBP", "first frame of 4"),
            ("PNG", "first frame of 4"),
            ("TIFF", "first page of 4"),
            ("MPO", "first picture of 4"),
            ("HEIF", "first picture of 4"),
        ],
    )
    def test_the_first_is_taken_and_the_result_says_so(self, file_format: str, note: str) -> None:
        frames = [Image.new("RGB", (60, 60), (60 * number, 0, 0)) for number in range(4)]
        image = load_image(
            encoded(frames[0], file_format, save_all=True, append_images=frames[1:]), SMALL
        )
        assert image.tiles.max() < 5
        assert image.notes == [note]


class TestDamage:
    @pytest.mark.parametrize(
        "file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF", "PPM"]
    )
    def test_a_truncated_file_is_corrupt(self, file_format: str) -> None:
        data = encoded(natural(301, 203), file_format)
        assert failure(data[: len(data) * 2 // 3]).kind == "corrupt"

    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
    def test_a_truncated_file_can_be_accepted(self, file_format: str) -> None:
        picture = natural(301, 203)
        data = encoded(picture, file_format)
        whole = load_image(data, SMALL)
        part = load_image(
            data[: len(data) * 2 // 3], ImageOptions(tile_size=56, truncated="accept")
        )
        assert (part.width, part.height) == (301, 203)
        first_row = slice(0, 1)
        if file_format != "BMP":  # which begins at the bottom
            assert np.abs(part.tiles[first_row].astype(int) - whole.tiles[first_row]).mean() < 2
        assert failure(data[: len(data) * 2 // 3]).kind == "corrupt"  # accepting did not stick

    def test_a_truncated_file_says_what_to_do(self) -> None:
        error = failure(encoded(natural(301, 203), "JPEG")[:5000])
        assert error.message.startswith("JPEG file is truncated")
        assert "fetch it again" in error.message

    def test_a_jpeg_whose_decoder_warns_is_used_and_says_so(self) -> None:
        data = encoded(natural(301, 203), "JPEG")
        middle = data[:-2] + b"junk before the end" + data[-2:]
        image = load_image(middle, SMALL)
        assert image.width == 301
        assert image.notes[0].startswith("JPEG decoder warned: ")


class TestNoImages:
    @pytest.mark.parametrize(
        ("data", "kind", "message"),
        [
            (b"", "corrupt", "empty"),
            (bytes(100), "corrupt", "zeros only"),
            (b"<!DOCTYPE html><html>", "unsupported", "HTML page"),
            (b"\xef\xbb\xbf\r\n <html>", "unsupported", "HTML page"),
            (
                b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code>',
                "unsupported",
                "XML document.*NoSuchKey",
            ),
            (b'<?xml version="1.0"?><svg>', "unsupported", "SVG drawing.*render it"),
            (b'{"message": "quota"}', "unsupported", "JSON document.*quota"),
            (b"just words", "unsupported", "text file.*just words"),
            (b"%PDF-1.4", "unsupported", "PDF document.*document column"),
            (b"\0\0\0\x20ftypisom", "unsupported", "MP4 or QuickTime video.*video column"),
            (
                b"version https://git-lfs.github.com/spec/v1",
                "unsupported",
                "Git LFS pointer.*git lfs pull",
            ),
            (b"\xff\x0a" + bytes(9), "corrupt", "JPEG XL"),
            (b"8BPS\0\2" + bytes(30), "unsupported", "PSB"),
            (b"\xfe\xed\xfa\xce" * 9, "unsupported", "begins with bytes fe ed fa ce"),
            (b"\xff\xd8\xff", "corrupt", "JPEG file"),
            (b"\x89PNG\r\n\x1a\n" + bytes(40), "corrupt", "PNG file"),
        ],
    )
    def test_the_message_says_what_the_file_is(self, data: bytes, kind: str, message: str) -> None:
        with pytest.raises(UnitError, match=message) as caught:
            load_image(data, SMALL)
        assert caught.value.kind == kind

    @given(
        start=st.sampled_from(
            [
                b"",
                b"\xff\xd8\xff\xe0",
                b"\x89PNG\r\n\x1a\n",
                b"GIF89a",
                b"RIFF\x99\0\0\0WEBPVP8X",
                b"II*\0",
                b"BM",
            ]
        ),
        rest=st.binary(max_size=300),
    )
    @settings(max_examples=300, deadline=None)
    def test_any_bytes_at_all_give_an_image_or_a_true_error(
        self, start: bytes, rest: bytes
    ) -> None:
        with contextlib.suppress(UnitError):  # and nothing else
            load_image(start + rest, ImageOptions(tile_size=14, max_pixels=1_000_000))


class TestLimits:
    def test_too_many_pixels_are_refused_from_the_header(self) -> None:
        bomb = png(np.zeros((1, 1, 3), np.uint8), size=(50_000, 50_000))
        tracemalloc.start()
        error = failure(bomb)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert error.kind == "too_large"
        assert "50000x50000 = 2,500,000,000 pixels; at most 200,000,000" in error.message
        assert peak < 1_000_000

    def test_the_limit_is_the_callers(self) -> None:
        data = encoded(natural(100, 50), "PNG")
        assert failure(data, ImageOptions(max_pixels=4999)).kind == "too_large"
        assert load_image(data, ImageOptions(max_pixels=5000, tile_size=56)).width == 100

    def test_a_long_thin_scan_is_no_bomb(self) -> None:
        image = load_image(encoded(Image.new("1", (50_000, 100)), "PNG"), SMALL)
        assert (image.width, image.height, len(image.tiles)) == (50_000, 100, 13)

    def test_a_gif_whose_frame_reaches_far_out_makes_no_canvas(self) -> None:
        frame = (
            b"!\xf9\x04\x08\0\0\0\0" + b"," + struct.pack("<4HB", 60_000, 60_000, 60_000, 60_000, 0)
        )
        data = b"GIF89a" + struct.pack("<2H3B", 10, 10, 0, 0, 0) + frame + b"\x02\x02\x44\x01\0;"
        error = failure(data)
        assert error.kind == "too_large"
        assert "first frame" in error.message  # which Pillow would have made a canvas of 3.6 GB for

    @pytest.mark.parametrize("chunk", [b"zTXt", b"iCCP"])
    @pytest.mark.parametrize("where", ["before the pixels", "after them"])
    def test_text_and_profiles_of_any_size_do_not_hide_the_picture(
        self, chunk: bytes, where: str
    ) -> None:
        picture = natural(40, 30)
        data = png(np.asarray(picture))
        extra = png_chunk(chunk, b"comment\0\0" + zlib.compress(bytes(8 << 20)))
        at = 33 if where == "before the pixels" else len(data) - 12
        assert np.array_equal(
            load_image(data[:at] + extra + data[at:], EXACT).tiles, exact_tiles(picture)
        )


class TestJpegScaling:
    SCALING = ImageOptions(tile_size=56, jpeg_scaling=True)

    @pytest.mark.parametrize(
        ("size", "share"), [((448, 336), 2), ((1000, 700), 4), ((2000, 1500), 8), ((900, 4000), 8)]
    )
    def test_shrinks_while_decoding_as_far_as_the_tiles_allow(
        self, size: tuple[int, int], share: int
    ) -> None:
        data = encoded(natural(*size), "JPEG", quality=95)
        image = load_image(data, self.SCALING)
        plain = load_image(data, SMALL)
        assert image.notes == [f"decoded at 1/{share} size"]
        assert (image.width, image.height, len(image.tiles)) == (*size, len(plain.tiles))
        assert np.abs(image.tiles.astype(int) - plain.tiles).mean() < 3

    def test_leaves_alone_what_is_less_than_twice_its_tiles(self) -> None:
        data = encoded(natural(440, 330), "JPEG")
        assert load_image(data, self.SCALING).notes == []
        assert np.array_equal(load_image(data, self.SCALING).tiles, load_image(data, SMALL).tiles)

    def test_knows_which_way_up(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(natural(2000, 400), "JPEG", exif=exif.tobytes(), quality=95)
        image = load_image(data, self.SCALING)
        assert (image.width, image.height) == (400, 2000)
        assert np.abs(image.tiles.astype(int) - load_image(data, SMALL).tiles).mean() < 3

    def test_is_for_jpeg_only(self) -> None:
        assert load_image(encoded(natural(900, 700), "PNG"), self.SCALING).notes == []
