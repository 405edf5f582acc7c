"""Renders pages of a PDF document as the tiles that InternVL reads: one page at a time, never the
whole document."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pypdfium2 as pdfium

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media import shared
from internvl_ops.media.document_drawing import DrawnPage, draw, workspace
from internvl_ops.media.document_notes import notes_of
from internvl_ops.media.fits import Fit
from internvl_ops.media.image import Picture, TiledImage, encode_png
from internvl_ops.media.pdf_files import open_document
from internvl_ops.media.tiling import (
    Resize,
    choose_grid,
    cut,
    tile_image,
    tile_planes,
)

_POINTS_PER_INCH = 72
# pixels; resizing a longer strip of paper takes more memory than the strip itself
_LONGEST_SIDE = 20_000
_LONGEST_PAGE = 1_000_000  # points, 350 m
_LARGEST_NUMBER = 2**31 - 1  # the maximum of the columns width and height
# pixels; a page can be drawn at any size, so it always has enough pixels for a larger grid
_LARGE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class DocumentOptions:
    """How pages are rendered.

    Args:
        dpi: Pixels per inch. None draws each page directly into the grid of tiles that suits its
            shape, as large as ``max_tiles`` allows: nothing is resized afterwards, so small print
            stays sharp. Give a number to reproduce a pipeline that renders at that resolution.
        tile_size: Side of a tile in pixels, from the checkpoint.
        min_tiles: Minimum number of tiles, without the thumbnail.
        max_tiles: Maximum number of tiles, without the thumbnail. Small print needs 24.
        thumbnail: Append the whole page as one more tile when there are several.
        fit: How it gets the shape of its tiles; see `tile_image`.
        resize: "fast" or "exact"; see `tile_image`.
        max_pixels: A page with more pixels at ``dpi`` is rendered at a lower resolution, with a
            note in the result.
        max_pages: Documents with more pages are refused.
        password: Opens encrypted documents; others ignore it.
    """

    dpi: float | None = None
    tile_size: int = 448
    min_tiles: int = 1
    max_tiles: int = 12
    thumbnail: bool = True
    fit: Fit = "stretch"
    resize: Resize = "fast"
    max_pixels: int = 50_000_000
    max_pages: int = 50_000
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class OpenPage:
    """A page while it is drawn.

    Args:
        document: Its document.
        page: The page.
        number: Its number, from 1.
    """

    document: pdfium.PdfDocument
    page: pdfium.PdfPage
    number: int


# Gets the page, and what is drawn of it: all its pixels as `rgb`, which takes time, or some.
PageLook = Callable[[OpenPage, DrawnPage], None]
_Look = Callable[[DrawnPage], None]


def count_pages(source: bytes | str, options: DocumentOptions | None = None) -> int:
    """The number of pages of a document.

    Args:
        source: The file's bytes, or the path of a readable local file.
        options: Provides the limit on pages.

    Raises:
        UnitError: Stage "decode"; "unsupported" for what is not a PDF or is encrypted, "corrupt",
            "too_large".
    """
    options = options or DocumentOptions()
    with open_document(source, options.password) as document:
        count = len(document)
    if count > options.max_pages:
        raise UnitError(
            "decode",
            "too_large",
            f"{count:,} pages; at most {options.max_pages:,} are allowed: raise"
            f" {keyword('max_pages')}",
        )
    return count


def render_page(
    source: bytes | str,
    page: int,
    options: DocumentOptions | None = None,
    look: PageLook | None = None,
) -> TiledImage:
    """Renders one page.

    Args:
        source: The file's bytes, or the path of a readable local file.
        page: Its number, from 1.
        options: How to render it.
        look: Called with the open page and what makes its pixels, before they are cut.

    Returns:
        Its tiles; width and height are those of the page at the resolution at which it was
        rendered. A note names the resolution.

    Raises:
        UnitError: Stage "decode"; "bad_row" if there is no such page, else as in `count_pages`.
    """
    options = options or DocumentOptions()
    with open_document(source, options.password) as document:
        return _render(document, page, options, look)


def render_pages(
    source: bytes | str, pages: Sequence[int], options: DocumentOptions | None = None
) -> list[TiledImage | UnitError]:
    """Renders several pages of one document, which is read once; a page that fails is an error in
    its place.

    The result holds all pages in memory: request some tens of pages at a time.

    Raises:
        UnitError: The document as a whole cannot be read.
    """
    options = options or DocumentOptions()
    results: list[TiledImage | UnitError] = []
    with open_document(source, options.password) as document:
        for page in pages:
            try:
                results.append(_render(document, page, options))
            except UnitError as error:
                results.append(error)
    return results


def picture_page(
    source: bytes | str,
    page: int,
    options: DocumentOptions | None = None,
    look: PageLook | None = None,
) -> tuple[Picture, int]:
    """Renders one page without cutting it into tiles.

    Args:
        source: The file's bytes, or the path of a readable local file.
        page: Its number, from 1.
        options: How to render it.
        look: Called with the open page and what makes its pixels.

    Returns:
        The page as a PNG, and the `max_tiles` with which `tile_image` cuts it as `render_page`
        does. Width and height are the same as from `render_page`.

    Raises:
        UnitError: As in `render_page`.
    """
    options = options or DocumentOptions()
    with (
        open_document(source, options.password) as document,
        _page(document, page) as (opened, width, height),
    ):
        seen = _look_at(look, document, opened, page)
        if options.dpi is not None:
            drawn, note = _draw_at(opened, width, height, options.dpi, options)
            _look(seen, drawn)
            notes = [note, *notes_of(document, opened)]
            pixels = drawn.rgb()
            return (
                Picture(encode_png(pixels), pixels.shape[1], pixels.shape[0], notes),
                options.max_tiles,
            )
        columns, rows = _grid(width, height, options)
        size, note = _size_in_grid(width, height, columns, rows, options)
        drawn = draw(opened, columns * options.tile_size, rows * options.tile_size)
        _look(seen, drawn)
        return (
            Picture(encode_png(drawn.rgb()), *size, [note, *notes_of(document, opened)]),
            columns * rows,
        )


def _render(
    document: pdfium.PdfDocument,
    number: int,
    options: DocumentOptions,
    look: PageLook | None = None,
) -> TiledImage:
    with _page(document, number) as (page, width, height):
        seen = _look_at(look, document, page, number)
        if options.dpi is None:
            tiled = _into_grid(page, width, height, options, seen)
        else:
            tiled = _at_resolution(page, width, height, options.dpi, options, seen)
        tiled.notes += notes_of(document, page)
        return tiled


@contextlib.contextmanager
def _page(
    document: pdfium.PdfDocument, number: int
) -> Iterator[tuple[pdfium.PdfPage, float, float]]:
    """A page with its width and height in points."""
    if not 1 <= number <= len(document):
        raise UnitError(
            "decode",
            "bad_row",
            f"page {number} is not there: the document has {len(document)} pages",
        )
    try:
        page = document[number - 1]
    except pdfium.PdfiumError:
        raise UnitError(
            "decode", "corrupt", f"page {number} is damaged; the other pages may not be"
        ) from None
    try:
        width, height = page.get_size()
        if not (0 < width < math.inf and 0 < height < math.inf):
            raise UnitError(
                "decode",
                "corrupt",
                f"page {number} has size {width}x{height} points; above 0 is needed",
            )
        if max(width, height) > _LONGEST_PAGE:
            raise UnitError(
                "decode",
                "too_large",
                f"page {number} has size {width:g}x{height:g} points; at most {_LONGEST_PAGE:,} a"
                " side are allowed",
            )
        yield page, width, height
    finally:
        page.close()


def _grid(width: float, height: float, options: DocumentOptions) -> tuple[int, int]:
    """Columns and rows of the grid that suits the page's shape, as large as allowed."""
    stretch = _LARGE / min(width, height)
    return choose_grid(
        max(1, round(width * stretch)),
        max(1, round(height * stretch)),
        min_tiles=options.min_tiles,
        max_tiles=options.max_tiles,
        tile_size=options.tile_size,
    )


