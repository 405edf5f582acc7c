"""What files are said to be, and that what is listed as an image is read."""

from __future__ import annotations

import io
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from internvl_ops.errors import UnitError
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.sniff import IMAGE_FORMATS, IMAGE_SUFFIXES, sniffed, unreadable
from internvl_ops.media.tiling import tile_image
from testing.pictures import encoded, natural

SMALL = ImageOptions(tile_size=56)


def psd(pixels: np.ndarray, *, layers: bytes = b"") -> bytes:
    """A Photoshop document that has a composite of 8-bit RGB, or RGB and one channel more."""
    height, width, channels = pixels.shape
    header = (
        b"8BPS\0\1"
        + bytes(6)
        + channels.to_bytes(2, "big")
        + height.to_bytes(4, "big")
        + width.to_bytes(4, "big")
    )
    planes = np.moveaxis(pixels, 2, 0).tobytes()
    return (
        header
        + b"\0\x08\0\3"
        + bytes(8)
        + len(layers).to_bytes(4, "big")
        + layers
        + b"\0\0"
        + planes
    )


WRITERS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: encoded(image, "JPEG"),
    "PNG": lambda image: encoded(image, "PNG"),
    "WebP": lambda image: encoded(image, "WEBP"),
    "GIF": lambda image: encoded(image.quantize(64), "GIF"),
    "TIFF": lambda image: encoded(image, "TIFF"),
    "BMP": lambda image: encoded(image, "BMP"),
    "AVIF": lambda image: encoded(image, "AVIF"),
    "HEIC": lambda image: encoded(image, "HEIF"),
    "JPEG 2000": lambda image: encoded(image, "JPEG2000"),
    "JPEG XL": lambda image: imagecodecs.jpegxl_encode(np.asarray(image)),
    "PPM": lambda image: encoded(image, "PPM"),
    "ICO": lambda image: encoded(image, "ICO", sizes=[image.size]),
    "TGA": lambda image: encoded(image, "TGA"),
    "PSD": lambda image: psd(np.asarray(image)),
}


class TestListedFormats:
    @pytest.mark.parametrize("name", IMAGE_FORMATS)
    def test_every_listed_format_is_read(self, name: str) -> None:
        picture = natural(64, 48)
        image = load_image(WRITERS[name](picture), SMALL)
        assert (image.width, image.height) == (64, 48)
        assert np.abs(image.tiles.astype(int) - tile_image(picture, tile_size=56)).mean() < 12

    def test_every_suffix_that_pillow_knows_for_these_formats_is_listed(self) -> None:
        Image.init()
        formats = {
            "JPEG",
            "MPO",
            "PNG",
            "WEBP",
            "GIF",
            "TIFF",
            "BMP",
            "AVIF",
            "HEIF",
            "JPEG2000",
            "ICO",
            "PSD",
        }
        known = {
            suffix for suffix, kind in Image.registered_extensions().items() if kind in formats
        }
        # Sequences, and what Motion JPEG 2000 is, are videos.
        assert known - set(IMAGE_SUFFIXES) <= {".heics", ".heifs", ".hif"}

    @pytest.mark.parametrize(
        "suffix",
        [".hif", ".mpo", ".apng", ".pnm", ".j2c", ".jpf", ".avifs", ".ico", ".tga", ".psd", ".jxl"],
    )
    def test_suffixes_that_cameras_and_tools_write(self, suffix: str) -> None:
        assert suffix in IMAGE_SUFFIXES

    def test_none_is_listed_twice(self) -> None:
        assert len(set(IMAGE_SUFFIXES)) == len(IMAGE_SUFFIXES)


