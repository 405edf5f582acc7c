"""Loads any kind of media as tiles: selects the functions for an image, a page, a video or a
clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media.blank import is_blank, is_written
from internvl_ops.media.clips import ClipOptions, split_video
from internvl_ops.media.document import (
    DocumentOptions,
    OpenPage,
    count_pages,
    picture_page,
    render_page,
)
from internvl_ops.media.document_drawing import DrawnPage
from internvl_ops.media.document_info import PageInfo, page_info
from internvl_ops.media.fits import Fit
from internvl_ops.media.image import Picture, encode_png, image_size, load_image, load_picture
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.kinds import MediaKind, TextLayerMode
from internvl_ops.media.page_ranges import select_pages
from internvl_ops.media.picture_pages import PicturePage, picture_pages
from internvl_ops.media.picture_stats import PictureStats, picture_stats
from internvl_ops.media.text_layer import NO_LAYER, TextLayer, read_layer
from internvl_ops.media.tiling import TileShare, count_tiles
from internvl_ops.media.times import seconds_of
from internvl_ops.media.video import SampledVideo, VideoOptions, load_video


@dataclass(frozen=True)
class Part:
    """The part of a file that a unit is.

    Args:
        page: Page of a document, from 1.
        start: Start of a clip, in seconds.
        end: End of a clip, in seconds.
    """

    page: int | None = None
    start: float | None = None
    end: float | None = None


WHOLE = Part()


@dataclass(frozen=True)
class Seen:
    """What a picture or page says of itself; see `DecodeOptions`.

    Args:
        stats: Its measures, if they were asked for.
        blank: Whether it shows nothing; False if nobody asked.
        layer: The text that a PDF stores for the page; None if nobody asked.
        info: What a PDF says of the page and of itself; None for other media.
    """

    stats: PictureStats | None = None
    blank: bool = False
    layer: TextLayer | None = None
    info: PageInfo | None = None


@dataclass
class Loaded:
    """A file, or a part of one, as tiles, or as pictures for a server that tiles by itself.

    Args:
        tiles: uint8 of shape (tiles, 3, S, S).
        tiles_per_image: Number of tiles of each image or frame, in order.
        width: Width of the upright original, in pixels.
        height: Height of the upright original, in pixels.
        notes: What a reader of the result should know.
        pictures: PNG or JPEG files, one per image or frame.
        max_tiles: Maximum number of tiles into which each picture is cut.
        frame_times: For a video, when each frame is shown, in seconds, by its number and the
            average frame rate.
        seen: What the picture or page says of itself, if that was asked for.
    """

    tiles: np.ndarray
    tiles_per_image: list[int]
    width: int
    height: int
    notes: list[str] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    max_tiles: int = 0
    frame_times: list[float] = field(default_factory=list)
    seen: Seen = field(default_factory=lambda: Seen())

    def __post_init__(self) -> None:
        # A file may have compromised the decoder that made this; inconsistent arrays must not reach
        # the engine.
        if (
            self.tiles.dtype != np.uint8
            or self.tiles.ndim != 4
            or sum(self.tiles_per_image) != len(self.tiles)
        ):
            raise ValueError(
                f"tiles of shape {self.tiles.shape} for images of {self.tiles_per_image} tiles"
            )
        if not isinstance(self.seen, Seen):
            raise ValueError(f"{self.seen!r:.80} is not what a decoder sees")


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How media of any kind are read; the options of other kinds are ignored.

    Args:
        kind: The kind of the files.
        image: Options for images.
        video: Options for videos and clips.
        document: Options for documents.
        clips: How videos are split; None leaves them whole.
        pages: The pages of a document that become units, such as "1-3,7"; empty means all.
        as_pictures: Load pictures instead of tiles.
        stats: Measure pictures and pages.
        find_blank: Find pictures and pages that show nothing.
        tile_share: How several images of a row share their tiles; see `share_tile_budget`.
        text_layer: What is done with the text that a PDF stores for a page; unless it is ignored,
            it is read.
    """

    kind: MediaKind = "image"
    image: ImageOptions = field(default_factory=ImageOptions)
    video: VideoOptions = field(default_factory=VideoOptions)
    document: DocumentOptions = field(default_factory=DocumentOptions)
    clips: ClipOptions | None = None
    pages: str = ""
    as_pictures: bool = False
    stats: bool = False
    find_blank: bool = False
    text_layer: TextLayerMode = "ignore"
    tile_share: TileShare = "training"

    @property
    def explodes(self) -> bool:
        """Whether one file may become several units."""
        return self.kind == "document" or (self.kind == "video" and self.clips is not None)

    def for_tiles(
        self, tile_size: int, thumbnail: bool, *, dynamic: bool = True, fit: Fit = "stretch"
    ) -> DecodeOptions:
        """The same options for a checkpoint's tiles; if it is not `dynamic`, an image is one
        tile."""
        tiles: dict[str, Any] = {"tile_size": tile_size, "thumbnail": thumbnail, "fit": fit}
        if not dynamic:
            one: dict[str, Any] = {"min_tiles": 1, "max_tiles": 1}
            image, document = replace(self.image, **one), replace(self.document, **one)
            return replace(self, image=image, document=document).for_tiles(
                tile_size, thumbnail, fit=fit
            )
        return replace(
            self,
            image=replace(self.image, **tiles),
            video=replace(self.video, **tiles),
            document=replace(self.document, **tiles),
        )


