"""A folder's files are found by their suffix, and every suffix that is looked for can be read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from internvl_ops.media.frame_files import FRAME_SUFFIXES
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions, list_parts, load
from internvl_ops.media.sampling import sample_indices
from internvl_ops.media.video import VideoOptions, load_video
from pipelines.sources.options import MEDIA_SUFFIXES
from testing import corpus_documents, corpus_pages
from testing.corpus_video import Clip, paint, read_number
from testing.office_files import MAKERS  # tests/internvl_ops/media/test_office.py reads them
from testing.pictures import encoded, natural

PICTURE = natural(64, 48)
CLIP = Clip(frames=12, width=176, height=144)


def image(file_format: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    return lambda: encoded(PICTURE.convert(mode), file_format, **options)


def animation(file_format: str) -> Callable[[], bytes]:
    return lambda: encoded(
        PICTURE, file_format, save_all=True, append_images=[natural(64, 48, seed=1)]
    )


def photoshop() -> bytes:
    header = (
        b"8BPS\0\1"
        + bytes(6)
        + b"\0\3"
        + (48).to_bytes(4, "big")
        + (64).to_bytes(4, "big")
        + b"\0\x08\0\3"
    )
    return header + bytes(12) + b"\0\0" + np.moveaxis(np.asarray(PICTURE), 2, 0).tobytes()


def video(container: str, codec: str) -> Callable[[], bytes]:
    def make() -> bytes:
        target = io.BytesIO()
        with av.open(target, "w", format=container) as out:
            stream = out.add_stream(codec, rate=CLIP.fps, options={"b": "2M"})
            stream.width, stream.height, stream.pix_fmt = CLIP.width, CLIP.height, "yuv420p"
            # libvpx threads wait by spinning: for good on a machine that is full
            stream.codec_context.thread_count = 1
            for number in range(CLIP.frames):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(paint(number, CLIP), "rgb24")))
            out.mux(stream.encode(None))
        return target.getvalue()

    return make


IMAGES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), image("JPEG")),
    ".mpo": animation("MPO"),
    ".png": image("PNG"),
    ".apng": animation("PNG"),
    ".webp": image("WEBP"),
    ".gif": image("GIF"),
    **dict.fromkeys((".tif", ".tiff"), image("TIFF")),
    **dict.fromkeys((".bmp", ".dib"), image("BMP")),
    ".avif": image("AVIF"),
    ".avifs": animation("AVIF"),
    **dict.fromkeys((".heic", ".heif", ".hif"), image("HEIF")),
    **dict.fromkeys((".jp2", ".jpf", ".jpx"), image("JPEG2000")),
    **dict.fromkeys((".j2k", ".j2c", ".jpc"), image("JPEG2000", no_jp2=True)),
    ".jxl": lambda: imagecodecs.jpegxl_encode(np.asarray(PICTURE)),
    ".ppm": image("PPM"),
    ".pnm": image("PPM"),
    ".pgm": image("PPM", "L"),
    ".pbm": image("PPM", "1"),
    ".ico": image("ICO", sizes=[(64, 48)]),
    ".tga": image("TGA"),
    ".psd": photoshop,
}
VIDEOS = {
    ".mp4": video("mp4", "libx264"),
    ".m4v": video("ipod", "libx264"),
    ".mov": video("mov", "mpeg4"),
    ".mkv": video("matroska", "libx264"),
    ".webm": video("webm", "libvpx-vp9"),
    ".avi": video("avi", "mpeg4"),
    ".mpg": video("mpeg", "mpeg1video"),
    ".mpeg": video("mpeg", "mpeg2video"),
    ".ts": video("mpegts", "libx264"),
    ".flv": video("flv", "flv"),
    ".wmv": video("asf", "wmv2"),
    ".ogv": video("ogg", "libvpx"),
    ".3gp": video("3gp", "h263"),
    ".3g2": video("3g2", "libx264"),
    ".mts": video("mpegts", "libx264"),
    ".m2ts": video("mpegts", "mpeg2video"),
    ".asf": video("asf", "msmpeg4"),
    ".vob": video("vob", "mpeg2video"),
    ".m2v": video("mpeg2video", "mpeg2video"),
    ".mxf": video("mxf", "mpeg2video"),
}
DOCUMENTS = {
    ".pdf": lambda: corpus_documents.make(corpus_documents.Document(pages=2)),
    **dict.fromkeys((".tif", ".tiff"), lambda: corpus_pages.raw_tiff([1, 2])),
    ".cbz": lambda: corpus_pages.archive(
        {name: corpus_pages.image_file(int(name[0])) for name in ("1.png", "2.png")}
    ),
}


def test_files_of_every_suffix_are_made_here() -> None:
    assert set(IMAGES) == set(MEDIA_SUFFIXES["image"])
    assert set(VIDEOS) == set(MEDIA_SUFFIXES["video"])
    assert set(DOCUMENTS) | set(MAKERS) == set(MEDIA_SUFFIXES["document"])
    assert set(FRAME_SUFFIXES) <= set(IMAGES)


@pytest.mark.parametrize("suffix", IMAGES)
def test_an_image_is_read(suffix: str) -> None:
    read = load_image(IMAGES[suffix](), ImageOptions(tile_size=56, max_tiles=1))
    assert (read.width, read.height) == (64, 48)
    if suffix not in (".pgm", ".pbm"):
        shown = np.asarray(PICTURE.resize((56, 56), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(read.tiles[0].transpose(1, 2, 0) - shown).mean() < 14


@pytest.mark.parametrize("suffix", VIDEOS)
def test_a_video_is_read(suffix: str) -> None:
    read = load_video(VIDEOS[suffix](), VideoOptions(num_frames=4, tile_size=112))
    assert (read.width, read.height, read.video_frames) == (CLIP.width, CLIP.height, CLIP.frames)
    assert [read_number(tile) for tile in read.tiles] == sample_indices(CLIP.frames, 4)


@pytest.mark.parametrize("suffix", DOCUMENTS)
def test_a_document_is_read(suffix: str) -> None:
    options = DecodeOptions(kind="document")
    document = DOCUMENTS[suffix]()
    pages = [load(document, part, options, 12) for part in list_parts(document, options)]
    assert len(pages) == 2
    assert not np.array_equal(pages[0].tiles, pages[1].tiles)
