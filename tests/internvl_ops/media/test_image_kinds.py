"""Each kind of image file shows the picture that was put into it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms

from internvl_ops.errors import UnitError
from internvl_ops.media.image import decode_image, image_size, load_image
from internvl_ops.media.image_options import ImageOptions
from testing.image_files import (
    cropped_avif,
    packed,
    png_file,
    targa_file,
    tiff_file,
    tiff_tags,
    ycbcr_units,
)  # fmt: skip
from testing.pictures import encoded, natural

PICTURE = np.asarray(natural(96, 64))
GREY = PICTURE[..., 1].copy()
ALPHA = np.full(GREY.shape, 255, np.uint8)
ALPHA[:, :48] = 51
BLACK = np.zeros(GREY.shape, np.uint8)
YCBCR = np.asarray(Image.fromarray(PICTURE).convert("YCbCr"))
LAB = np.asarray(
    ImageCms.profileToProfile(
        Image.fromarray(PICTURE),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
)
INKS = np.dstack([255 - PICTURE, BLACK])
PALETTE = np.array(Image.fromarray(PICTURE).quantize(16).getpalette()[:48], np.uint8).reshape(16, 3)
INDEX = np.asarray(Image.fromarray(PICTURE).quantize(16))


def read(data: bytes, **options: Any) -> np.ndarray:
    return decode_image(data, ImageOptions(**options))


def deep(pixels: np.ndarray, bits: int, dtype: Any = None) -> np.ndarray:
    """The picture with so many bits a sample."""
    dtype = dtype or (np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)
    return (pixels * (((1 << bits) - 1) / 255)).round().astype(dtype)


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def on_white(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels if pixels.ndim == 3 else rgb(pixels)
    share = ALPHA[..., None] / 255
    return (pixels * share + 255 * (1 - share)).round().astype(np.uint8)


def tiff(pixels: np.ndarray, photometric: Any, **options: Any) -> bytes:
    if options.get("planarconfig") == "separate" and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 2, 0)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric=photometric, **options)
    return file.getvalue()


def jp2(pixels: np.ndarray, **options: Any) -> bytes:
    return imagecodecs.jpeg2k_encode(pixels, codecformat="jp2", level=0, **options)


def animation(file_format: str) -> bytes:
    others = [Image.fromarray(255 - PICTURE), Image.fromarray(PICTURE[::-1])]
    options = {"lossless": True} if file_format == "WEBP" else {}
    return encoded(
        Image.fromarray(PICTURE), file_format, save_all=True, append_images=others, **options
    )


def colour_map(scale: int, bits: int) -> tuple[int, list[int]]:
    entries = np.zeros((3, 1 << bits), int)
    entries[:, :16] = PALETTE.T.astype(int) * scale
    return 3, entries.ravel().tolist()


def jpeg2000_in_tiff(
    pixels: np.ndarray, stated: int, bits: int, photometric: int, **more: tuple
) -> bytes:
    strip = imagecodecs.jpeg2k_encode(pixels, bitspersample=bits, codecformat="j2k", level=0)
    return tiff_file([strip], tiff_tags(pixels, stated, photometric, 34712, **more))


class Kind(NamedTuple):
    """A way to store a picture, what is to be seen, and by how much a shade may differ."""

    make: Callable[[], bytes]
    shown: np.ndarray
    off: int = 1


KINDS = {
    # PNG
    **{
        f"png grey of {bits} bits": Kind(lambda bits=bits: png_file(deep(GREY, bits), bits, 0),
                                         rgb((deep(GREY, bits) * (255 / ((1 << bits) - 1))).round().astype(np.uint8)))
        for bits in (1, 2, 4, 8, 16)
    },
    "png rgb of 16 bits": Kind(lambda: png_file(deep(PICTURE, 16), 16, 2), PICTURE),
    "png rgb and alpha of 16 bits": Kind(lambda: png_file(deep(np.dstack([PICTURE, ALPHA]), 16), 16, 6),
                                         on_white(PICTURE)),
    "png grey and alpha of 16 bits": Kind(lambda: png_file(deep(np.dstack([GREY, ALPHA]), 16), 16, 4), on_white(GREY)),
    "png palette of 4 bits": Kind(lambda: png_file(INDEX, 4, 3, (b"PLTE", PALETTE.tobytes())), PALETTE[INDEX]),
    # Colour maps of TIFF
    **{
        f"tiff palette {name}, {bits} bits {order}": Kind(
            lambda scale=scale, bits=bits, order=order: tiff_file(
                [INDEX.astype(order + "u2").tobytes() if bits == 16 else packed(INDEX, bits)],
                tiff_tags(INDEX, bits, 3, t320=colour_map(scale, bits)), order),
            PALETTE[INDEX])
        for name, scale in (("of 16 bits", 257), ("shifted", 256), ("of old writers", 1))
        for bits in (4, 8, 16) for order in "<>" if (bits, scale) != (16, 1)
    },
    # Inks
    **{
        f"tiff inks{name} of {bits} bits, {planes}": Kind(
            lambda pixels=pixels, bits=bits, planes=planes, extra=extra: tiff(
                deep(pixels, bits), "separated", planarconfig=planes, extrasamples=extra), shown)
        for name, pixels, extra, shown in (
            ("", INKS, [], PICTURE), (" and alpha", np.dstack([INKS, ALPHA]), ["unassalpha"], on_white(PICTURE)),
            (" and a spot colour", np.dstack([INKS, ALPHA]), ["unspecified"], PICTURE))
        for bits in (8, 16) for planes in ("contig", "separate")
    },
    "jpeg inks, inverted by Adobe": Kind(lambda: encoded(Image.fromarray(INKS, "CMYK"), "JPEG", quality=100,
                                                         subsampling=0), PICTURE, 8),
    "jpeg inks by luminance and chrominance": Kind(
        lambda: imagecodecs.jpeg8_encode(255 - INKS, level=100, colorspace="CMYK", outcolorspace="YCCK",
                                         subsampling="444"), PICTURE, 16),
    # Lab
    "tiff lab, signed": Kind(lambda: tiff_file([LAB.tobytes()], tiff_tags(LAB, 8, 8)), PICTURE, 3),
    "tiff lab, shifted": Kind(lambda: tiff_file([(LAB ^ [0, 128, 128]).astype(np.uint8).tobytes()],
                                                tiff_tags(LAB, 8, 9)), PICTURE, 3),
    **{
        f"tiff lab of 16 bits called {form} {order}": Kind(
            lambda tag=tag, order=order: tiff_file(
                [(LAB * np.array([257, 256, 256])).astype(order + "u2").tobytes()],
                tiff_tags(LAB, 16, 8, t339=(3, [tag] * 3)), order), PICTURE, 3)
        for form, tag in (("unsigned", 1), ("signed", 2)) for order in "<>"
    },
    # Luminance and chrominance in TIFF, with fewer samples for colour. Noise in the colours blurs.
    **{
        f"tiff ycbcr {across} by {down}, {name}": Kind(
            lambda across=across, down=down, code=code, pack=pack: tiff_file(
                [pack(ycbcr_units(YCBCR, across, down))],
                tiff_tags(YCBCR, 8, 6, code, t530=(3, [across, down]))),
            PICTURE, 4 if across == down == 1 else 28)
        for across, down in ((1, 1), (2, 1), (2, 2), (4, 2), (1, 2), (4, 4))
        for name, code, pack in (("plain", 1, bytes), ("deflate", 8, imagecodecs.zlib_encode))
    },
    "tiff ycbcr, jpeg": Kind(lambda: tiff(PICTURE, "rgb", compression="jpeg", subsampling=(2, 2),
                                          compressionargs={"level": 98}), PICTURE, 40),
    # JPEG 2000
    **{
        f"jpeg 2000 {name} of {bits} bits": Kind(lambda pixels=pixels, bits=bits: jp2(deep(pixels, bits),
                                                                                     bitspersample=bits),
                                                 (deep(pixels, bits) * (255 / ((1 << bits) - 1))).round().reshape(
                                                     *GREY.shape, -1).astype(np.uint8), 2)
        for name, pixels in (("grey", GREY), ("rgb", PICTURE)) for bits in (1, 2, 4, 7, 8, 10, 12, 16)
    },
    "jpeg 2000 signed, 8 bits": Kind(lambda: jp2((GREY.astype(int) - 128).astype(np.int8)), rgb(GREY)),
    "jpeg 2000 signed, 16 bits": Kind(lambda: jp2((GREY.astype(int) * 257 - 32768).astype(np.int16)), rgb(GREY)),
    "jpeg 2000 grey and alpha": Kind(lambda: jp2(np.dstack([GREY, ALPHA]), colorspace="GRAY"), on_white(GREY)),
    "jpeg 2000 rgb and alpha, 16 bits": Kind(lambda: jp2(deep(np.dstack([PICTURE, ALPHA]), 16)), on_white(PICTURE)),
    "jpeg 2000 by luminance and chrominance": Kind(lambda: jp2(YCBCR, colorspace="SYCC", mct=False), PICTURE, 4),
    "jpeg 2000 white of 16 bits": Kind(lambda: jp2(np.full(PICTURE.shape, 65535, np.uint16)),
                                       np.full_like(PICTURE, 255)),
    "jpeg 2000 inks of 16 bits": Kind(lambda: jp2(deep(INKS, 16), colorspace="CMYK", mct=False), PICTURE),
    "jpeg 2000 by luminance and chrominance of 16 bits": Kind(
        lambda: jp2(deep(YCBCR, 16), colorspace="SYCC", mct=False), PICTURE, 4),
    "jpeg 2000 inks": Kind(lambda: jp2(INKS, colorspace="CMYK", mct=False), PICTURE),
    **{
        f"tiff jpeg 2000 of {bits} bits, {name}": Kind(
            lambda pixels=pixels, bits=bits, code=code: jpeg2000_in_tiff(deep(pixels, bits), bits, bits, code),
            (deep(pixels, bits) * (255 / ((1 << bits) - 1))).round().reshape(*GREY.shape, -1).astype(np.uint8))
        for name, pixels, code in (("grey", GREY, 1), ("rgb", PICTURE, 2)) for bits in (5, 8, 9, 12, 14, 16, 20)
    },
    "tiff jpeg 2000 of 14 bits called 16": Kind(lambda: jpeg2000_in_tiff(deep(GREY // 2, 14), 16, 14, 1),
                                                rgb(GREY // 2)),
    # How TIFF is laid out
    **{
        f"tiff {name} {order} {kind} {pixels.dtype}": Kind(
            lambda options=options, order=order, pixels=pixels, kind=kind: tiff(
                pixels, kind, byteorder=order, **options), shown)
        for name, options in (("tiles", {"tile": (32, 48)}), ("big", {"bigtiff": True}),
                              ("strips", {"rowsperstrip": 7}),
                              ("planes", {"planarconfig": "separate"}), ("lzw planes", {"planarconfig": "separate",
                                                                                       "compression": "lzw"}))
        for order in "<>"
        for kind, pixels, shown in (("rgb", PICTURE, PICTURE), ("rgb", deep(PICTURE, 16), PICTURE),
                                    ("minisblack", GREY, rgb(GREY)), ("miniswhite", 255 - deep(GREY, 8), rgb(GREY)))
    },
    **{
        f"tiff alpha {name} {planes} {order} {bits}": Kind(
            lambda pixels=pixels, planes=planes, order=order, extra=extra, bits=bits: tiff(
                deep(pixels, bits), "rgb", planarconfig=planes, byteorder=order, extrasamples=[extra]), shown, 2)
        for name, pixels, extra, shown in (
            ("straight", np.dstack([PICTURE, ALPHA]), "unassalpha", on_white(PICTURE)),
            ("premultiplied", np.dstack([PICTURE * (ALPHA[..., None] / 255), ALPHA]).round().astype(np.uint8),
             "assocalpha", on_white(PICTURE)),
            ("no", np.dstack([PICTURE, ALPHA]), "unspecified", PICTURE))
        for planes in ("contig", "separate") for order in "<>" for bits in (8, 16)
    },
    **{
        f"tiff grey of {bits} packed bits {order}": Kind(
            lambda bits=bits, order=order: tiff_file([packed(deep(GREY, bits), bits)],
                                                     tiff_tags(GREY, bits, 1), order),
            rgb((deep(GREY, bits) * (255 / ((1 << bits) - 1))).round().astype(np.uint8)))
        for bits in (1, 2, 3, 4, 6, 8, 10, 11, 12, 14) for order in "<>"
    },
    "tiff grey of 24 bits >": Kind(lambda: tiff_file([packed(deep(GREY, 24), 24)], tiff_tags(GREY, 24, 1), ">"),
                                   rgb(GREY)),
    "tiff of several pages": Kind(lambda: animation("TIFF"), PICTURE),
    # The rest
    **{f"first frame of {kind}": Kind(lambda kind=kind: animation(kind), PICTURE, off)
       for kind, off in (("PNG", 1), ("WEBP", 1), ("AVIF", 40))},
    "first frame of GIF": Kind(lambda: encoded(Image.fromarray(INDEX, "L"), "GIF", save_all=True,
                                               append_images=[Image.fromarray(255 - INDEX, "L")]), rgb(INDEX)),
    "jpeg xl of 16 bits": Kind(lambda: imagecodecs.jpegxl_encode(deep(PICTURE, 16), lossless=True), PICTURE),
    "jpeg xl of 12 bits": Kind(lambda: imagecodecs.jpegxl_encode(deep(PICTURE, 12), bitspersample=12, lossless=True),
                               PICTURE),
    "tga of 24 bits": Kind(lambda: targa_file(PICTURE[..., ::-1], 24), PICTURE),
    "tga of 8 bits": Kind(lambda: targa_file(GREY, 8), rgb(GREY)),
    "tga of 16 bits": Kind(
        lambda: targa_file((PICTURE.astype("<u2") >> 3 << [10, 5, 0]).sum(axis=2).astype("<u2"), 16), PICTURE, 8),
    "tga in runs": Kind(lambda: encoded(Image.fromarray(PICTURE), "TGA", compression="tga_rle"), PICTURE),
    "ico": Kind(lambda: encoded(Image.fromarray(PICTURE), "ICO", sizes=[(96, 64)]), PICTURE),
    **{
        f"pnm {magic} up to {top}": Kind(
            lambda magic=magic, top=top, pixels=pixels: f"{magic}\n# made\n96 64\n{top}\n".encode() + (
                pixels * (top / 255)).round().astype(">u2" if top > 255 else "u1").tobytes(),
            ((pixels * (top / 255)).round() * (255 / top)).round().reshape(*GREY.shape, -1).astype(np.uint8))
        for magic, pixels in (("P5", GREY), ("P6", PICTURE)) for top in (15, 255, 1000, 4095, 65535)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_the_picture_is_shown(name: str) -> None:
    kind = KINDS[name]
    shown = read(kind.make())
    assert shown.shape == PICTURE.shape
    assert np.abs(shown.astype(int) - kind.shown).max() <= kind.off


class TestTransparentColours:
    @pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
    def test_grey(self, bits: int) -> None:
        pixels = deep(GREY, bits)
        key = int(pixels[5, 5])
        shown = read(png_file(pixels, bits, 0, (b"tRNS", struct.pack(">H", key))))
        assert (shown[pixels == key] == 255).all()
        assert np.array_equal(shown[pixels != key], read(png_file(pixels, bits, 0))[pixels != key])

    @pytest.mark.parametrize("colour", [0, 2])
    def test_another_shade_in_the_lower_bits_alone_is_another_colour(self, colour: int) -> None:
        pixels = deep(GREY if colour == 0 else PICTURE, 16)
        pixels[0, 0], pixels[0, 1] = 0x1234, 0x1256
        key = struct.pack(">H", 0x1234) * (3 if colour else 1)
        shown = read(png_file(pixels, 16, colour, (b"tRNS", key)))
        assert shown[0, 0].tolist() == [255] * 3
        assert shown[0, 1].tolist() == [0x12] * 3
        assert (
            read(png_file(pixels, 16, colour, (b"tRNS", key)), alpha="drop")[0, 0].tolist()
            == [0x12] * 3
        )


class TestHeicAndAvif:
    def heic(self, primary: int) -> bytes:
        file = pillow_heif.from_pillow(Image.new("RGB", (64, 64), (255, 0, 0)))
        file.add_from_pillow(Image.new("RGB", (200, 100), (0, 0, 255)))
        target = io.BytesIO()
        file.save(target, format="HEIF", primary_index=primary, quality=90)
        return target.getvalue()

    @pytest.mark.parametrize(
        ("primary", "size", "colour", "note"),
        [
            (0, (64, 64), [255, 0, 0], "first picture of 2"),
            (1, (200, 100), [0, 0, 255], "picture 2 of 2, the primary one"),
        ],
    )
    def test_the_primary_picture_is_shown_wherever_it_stands(
        self, primary: int, size: tuple[int, int], colour: list[int], note: str
    ) -> None:
        data = self.heic(primary)
        image = load_image(data)
        assert image_size(data) == (image.width, image.height) == size
        assert read(data)[30, 30].tolist() == pytest.approx(colour, abs=3)
        assert image.notes == [note]

    def test_an_avif_is_cropped_as_it_says(self) -> None:
        whole = encoded(Image.fromarray(PICTURE), "AVIF", quality=95)
        data = cropped_avif(whole, (96, 64), (10, 6, 74, 50))
        assert image_size(data) == (64, 44)
        assert np.array_equal(read(data), read(whole)[6:50, 10:74])

    def test_an_avif_larger_than_its_decoder_takes_is_too_large(self) -> None:
        data = bytearray(encoded(Image.new("RGB", (64, 64)), "AVIF"))
        at = data.find(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", 17000, 17000)
        with pytest.raises(UnitError, match="17000x17000") as caught:
            load_image(bytes(data), ImageOptions(max_pixels=1 << 40))
        assert caught.value.kind == "too_large"

    @pytest.mark.parametrize("brand", [b"msf1", b"hevc", b"avis"])
    def test_a_sequence_without_a_picture_is_sent_to_the_video_column(self, brand: bytes) -> None:
        data = (
            struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 0, b"iso8")
            + struct.pack(">I4s", 16, b"moov")
            + bytes(8)
        )
        with pytest.raises(UnitError, match="video column") as caught:
            load_image(data)
        assert caught.value.kind == "unsupported"


NIKON = tiff_tags(GREY[:4, :4], 16, 32803, t271=(2, [*b"NIKON CORPORATION", 0]))
NOT_READ = {
    "DNG": tiff_file([bytes(48)], tiff_tags(PICTURE[:4, :4], 8, 2, t50706=(1, [1, 4, 0, 0]))),
    "Nikon NEF": tiff_file([bytes(32)], NIKON),
    "31 bits": jp2(GREY[:4, :4]).replace(b"\0\1\x07\1\1", b"\0\1\x1e\1\1"),
    "JPEG 2000 of 12-bit samples": jpeg2000_in_tiff(deep(GREY, 12), 8, 12, 1),
    "JPEG 2000 of signed 8-bit samples": jpeg2000_in_tiff(
        (GREY.astype(int) - 128).astype(np.int8), 8, 8, 1
    ),
    "10-bit samples of format": jpeg2000_in_tiff(
        deep(GREY // 2, 10, np.int16), 10, 10, 1, t339=(3, [2])
    ),
    "complex": tiff(np.ones((8, 8), np.complex64), "minisblack"),
    "inks other than": tiff_file([INKS.tobytes()], tiff_tags(INKS, 8, 5, t332=(3, [2]))),
    "compression 6": tiff_file([bytes(48)], tiff_tags(PICTURE[:4, :4], 8, 6, 6)),
    "a PAM image, of a format": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0",
    "a PFM image in colour": b"PF\n1 1\n-1.0\n" + bytes(12),
    "cursor": b"\0\0\2\0\1\0\x20\x20" + bytes(40),
}


class TestWhatIsNotRead:
    """A sound file of a kind that is not read is never called damaged."""

    @pytest.mark.parametrize("name", NOT_READ)
    def test_it_is_named(self, name: str) -> None:
        with pytest.raises(UnitError, match=name) as caught:
            load_image(NOT_READ[name])
        assert caught.value.kind == "unsupported"