def load(source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int) -> Loaded:
    """Decodes and tiles one file or part. Picklable and at module level, so that it can run in a
    sandbox.

    Args:
        source: The file's bytes, or a local path.
        part: The part to load.
        options: How to load it.
        max_tiles: Maximum tiles of one image in this unit; the images of a unit share its budget.

    Raises:
        UnitError: Stage "decode".
    """
    return (_PICTURES if options.as_pictures else _LOADERS)[options.kind](
        source, part, options, max_tiles
    )


def count_image_tiles(source: bytes | str, options: DecodeOptions, max_tiles: int) -> int:
    """The number of tiles that `load` would make of an image, by its header. Picklable, like
    `load`.

    Raises:
        UnitError: Stage "decode", for problems that the header shows.
    """
    assert isinstance(source, bytes), "images are small enough to be passed as bytes"
    image = options.image
    return count_tiles(
        *(image.enlarge * side for side in image_size(source, image)),
        min_tiles=min(image.min_tiles, max_tiles),
        max_tiles=max_tiles,
        tile_size=image.tile_size,
        thumbnail=image.thumbnail,
    )


def list_parts(source: bytes | str, options: DecodeOptions) -> list[Part]:
    """The units of a file: its pages, its clips, or the file itself. Picklable, like `load`.

    Raises:
        UnitError: The file cannot be read, or has too many parts.
    """
    if options.kind == "document":
        images = picture_pages(source, options.document.max_pages)
        count = count_pages(source, options.document) if images is None else len(images)
        pages = select_pages(options.pages, count)
        if not pages:
            raise UnitError(
                "explode", "bad_row", f"pages {options.pages!r} are none of its {count} pages"
            )
        return [Part(page=page) for page in pages]
    if options.clips is not None:
        return [
            Part(start=clip.start_s, end=clip.end_s) for clip in split_video(source, options.clips)
        ]
    return [WHOLE]


def _image(source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int) -> Loaded:
    assert isinstance(source, bytes), "images are small enough to be passed as bytes"
    return _tiled(PicturePage(source), options, max_tiles)


def _tiled(picture: PicturePage, options: DecodeOptions, max_tiles: int) -> Loaded:
    min_tiles = min(options.image.min_tiles, max_tiles)
    reads = replace(
        options.image, max_tiles=max_tiles, min_tiles=min_tiles, stretch=picture.stretch
    )
    looker = _Looker(options, picture.data)
    image = load_image(picture.data, reads, looker.look)
    return Loaded(
        image.tiles, [len(image.tiles)], image.width, image.height, image.notes, seen=looker.seen
    )


