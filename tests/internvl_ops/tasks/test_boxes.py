"""Boxes from answers, and answers from boxes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from internvl_ops.tasks.boxes import Box, format_box, parse_boxes, parse_text_boxes
from tests.internvl_ops.tasks.box_cases import CASES
from tests.internvl_ops.tasks.worded_box_cases import WORDED


def written(boxes: list[Box] | None) -> str:
    """As in ``box_cases``."""
    if boxes is None:
        return "?"
    return (
        " | ".join(
            f"{box.label} {box.x1:g} {box.y1:g} {box.x2:g} {box.y2:g}".strip() for box in boxes
        )
        or "none"
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(*case, id=f"{kind}-{number}")
        for kind, cases in (CASES | WORDED).items()
        for number, case in enumerate(cases)
    ],
)
def test_case(answer: str, expected: str) -> None:
    assert written(parse_boxes(answer, 1000, 1000)) == expected.strip()


def test_there_are_two_hundred_cases() -> None:
    assert len({answer for cases in CASES.values() for answer, _ in cases}) >= 200


def test_boxes_are_in_pixels_of_the_image() -> None:
    assert parse_boxes("<ref>a</ref><box>[[250, 500, 750, 1000]]</box>", 640, 480) == [
        Box("a", 160, 240, 480, 480)
    ]


SIZES = st.integers(1, 20_000)
# What answers are made of, put together at random: more often near the rules than any text is.
PIECES = st.sampled_from(
    [
        *"[](){},;:. \n<>|\"'-，【】",
        *(
            "<ref>",
            "</ref>",
            "<box>",
            "</box>",
            "<quad>",
            "[[",
            "]]",
            "```json",
            '"label": "x"',
            '"bbox_2d": ',
            "x1=",
        ),
        *(
            "0.5",
            "12",
            "999",
            "-3",
            "1e9",
            "car",
            "车",
            "no box",
            "null",
            "5%",
            "and",
            "和",
            "<pred>",
            "</pred>",
        ),
        *(
            "top-left: ",
            "bottom-right: ",
            "(1, 2)",
            " to ",
            "y1: ",
            "x2=",
            "y2: ",
            "x: ",
            "y: ",
            "w: ",
            "h: ",
        ),
    ]
)


@given(
    st.text() | st.lists(PIECES, max_size=60).map("".join),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
)
@example("[[1, 2, 3, 4]]", 0, 0)
def test_takes_any_text_and_stays_within_the_image(answer: str, width: int, height: int) -> None:
    for box in parse_boxes(answer, width, height) or []:
        assert 0 <= box.x1 <= box.x2 <= width
        assert 0 <= box.y1 <= box.y2 <= height


@st.composite
def boxes_in_images(draw: st.DrawFn) -> tuple[list[Box], int, int]:
    width, height = draw(SIZES), draw(SIZES)

    def span(size: int) -> tuple[float, float]:
        ends = st.floats(0, size) | st.integers(0, size)
        return tuple(sorted((float(draw(ends)), float(draw(ends)))))  # type: ignore[return-value]

    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        (x1, x2), (y1, y2) = span(width), span(height)
        boxes.append(
            Box(
                draw(st.sampled_from(["car", "红色的车", "[1, 2]", "a: b", "no box"])),
                x1,
                y1,
                x2,
                y2,
            )
        )
    return boxes, width, height


@given(boxes_in_images())
@example(([Box("car", 0, 0, 1, 1)], 1000, 1000))
def test_pixels_to_answer_to_pixels_within_one_unit_of_the_grid(
    made: tuple[list[Box], int, int],
) -> None:
    boxes, width, height = made

    again = parse_boxes("".join(format_box(box, width, height) for box in boxes), width, height)

    assert again is not None
    assert [box.label for box in again] == [box.label for box in boxes]
    for box, other in zip(boxes, again, strict=True):
        assert (other.x1, other.x2) == pytest.approx((box.x1, box.x2), rel=0, abs=width / 1000)
        assert (other.y1, other.y2) == pytest.approx((box.y1, box.y2), rel=0, abs=height / 1000)


SPELLINGS = [
    "<ref>{0}</ref><box>[[{1}, {2}, {3}, {4}]]</box>",
    "<ref>{0}</ref><box>[{1}, {2}, {3}, {4}]</box>, ",
    "<ref>{0}</ref>[[{1},{2},{3},{4}]] and ",
    (
        "<ref>{0}</ref><box>[[{1}, {2}, {3}, {4}]]</box><pred>on</pred><box>[[1, 2, 3,"
        " 4]]</box><box>[[5, 6, 7, 8]]</box>"
    ),
    "{0}[[{1}, {2}, {3}, {4}]]\n",
    "{0}【{1}，{2}，{3}，{4}】；",
    "{0}: ({1}, {2}), ({3}, {4})\n",
    "{0}: ({1}, {2}) to ({3}, {4})\n",
    "{0}: from ({3}, {4}) to ({1}, {2})\n",
    "{0}：从（{1}，{2}）到（{3}，{4}）\n",
    "**{0}**\n- **Top-left corner:** ({1}, {2})\n- **Bottom-right corner:** ({3}, {4})\n",
    "{0}: bottom-left ({1}, {4}); top-right ({3}, {2})\n",
    "{0}：左上角坐标为（{1}，{2}），右下角坐标为（{3}，{4}）。\n",
    "{0}: x1: {1}, y1: {2}, x2: {3}, y2: {4}\n",
    "{0}: xmin={1}, xmax={3}, ymin={2}, ymax={4}\n",
    "{0}: top: {2}, left: {1}, bottom: {4}, right: {3}\n",
    '{{"label": "{0}", "bbox_2d": [{1}, {2}, {3}, {4}]}}\n',
    '{{"{0}": {{"top_left": [{1}, {2}], "bottom_right": [{3}, {4}]}}}}\n',
]
EDGES = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted)


@given(
    st.sampled_from(SPELLINGS),
    st.lists(
        st.tuples(st.sampled_from(["car", "a red bus", "红色的车"]), EDGES, EDGES),
        min_size=1,
        max_size=4,
    ),
)
def test_boxes_are_read_in_every_spelling(
    spelling: str, wanted: list[tuple[str, tuple[int, int], tuple[int, int]]]
) -> None:
    answer = "".join(spelling.format(label, x1, y1, x2, y2) for label, (x1, x2), (y1, y2) in wanted)

    assert parse_boxes(answer + "\n", 1000, 1000) == [
        Box(label, x1, y1, x2, y2) for label, (x1, x2), (y1, y2) in wanted
    ]


def test_writes_what_the_family_writes() -> None:
    assert (
        format_box(Box("a car", 48, 240, 96.2, 480), 640, 480)
        == "<ref>a car</ref><box>[[75, 500, 150, 1000]]</box>"
    )
    assert format_box(Box("", -5, 0, 700, 480), 640, 480) == "<box>[[0, 0, 1000, 1000]]</box>"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "[",
            "<ref>",
            "<box>",
            "<ref>a",
            " ",
            "1",
            "1 ",
            "1, 2, ",
            "[1",
            "{",
            '{"a": [1,2,3,4',
            "\\",
            '"label": "',
        ),
        *(
            "x1=",
            "x1: 1, ",
            "top left: (1, 2) ",
            "(1, 2) to ",
            "<pred>",
            "null",
            "[null, ",
            "and ",
            "is ",
        ),
    ],
)
def test_an_answer_of_one_piece_takes_no_time_that_hurts(piece: str) -> None:
    parse_boxes("<box>[[" + piece * (40_000 // len(piece)), 100, 100)
    parse_boxes(piece * (40_000 // len(piece)), 100, 100)


LINES = [
    (
        "<ref>Invoice</ref><box>[[1, 2, 3, 4]]</box>\n<ref>No. 12</ref><box>[[5, 6, 7, 8]]</box>",
        "Invoice|No. 12",
        2,
    ),
    (
        "<ref>Name: A</ref><box>[[1, 2, 3, 4]]</box><ref>Fee: 3.50</ref><box>[[5, 6, 7, 8]]</box>",
        "Name: A|Fee: 3.50",
        2,
    ),
    (
        "<ref>图书馆</ref><box>[[1, 2, 3, 4]]</box>\n<ref>（开）</ref><box>[[5, 6, 7, 8]]</box>",
        "图书馆|（开）",
        2,
    ),
    ("<ref>one line</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>", "one line", 2),
    (
        "<ref>twice</ref><box>[[1, 2, 3, 4]]</box>\n<ref>twice</ref><box>[[5, 6, 7, 8]]</box>",
        "twice|twice",
        2,
    ),
    (
        "<ref>whole</ref><box>[[1, 2, 3, 4]]</box>\n<ref>cut off</ref><box>[[5, 6",
        "whole|cut off",
        1,
    ),
    ("<ref>whole</ref><box>[[1, 2, 3, 4]]</box>\n<ref>cut o", "whole|cut o", 1),
    ("<ref>[ ] yes, <b> 5 > 4</ref><box>[[1, 2, 3, 4]]</box>", "[ ] yes, <b> 5 > 4", 1),
    ("Name:[[1, 2, 3, 4]]\nFee (net): 3.50[[5, 6, 7, 8]]", "Name:|Fee (net): 3.50", 2),
    ("Heading\nFee[[1, 2, 3, 4]]\nuser: hello", "Heading|Fee|user: hello", 1),
    (
        '[{"bbox_2d": [1, 2, 3, 4], "text": "Name:"}, {"bbox_2d": [5, 6, 7, 8], "text": "Fee"}]',
        "Name:|Fee",
        2,
    ),
    ("No smoking", "No smoking", None),
    ("[ ] yes\n[ ] no", "[ ] yes|[ ] no", None),
    ("<ref>Hello</ref><box>[[]]</box>", "Hello", None),
    ("", "", 0),
    ("[]", "", 0),
    ("There is no text in the image.", "", 0),
    ("图中没有文字。", "", 0),
]


@pytest.mark.parametrize(("answer", "text", "num_boxes"), LINES)
def test_text_and_boxes_of_an_ocr_answer(answer: str, text: str, num_boxes: int | None) -> None:
    found, boxes = parse_text_boxes(answer, 1000, 1000)

    assert found.splitlines() == [line for line in text.split("|") if line]
    assert (None if boxes is None else len(boxes)) == num_boxes


def test_boxes_are_labelled_with_their_text() -> None:
    _, boxes = parse_text_boxes("<ref>Name: A</ref><box>[[1, 2, 3, 4]]</box>", 1000, 1000)

    assert boxes == [Box("Name: A", 1, 2, 3, 4)]


@given(st.text() | st.lists(PIECES, max_size=60).map("".join))
def test_reads_any_text(answer: str) -> None:
    text, boxes = parse_text_boxes(answer, 640, 480)

    assert isinstance(text, str)
    assert boxes is None or boxes or not text
