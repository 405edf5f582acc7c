"""Deep, signed, float and many-banded pictures show the light that their samples mean."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile

from internvl_ops.errors import UnitError
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions
from testing.image_files import png_file
from testing.pictures import encoded, natural

SMALL = ImageOptions(tile_size=56)


def tiff(pixels: np.ndarray, photometric: Any = "minisblack", **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric=photometric, **options)
    return file.getvalue()


def shown(data: bytes) -> list[int]:
    """The middle of the upper and of the lower half."""
    tile = load_image(data, SMALL).tiles[0]
    return [int(tile[:, row, 28].mean().round()) for row in (10, 45)]


def halves(upper: float, lower: float, dtype: Any, *more: int) -> np.ndarray:
    pixels = np.full((56, 56, *more), upper, dtype)
    pixels[28:] = lower
    return pixels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "lzw"}, {"compression": "zlib", "predictor": True}]
)
class TestTiff:
    @pytest.mark.parametrize(("dtype", "top"), [(np.uint16, 65535), (np.uint32, 2**32 - 1)])
    def test_unsigned(self, order: str, options: dict, dtype: type, top: int) -> None:
        pixels = halves(top // 5, top, dtype)
        assert shown(tiff(pixels, byteorder=order, **options)) == [51, 255]
        assert shown(tiff(pixels, "miniswhite", byteorder=order, **options)) == [204, 0]

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
    def test_signed_without_negative_values(self, order: str, options: dict, dtype: type) -> None:
        top = np.iinfo(dtype).max
        assert shown(
            tiff(halves(top // 5, top, dtype), byteorder=order, **options)
        ) == pytest.approx([51, 255], abs=1)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_planes(self, order: str, options: dict, dtype: type) -> None:
        top = np.iinfo(dtype).max
        planes = np.stack([halves(top, 0, dtype), halves(0, 0, dtype), halves(0, top, dtype)])
        tile = load_image(
            tiff(planes, "rgb", planarconfig="separate", byteorder=order, **options), SMALL
        ).tiles[0]
        assert (tile[:, 10, 28].tolist(), tile[:, 45, 28].tolist()) == ([255, 0, 0], [0, 0, 255])

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_float_between_0_and_1(self, order: str, options: dict, dtype: type) -> None:
        if "predictor" in options and dtype == np.float16:
            pytest.skip("a predictor that no writer uses for it")
        assert shown(tiff(halves(0.2, 1.0, dtype), byteorder=order, **options)) == [51, 255]
        assert shown(tiff(halves(1.0, 1.0, dtype, 3), "rgb", byteorder=order, **options)) == [
            255,
            255,
        ]


class TestRanges:
    @pytest.mark.parametrize(("top", "bits"), [(255, 8), (1023, 10), (4095, 12)])
    def test_data_of_fewer_bits_than_the_file_are_scaled_by_theirs_and_it_is_said(
        self, top: int, bits: int
    ) -> None:
        data = tiff(halves(top // 5, top, np.uint16))
        assert shown(data) == [51, 255]
        assert load_image(data, SMALL).notes == [
            f"16-bit samples that reach {top:,} only, read as {bits}-bit"
        ]

    @pytest.mark.parametrize("top", [4096, 9000, 16383, 32767])
    def test_a_dark_photograph_stays_dark(self, top: int) -> None:
        data = tiff(halves(0, top, np.uint16))
        assert shown(data) == [0, round(top * 255 / 65535)]
        assert load_image(data, SMALL).notes == []

    @pytest.mark.parametrize("bits", [9, 11, 13, 14, 15])
    def test_data_of_the_bits_that_the_file_states(self, bits: int) -> None:
        top = (1 << bits) - 1
        note = f"16-bit samples of which {bits} bits are used, as the file says"
        pixels = halves(top // 5, top // 2, np.uint16)
        ome = f'<?xml version="1.0"?><OME><Image><Pixels SignificantBits="{bits}"/></Image></OME>'
        for data in (
            tiff(pixels, extratags=[(281, "H", 1, top, True)]),
            tiff(pixels, metadata=None, description=ome),
            png_file(pixels, 16, 0, (b"sBIT", bytes([bits]))),
        ):
            assert shown(data) == pytest.approx([51, 127], abs=1)
            assert load_image(data, SMALL).notes == [note]

    def test_what_is_dark_in_a_file_that_states_its_full_depth_stays_dark(self) -> None:
        pixels = halves(0, 4000, np.uint16)
        stretched = halves(0, 3 << 10, np.uint16)  # of 6 bits, in the upper ones as PNG wants it
        for data, light in (
            (tiff(pixels, extratags=[(281, "H", 1, 65535, True)]), 16),
            (png_file(pixels, 16, 0, (b"sBIT", b"\x10")), 16),
            (png_file(stretched, 16, 0, (b"sBIT", b"\x06")), 12),
        ):
            assert shown(data) == [0, light]

    @pytest.mark.parametrize("highest", [3000, 70])
    def test_the_brightest_sample_as_a_statistic_states_no_depth(self, highest: int) -> None:
        data = tiff(halves(0, 40000, np.uint16), extratags=[(281, "H", 1, highest, True)])
        assert shown(data) == [0, 156]

    @pytest.mark.parametrize("colours", [2, 3, 4])
    def test_twelve_bits_in_a_png_of_colours_or_alpha(self, colours: int) -> None:
        pixels = halves(819, 4095, np.uint16, colours)
        if colours != 3:
            pixels[..., -1] = 4095
        data = png_file(pixels, 16, {2: 4, 3: 2, 4: 6}[colours])
        assert shown(data) == [51, 255]
        assert load_image(data, SMALL).notes == [
            "16-bit samples that reach 4,095 only, read as 12-bit"
        ]

    def test_a_png_whose_deep_samples_cannot_be_read_says_so(self) -> None:
        data = png_file(halves(819, 4095, np.uint16, 3), 16, 2)
        damaged = data[:-16] + b"\0\0\0\0" + data[-12:]  # the checksum of the pixels
        picture = load_image(damaged, SMALL)
        assert "only the upper 8 bits can be read" in picture.notes[0]

    @pytest.mark.parametrize(("top", "bits"), [(4095, 12), (65535, 16), ((1 << 24) - 1, 24)])
    def test_fewer_bits_in_32(self, top: int, bits: int) -> None:
        data = tiff(halves(top // 5, top, np.uint32))
        assert shown(data) == [51, 255]
        assert load_image(data, SMALL).notes == [
            f"32-bit samples that reach {top:,} only, read as {bits}-bit"
        ]

    def test_a_dark_8_bit_picture_made_deep_stays_dark(self) -> None:
        assert shown(tiff(halves(3 * 257, 12 * 257, np.uint16))) == [3, 12]

    @pytest.mark.parametrize("maximum", [300, 1000, 4095, 65535])
    def test_pgm_of_any_maximum(self, maximum: int) -> None:
        pixels = halves(maximum // 5, maximum, ">u2")
        assert shown(b"P5\n56 56\n%d\n" % maximum + pixels.tobytes()) == [51, 255]

    @pytest.mark.parametrize("nodata", [-9999.0, -3.4028235e38, 1e20, np.nan])
    def test_what_was_not_measured_does_not_flatten_the_rest(self, nodata: float) -> None:
        pixels = halves(100, 300, np.float32)
        pixels[:, 40:] = nodata
        assert shown(tiff(pixels)) == [0, 255]

    def test_the_files_own_nodata_value(self) -> None:
        pixels = halves(-100, 300, np.int16)
        pixels[:, :10] = 12345
        assert shown(tiff(pixels, extratags=[(42113, "s", 0, "12345", True)])) == [0, 255]

    def test_one_outlier_does_not_flatten_the_rest(self) -> None:
        pixels = np.tile(np.linspace(0, 300, 56, dtype=np.float32)[:, None], (1, 56))
        pixels[0, 0] = 1e7
        assert shown(tiff(pixels))[1] > 190

    def test_premultiplied_grey(self) -> None:
        pixels = np.dstack([np.full((56, 56), 100, np.uint8), np.full((56, 56), 200, np.uint8)])
        assert shown(tiff(pixels, extrasamples=["assocalpha"])) == [155, 155]
        assert shown(tiff(pixels.astype(np.uint16) * 257, extrasamples=["assocalpha"])) == [
            155,
            155,
        ]
        assert shown(tiff(pixels.astype(np.uint16) * 257, extrasamples=["unassalpha"])) == [
            133,
            133,
        ]

    def test_bands_without_colours_are_unsupported(self) -> None:
        with pytest.raises(UnitError, match="6 bands") as caught:
            load_image(tiff(halves(1, 2, np.uint16, 6), planarconfig="contig"), SMALL)
        assert caught.value.kind == "unsupported"


class TestTheEndOfAJpeg:
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_is_judged_by_the_picture_and_not_by_its_mark(self, options: dict, mode: str) -> None:
        data = encoded(natural(301, 203).convert(mode), "JPEG", **options)
        whole = load_image(data, SMALL).tiles
        assert np.array_equal(load_image(data[:-2], SMALL).tiles, whole)
        with pytest.raises(UnitError) as caught:
            load_image(data[: len(data) // 2] + b"\xff\xd9", SMALL)
        assert caught.value.kind == "corrupt"

    def test_twelve_bits_are_unsupported(self) -> None:
        data = encoded(natural(64, 48), "JPEG").replace(
            b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c"
        )
        with pytest.raises(UnitError, match="12 bits") as caught:
            load_image(data, SMALL)
        assert caught.value.kind == "unsupported"


def test_a_small_file_that_claims_thousands_of_channels_is_too_large() -> None:
    """65,536 by 1 pixels of 26,881 samples, in 154 bytes."""
    data = bytes.fromhex(
        "49492a00080000000a0000010400010000000000010001010400010000000100000002010300040000008680000003010300010000000100"
        "000006010300010000000500000011010400010000008e000000150103000100000004696d6167650000749d700069010000000000000"
        "02cf6000000000000000000040080001c010100030000000100000000000000f8000800080008008b628f00"
    )
    with pytest.raises(UnitError) as error:
        load_image(data, ImageOptions(truncated="accept"))
    assert error.value.kind == "too_large"