def _look_at(
    look: PageLook | None, document: pdfium.PdfDocument, page: pdfium.PdfPage, number: int
) -> _Look | None:
    return None if look is None else functools.partial(look, OpenPage(document, page, number))


def _look(look: _Look | None, drawn: DrawnPage) -> None:
    if look is not None:
        look(drawn)


def _into_grid(
    page: pdfium.PdfPage, width: float, height: float, options: DocumentOptions, look: _Look | None
) -> TiledImage:
    side = options.tile_size
    columns, rows = _grid(width, height, options)
    size, note = _size_in_grid(width, height, columns, rows, options)
    drawn = draw(page, columns * side, rows * side)
    _look(look, drawn)
    count = columns * rows
    with_thumbnail = options.thumbnail and count != 1
    tiles = shared.empty((count + with_thumbnail, 3, side, side))
    planes = drawn.planes() if options.resize == "fast" else None
    cut(drawn.rgb() if planes is None else planes.planes, columns, rows, tiles)
    if with_thumbnail and planes is not None:
        cut(planes.resized(side, side), 1, 1, tiles[count:])
    elif with_thumbnail:
        tiles[count] = tile_image(
            drawn.rgb(), tile_size=side, max_tiles=1, resize=options.resize, workspace=workspace
        )[0]
    return TiledImage(tiles, *size, [note])


