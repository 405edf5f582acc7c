"""What a PDF stores for a page: read as it is displayed, and doubted where a reader sees something
else."""

from __future__ import annotations

import json

import pytest

from internvl_ops.media.parts import DecodeOptions, Part, load
from internvl_ops.media.text_layer import TextLayer
from testing.born_digital import BAD, GOOD, Page, Piece, drawn, make_page, pdf
from testing.corpus_documents import scan, scanned

OPTIONS = DecodeOptions(kind="document", text_layer="compare")
EXPECTED = {
    "table": "order",
    "stored out of order": "order",
    "columns stored across": "order",
    "wrong characters": "encoding",
    "scan": "no_text",
    "scan with OCR": "invisible",
    "half scanned": "uncovered",
    "hidden text": "hidden",
    "text to the side": "turned",
}


def layer_of(data: bytes, page: int = 1) -> TextLayer:
    layer = load(data, Part(page=page), OPTIONS, 12).seen.layer
    assert layer is not None
    return layer


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_layer_is_what_the_page_says(kind: str) -> None:
    for seed in range(3):
        page = make_page(kind, seed)
        layer = layer_of(pdf([page]))
        assert layer.doubts == ()
        assert layer.text.split() == "\n".join(page.truth).split()


@pytest.mark.parametrize("kind", BAD)
def test_a_layer_that_is_not_what_a_reader_sees_is_doubted(kind: str) -> None:
    for seed in range(3):
        assert EXPECTED[kind] in layer_of(pdf([make_page(kind, seed)])).doubts


def test_text_that_nobody_sees_is_left_out() -> None:
    page = make_page("hidden text", 1)
    assert layer_of(pdf([page])).text.split() == "\n".join(page.truth).split()


@pytest.mark.parametrize("rotate", [0, 90])
def test_places_are_shares_of_the_upright_page(rotate: int) -> None:
    content = drawn([Piece(60, 800, "at the top")])
    if rotate:
        content = b"0 g BT /F 10 Tf 0 1 -1 0 42 60 Tm (at the top) Tj ET"
    layer = layer_of(pdf([Page("", [], content, rotate=rotate)]))
    (line,) = layer.lines
    width, height = (842, 595) if rotate else (595, 842)
    assert line.left == pytest.approx(60 / width, abs=0.01)
    assert line.bottom == pytest.approx(42 / height, abs=0.01)
    assert line.top < line.bottom
    assert layer.doubts == ()


def test_the_first_page_tells_of_the_document() -> None:
    pages = [make_page("text", seed) for seed in (1, 2)]
    outline = "/Lang (de-CH) /PageLabels << /Nums [0 << /S /r /St 4 >>] >>"
    data = pdf(pages, "/Title (A book) /Author (N. N.)", outline)
    first, second = (
        load(data, Part(page=page), DecodeOptions(kind="document"), 12).seen.info for page in (1, 2)
    )
    assert first is not None
    assert second is not None
    assert json.loads(first.about) == {"title": "A book", "author": "N. N.", "language": "de-CH"}
    assert (first.label, second.label, second.about) == ("iv", "v", "")


@pytest.mark.parametrize(
    ("info", "catalog", "about"),
    [
        ("/Title <FEFFD8000041> /Author (N. N.)", "", {"author": "N. N."}),
        ("", "/PageLabels << /Nums [0 << /P <FEFFD800> >>] >>", None),
        (
            "",
            "/Outlines << /First << /Title <FEFFD8000041> /Next << /Title (b) >> >> >>",
            {
                "outline": [
                    {"level": 1, "title": "", "page": None},
                    {"level": 1, "title": "b", "page": None},
                ]
            },
        ),
        ("", "/Outlines 2 0 R /PageLabels 2 0 R /Lang 2 0 R", None),
    ],
)
def test_what_cannot_be_read_of_it_costs_no_page(
    info: str, catalog: str, about: dict | None
) -> None:
    seen = load(
        pdf([make_page("text", 1)], info, catalog), Part(page=1), DecodeOptions(kind="document"), 12
    ).seen.info
    assert seen is not None
    assert (json.loads(seen.about) if seen.about else None) == about


def test_a_scan_has_no_layer() -> None:
    layer = layer_of(scanned(scan(1)))
    assert (layer.text, layer.doubts) == ("", ("no_text",))


def test_no_layer_is_read_unless_it_is_asked_for() -> None:
    assert (
        load(
            pdf([make_page("text", 1)]), Part(page=1), DecodeOptions(kind="document"), 12
        ).seen.layer
        is None
    )
