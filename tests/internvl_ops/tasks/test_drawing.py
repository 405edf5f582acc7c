"""Boxes drawn into pictures: what is seen, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from internvl_ops.tasks import drawing
from internvl_ops.tasks.boxes import Box
from internvl_ops.tasks.drawing import draw_boxes

GREY = (128, 128, 128)


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(drawing, "FONTS", ())
    drawing._fonts.cache_clear()
    yield
    drawing._fonts.cache_clear()


def grey(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def drawn_on(pixels: np.ndarray) -> np.ndarray:
    """bool, shape (height, width): where something was drawn on grey."""
    return (pixels != GREY).any(axis=-1)


def test_the_frame_stands_where_the_box_is_and_nothing_else_is_touched() -> None:
    picture = grey(640, 480)

    drawn = drawn_on(np.asarray(draw_boxes(picture, [Box("", 100, 150, 300, 350)])))

    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (150, 350, 100, 300)
    assert not drawn[160:340, 110:290].any()
    assert picture.getextrema() == ((128, 128),) * 3


def test_one_colour_a_label() -> None:
    boxes = [
        Box(label, 20 + 60 * number, 300, 60 + 60 * number, 400)
        for number, label in enumerate("abcabc")
    ]

    pixels = np.asarray(draw_boxes(grey(640, 480), boxes))

    colours = [tuple(pixels[350, 20 + 60 * number]) for number in range(6)]
    assert colours[:3] == colours[3:]
    assert len(set(colours)) == 3


def test_many_labels_have_many_colours() -> None:
    boxes = [Box(f"label {number}", 10 * number, 0, 10 * number + 4, 479) for number in range(24)]

    pixels = np.asarray(draw_boxes(grey(640, 480), boxes)).astype(int)

    colours = np.array([pixels[240, 10 * number] for number in range(24)])
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=-1)
    assert (distances + 1000 * np.eye(24) > 20).all()


@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (20, 10),
        (60, 40),
        (640, 480),
        (480, 640),
        (3000, 2),
        (2, 3000),
        (3000, 2000),
        (8000, 40),
    ],
)
def test_a_label_is_legible_at_any_size(size: tuple[int, int]) -> None:
    box = Box("cat", 0, 0, *size)

    labelled, plain = (
        np.asarray(draw_boxes(grey(*size), [one])) for one in (box, Box("", 0, 0, *size))
    )

    assert labelled.shape[0] % size[1] == labelled.shape[1] % size[0] == 0
    changed = drawn_on(labelled) & ~drawn_on(plain)
    rows = np.flatnonzero(changed.any(axis=1))
    assert rows[-1] - rows[0] >= 8
    # The sign is filled with the frame's colour, and the letters on it are as far from that as
    # black or white is.
    colours = np.unique(labelled[changed], axis=0).astype(int)
    assert np.abs(colours[:, None] - colours[None]).sum(axis=-1).max() > 300


@pytest.mark.parametrize("corner", [(0, 0), (600, 0), (0, 460), (600, 460)])
def test_a_label_in_a_corner_is_whole(corner: tuple[int, int]) -> None:
    def letters(x: int, y: int) -> int:
        """White pixels: the letters on red, the first colour."""
        pixels = np.asarray(
            draw_boxes(grey(640, 480), [Box("traffic light", x, y, x + 40, y + 20)])
        )
        return int((pixels == 255).all(axis=-1).sum())

    assert letters(*corner) == letters(300, 200) > 0


def test_labels_of_boxes_in_one_place_do_not_cover_each_other() -> None:
    places: list[tuple[float, float, float, float]] = []
    frame = (100.0, 100.0, 300.0, 300.0)
    for _ in range(4):
        places.append(next(drawing._free_places(frame, 80, 20, (640, 480), places)))

    assert len(set(places)) == 4


@pytest.mark.usefixtures("no_system_fonts")
def test_a_label_in_a_script_without_a_font_is_the_number_of_the_box() -> None:
    boxes = [Box("", 10, 10, 20, 20), Box("红色的车", 100, 100, 300, 300)]
    numbered = [boxes[0], Box("2", 100, 100, 300, 300)]

    assert (
        draw_boxes(grey(640, 480), boxes).tobytes()
        == draw_boxes(grey(640, 480), numbered).tobytes()
    )


@pytest.mark.usefixtures("no_system_fonts")
def test_accents_are_left_aside_where_the_font_has_none() -> None:
    accented, bare = (
        draw_boxes(grey(640, 480), [Box(label, 100, 100, 300, 300)]) for label in ("café", "cafe")
    )

    assert accented.tobytes() == bare.tobytes()


@pytest.mark.parametrize(
    "label", ["红色的车", "\ud800", "\x00", "two\nlines", "🚗", "long " * 1000, " ", "ก", "a\u0301"]
)
def test_takes_any_label(label: str) -> None:
    drawn = draw_boxes(grey(640, 480), [Box(label, 100, 100, 300, 300)])

    assert drawn_on(np.asarray(drawn)).any()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_takes_any_mode(mode: str) -> None:
    drawn = draw_boxes(Image.new(mode, (640, 480)), [Box("car", 100, 100, 300, 300)])

    assert drawn.mode == "RGB"
    assert np.asarray(drawn)[200, 100].any()


def test_no_boxes_leave_the_picture_as_it_is() -> None:
    assert draw_boxes(grey(640, 480), []).tobytes() == grey(640, 480).tobytes()