class TestWhatAFileIs:
    @pytest.mark.parametrize(
        ("data", "name", "family"),
        [
            (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), "Canon CR3", "other"),
            (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42", "MPEG-4 sound", "sound"),
            (b"\0\0\0\x18ftypmif3\0\0\0\0mif3avif", "HEIF file", "image"),
            (b"\0\0\0\x18ftypmif2\0\0\0\0mif2", "HEIF file", "image"),
            (b"\0\0\0\x18ftypqt  \0\0\0\0qt  ", "QuickTime video", "video"),
            (b"\0\0\0\x14ftypwxyz\0\0\0\0wxyz", "unknown brand 'wxyz'", "other"),
            (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAF", "other"),
            (b"IIRO\x08\0\0\0", "Olympus ORF", "other"),
            (b"IIU\0\x18\0\0\0", "Panasonic RW2", "other"),
            (b"ID3\4\0\0", "MP3 sound", "sound"),
            (b"\xff\xfb\x90\x64" + bytes(40), "MP3 sound", "sound"),
            (b"fLaC\0\0\0\x22", "FLAC sound", "sound"),
            (b"<!-- a -->" * 900 + b"<svg:svg xmlns:svg='x'/>", "SVG drawing", "other"),
            (
                b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a '<b>'>]><ns0:svg>",
                "SVG drawing",
                "other",
            ),
            (b"<?xml version='1.0'?><kml></kml>", "XML document", "other"),
            (b"<?xml version='1.0'?><!DOCTYPE html><html><svg/></html>", "HTML page", "other"),
            (b"PK\3\4" + bytes(26) + b"ppt/slides", "PowerPoint", "other"),
            (b"PK\3\4" + bytes(26) + b"mimetypeapplication/epub+zip", "EPUB", "other"),
            (b"PK\3\4" + bytes(26), "ZIP archive", "other"),
        ],
    )
    def test_it_is_named(self, data: bytes, name: str, family: str) -> None:
        found = sniffed(data)
        assert name in found.name
        assert found.family == family

    @pytest.mark.parametrize("wanted", ["image", "video", "document"])
    def test_a_message_never_sends_to_the_column_the_file_came_from(self, wanted: str) -> None:
        for picture in (
            b"\x89PNG\r\n\x1a\n" + bytes(40),
            b"%PDF-1.7",
            b"\x1a\x45\xdf\xa3" + bytes(9),
        ):
            assert f"{wanted} column" not in unreadable(picture, wanted).message  # type: ignore[arg-type]

    def test_pointers_and_error_pages_are_said_to_videos_and_documents_too(self) -> None:
        for wanted in ("video", "document"):
            error = unreadable(b"version https://git-lfs.github.com/spec/v1\n", wanted)
            assert "git lfs pull" in error.message
            assert (
                "AccessDenied"
                in unreadable(b"<Error><Code>AccessDenied</Code></Error>", wanted).message
            )


class TestTargaAndPhotoshop:
    def test_a_cut_targa_is_no_image(self) -> None:
        data = WRITERS["TGA"](natural(64, 48))
        with pytest.raises(UnitError):
            load_image(data[: len(data) // 2], SMALL)

    def test_a_fourth_channel_of_a_psd_is_transparency_only_where_its_layers_say_so(self) -> None:
        pixels = np.dstack([np.full((48, 64, 3), 90, np.uint8), np.zeros((48, 64), np.uint8)])
        assert load_image(psd(pixels), SMALL).tiles.max() == 90
        layers = (4).to_bytes(4, "big") + (-1).to_bytes(2, "big", signed=True) + bytes(2)
        assert load_image(psd(pixels, layers=layers), SMALL).tiles.min() == 255

    def test_an_icon_whose_picture_is_larger_than_it_says_is_too_large(self) -> None:
        file = io.BytesIO()
        Image.new("RGB", (200, 200)).save(file, "ICO", sizes=[(200, 200)])
        with pytest.raises(UnitError) as caught:
            load_image(
                file.getvalue().replace(b"\xc8\xc8", b"\x10\x10", 1), ImageOptions(max_pixels=1000)
            )
        assert caught.value.kind == "too_large"