def _size_in_grid(
    width: float, height: float, columns: int, rows: int, options: DocumentOptions
) -> tuple[tuple[int, int], str]:
    """The page's size in pixels at the resolution of its grid, and a note that names the
    resolution."""
    scale = max(columns * options.tile_size / width, rows * options.tile_size / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if max(size) > _LARGEST_NUMBER:
        message = f"a page of {width:g}x{height:g} points is too narrow for its length to be drawn"
        raise UnitError("decode", "too_large", message)
    return size, _note(scale)


def _at_resolution(
    page: pdfium.PdfPage,
    width: float,
    height: float,
    dpi: float,
    options: DocumentOptions,
    look: _Look | None,
) -> TiledImage:
    drawn, note = _draw_at(page, width, height, dpi, options)
    _look(look, drawn)
    planes = None
    if options.fit == "stretch" and options.resize == "fast":
        planes = drawn.planes()
    if planes is not None:
        tiles = tile_planes(
            planes,
            tile_size=options.tile_size,
            min_tiles=options.min_tiles,
            max_tiles=options.max_tiles,
            thumbnail=options.thumbnail,
        )
    else:
        tiles = tile_image(
            drawn.rgb(),
            tile_size=options.tile_size,
            min_tiles=options.min_tiles,
            max_tiles=options.max_tiles,
            thumbnail=options.thumbnail,
            fit=options.fit,
            resize=options.resize,
            workspace=workspace,
        )
    return TiledImage(tiles, drawn.width, drawn.height, [note])


def _draw_at(
    page: pdfium.PdfPage, width: float, height: float, dpi: float, options: DocumentOptions
) -> tuple[DrawnPage, str]:
    """The page at the given resolution, or at the highest within the limits, and a note that names
    it."""
    wanted = dpi / _POINTS_PER_INCH
    scale = min(
        wanted, math.sqrt(options.max_pixels / (width * height)), _LONGEST_SIDE / max(width, height)
    )
    whole = math.floor if scale < wanted else math.ceil  # like pypdfium2, and never above a limit
    drawn = draw(page, max(1, whole(width * scale)), max(1, whole(height * scale)))
    instead = f" instead of {dpi:g}: the page is very large" if scale < wanted else ""
    return drawn, _note(scale) + instead


def _note(scale: float) -> str:
    return f"rendered at {scale * _POINTS_PER_INCH:.3g} dpi"