def _video(source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int) -> Loaded:
    start, end = seconds_of(part.start, "start"), seconds_of(part.end, "end")
    start = options.video.start if start is None else start
    end = options.video.end if end is None else end
    video: SampledVideo = load_video(source, replace(options.video, start=start, end=end))
    times = [number / video.fps for number in video.frame_numbers]
    return Loaded(
        video.tiles,
        video.tiles_per_frame,
        video.width,
        video.height,
        video.notes,
        frame_times=times,
    )


def _page(source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int) -> Loaded:
    if (picture := picture_in(source, part, options)) is not None:
        return _tiled(picture, options, max_tiles)
    looker = _Looker(options)
    page = render_page(source, part.page or 1, options.document, looker.look_at_page)
    return Loaded(
        page.tiles, [len(page.tiles)], page.width, page.height, page.notes, seen=looker.seen
    )


def _picture_of_image(
    source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int
) -> Loaded:
    assert isinstance(source, bytes), "images are small enough to be passed as bytes"
    return _picture(PicturePage(source), options, max_tiles)


def _picture(picture: PicturePage, options: DecodeOptions, max_tiles: int) -> Loaded:
    looker = _Looker(options, picture.data)
    reads = replace(options.image, stretch=picture.stretch)
    return _as_pictures(load_picture(picture.data, reads, looker.look), max_tiles, looker)


def picture_in(source: bytes | str, part: Part, options: DecodeOptions) -> PicturePage | None:
    """The page of a document whose pages are images; None for other documents."""
    pages = picture_pages(source, options.document.max_pages)
    return None if pages is None else pages.page(part.page or 1)


def _pictures_of_video(
    source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int
) -> Loaded:
    """Loads frames as pictures; each frame is one tile."""
    video = _video(source, part, options, max_tiles)
    pictures = [encode_png(np.ascontiguousarray(tile.transpose(1, 2, 0))) for tile in video.tiles]
    return Loaded(
        NO_TILES, [], video.width, video.height, video.notes, pictures, 1, video.frame_times
    )


def _picture_of_page(
    source: bytes | str, part: Part, options: DecodeOptions, max_tiles: int
) -> Loaded:
    if (picture := picture_in(source, part, options)) is not None:
        return _picture(picture, options, max_tiles)
    looker = _Looker(options)
    return _as_pictures(
        *picture_page(source, part.page or 1, options.document, looker.look_at_page), looker
    )


def _as_pictures(picture: Picture, max_tiles: int, looker: _Looker) -> Loaded:
    data = [picture.data]
    return Loaded(
        NO_TILES,
        [],
        picture.width,
        picture.height,
        picture.notes,
        data,
        max_tiles,
        seen=looker.seen,
    )


class _Looker:
    """Looks at the pixels of a picture or page while they are there, as far as the options ask for
    it."""

    def __init__(self, options: DecodeOptions, content: bytes | None = None) -> None:
        self._options, self._content = options, content
        self.seen = Seen()

    def look(self, pixels: np.ndarray) -> None:
        stats = picture_stats(pixels, self._content) if self._options.stats else None
        layer = None if self._options.text_layer == "ignore" else NO_LAYER
        self.seen = Seen(stats, self._options.find_blank and is_blank(pixels), layer)

    def look_at_page(self, opened: OpenPage, drawn: DrawnPage) -> None:
        if self._options.stats or (self._options.find_blank and not is_written(drawn.sampled())):
            self.look(drawn.rgb())
        self.seen = replace(self.seen, info=page_info(opened.document, opened.page, opened.number))
        if self._options.text_layer != "ignore":
            self.seen = replace(self.seen, layer=read_layer(opened.page, drawn.rgb()))


Loader = Callable[[bytes | str, Part, DecodeOptions, int], Loaded]
NO_TILES = np.empty((0, 3, 1, 1), np.uint8)
_LOADERS: dict[str, Loader] = {"image": _image, "video": _video, "document": _page}
_PICTURES: dict[str, Loader] = {
    "image": _picture_of_image,
    "video": _pictures_of_video,
    "document": _picture_of_page,
}
