"""Blocks of a page from answers in JSON and HTML: what they are, where they are, that no text is
lost, and what is repaired."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from internvl_ops.tasks.block_fields import TYPES
from internvl_ops.tasks.block_html import html_as_lines
from internvl_ops.tasks.block_json import read_json_blocks
from internvl_ops.tasks.block_types import BLOCKS
from internvl_ops.tasks.blocks import read_blocks

PIECES = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"', "\\", '"type"', '"text"', '"box"', '"table"', '"list"',
     '"formula"', "1", "0.5", "-3", "1e999", "NaN", "null", "true", "a", "\\frac", "\\u12", "\n",
     "\t", "```json\n", "```", '{"type": "text", "text": "', '"}', "<table>", "<td>", "| a |"]
)  # fmt: skip
BROKEN = st.lists(PIECES, max_size=40).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "box", "text", "rows", "children"]), inner)
    ),
)


def kinds(answer: str) -> list[tuple[str, str]]:
    return [(block.type, block.text) for block in read_json_blocks(answer).blocks]


def blocks(*items: object) -> str:
    return json.dumps(list(items))


def test_a_page_becomes_its_blocks_with_their_places() -> None:
    answer = blocks(
        {"type": "heading", "box": [100, 50, 500, 80], "level": 2, "text": "Results"},
        {"type": "table", "box": [100, 100, 900, 300], "text": "<table><tr><td>a<td>b</table>"},
        {"type": "formula", "box": [0, 0, 1000, 1000], "text": "$$E = mc^2$$"},
        {"type": "footnote", "text": "1 See\np. 3."},
    )
    found = read_json_blocks(f"```json\n{answer}\n```")
    rows = pa.array([found.rows((2000, 1000), (595.0, 842.0))], BLOCKS).to_pylist()[0]
    assert [(row["type"], row["text"], row["level"]) for row in rows] == [
        ("heading", "Results", 2),
        ("table", "a\tb", None),
        ("formula", "E = mc^2", None),
        ("footnote", "1 See p. 3.", None),
    ]
    assert rows[0]["box"] == {"x1": 200, "y1": 50, "x2": 1000, "y2": 80}
    assert rows[0]["box_points"] == {"x1": 59.5, "y1": 42.1, "x2": 297.5, "y2": 67.36}
    assert rows[1]["html"] == "<table><tr><td>a</td><td>b</td></tr></table>"
    assert rows[3]["box"] is rows[3]["box_points"] is None
    assert found.repairs == []


@pytest.mark.parametrize(
    ("box", "place", "repair"),
    [
        ([500, 900, 1200, 1100], (0.5, 0.9, 1, 1), "clipped"),
        ([1200, 0, 1300, 100], None, "off the page"),
        ([500, 500, 100, 100], (0.1, 0.1, 0.5, 0.5), None),
        ([100, 100, 100, 300], None, "no width"),
        ([1, 2, 3], None, "four numbers"),
        ("far left", None, "four numbers"),
        (["1", "2", "30", "40"], (0.001, 0.002, 0.03, 0.04), None),
        ("[10, 20, 30, 40]", (0.01, 0.02, 0.03, 0.04), None),
        ({"left": 10, "top": 20, "right": 30, "bottom": 40}, (0.01, 0.02, 0.03, 0.04), None),
        ([[10, 20], [30, 20], [30, 40], [10, 40]], (0.01, 0.02, 0.03, 0.04), None),
        ([0.1, 0.2, 0.3, 1], (0.1, 0.2, 0.3, 1), None),
        ([float("nan"), 1, 2, 3], None, "four numbers"),
        (None, None, None),
    ],
)
def test_a_box_is_on_the_page_or_there_is_none(
    box: object, place: tuple[float, ...] | None, repair: str | None
) -> None:
    found = read_json_blocks(blocks({"type": "paragraph", "bbox": box, "text": "a"}))
    assert found.blocks[0].place == (None if place is None else pytest.approx(place))
    assert len(found.repairs) == (repair is not None)
    assert (repair or "") in "".join(found.repairs)


@pytest.mark.parametrize(
    ("answer", "found", "repair"),
    [
        (blocks({"type": "seal", "text": "a"}), [("paragraph", "a")], "'seal' is unknown"),
        (blocks({"text": "a"}), [("paragraph", "a")], "no type"),
        (blocks("a"), [("paragraph", "a")], "without a type"),
        (r'[{"type": "formula", "text": "\frac{a}{\theta}"}]', [("formula", r"\frac{a}{\theta}")],
         "block 1: backslashes"),
        (r'[{"type": "formula", "text": "\alpha + 1"}]', [("formula", r"\alpha + 1")],
         "block 1: backslashes"),
        (r'[{"type": "text", "text": "Let $\beta$ be"}]', [("paragraph", r"Let $\beta$ be")],
         "backslashes"),
        (blocks({"type": "formula", "text": "\\frac{a}{b"}), [("formula", "\\frac{a}{b}")],
         "lacked }"),
        ('[{"type": "text", "text": "It said "no" to all"}, {"type": "code", "text": "x"}]',
         [("paragraph", 'It said "no" to all'), ("code", "x")], "block 1: its JSON was broken"),
        ('[{"type": "text", "text": "a"}, {"type": "title", "text": "it ends ear',
         [("paragraph", "a"), ("heading", "it ends ear")], "block 2: its JSON was broken"),
        ('{"blocks": [{"type": "text", "text": "a"}, {"type": "list", "text": "- b',
         [("paragraph", "a"), ("list", "- b")], "block 2: its JSON was broken"),
        ('Here it is: [{"type": "text", "text": "a"}]', [("paragraph", "a")], "'Here it is: ["),
        ("# Title\n\nText.", [("heading", "Title"), ("paragraph", "Text.")], "read as Markdown"),
        (blocks({"type": "table", "text": "<table><tr><td>a<td>b<tr><td>c"}),
         [("table", "a\tb\nc\t")], "not closed"),
        (blocks({"type": "table", "rows": [["a", "b"], ["c"]]}), [("table", "a\tb\nc\t")],
         "missing in row 2"),
        (blocks({"type": "table", "text": "a\tb\nc\td"}), [("table", "a\tb\nc\td")], "no cells"),
    ],
)  # fmt: skip
def test_what_can_be_repaired_is_repaired_and_said(
    answer: str, found: list[tuple[str, str]], repair: str
) -> None:
    assert kinds(answer) == found
    assert repair in read_json_blocks(answer).repairs[0]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "list", "text": "- a\n  - b"}, "- a\n  - b"),
        ({"type": "list", "text": "a\nb"}, "- a\n- b"),
        ({"type": "list", "items": ["a", ["b", ["c"]], "d"]}, "- a\n  - b\n    - c\n- d"),
        ({"type": "list", "items": [{"text": "a", "items": ["b"]}]}, "- a\n  - b"),
    ],
)
def test_lists_stay_nested(item: dict[str, object], text: str) -> None:
    assert kinds(blocks(item)) == [("list", text)]
    assert read_json_blocks(blocks(item)).repairs == []


def test_items_that_are_blocks_of_their_own_become_one_list_around_them() -> None:
    items = [{"category": "List-item", "bbox": [100, 100, 300, 200], "text": name} for name in "ab"]
    items[1]["bbox"] = [100, 200, 400, 300]
    found = read_json_blocks(blocks(*items))
    assert [(block.type, block.text) for block in found.blocks] == [("list", "- a\n- b")]
    assert found.blocks[0].place == pytest.approx((0.1, 0.1, 0.4, 0.3))


def test_a_figure_brings_its_caption_and_blocks_within_blocks_stand_for_themselves() -> None:
    figure = {"type": "Picture", "box": [0, 0, 9, 9], "caption": "Figure 1: a dog"}
    section = {"type": "title", "text": "A", "children": [{"type": "text", "text": "b"}]}
    assert kinds(blocks(figure, section)) == [
        ("figure", ""),
        ("caption", "Figure 1: a dog"),
        ("heading", "A"),
        ("paragraph", "b"),
    ]


@given(st.one_of(st.text(), BROKEN, VALUES.map(json.dumps)))
@example("{" * 5000)
@example("[" * 5000)
@example('{"a": ' * 5000)
def test_any_answer_can_be_read(answer: str) -> None:
    found = read_json_blocks(answer)
    pa.array([found.rows((10, 10), (5.0, 5.0))], BLOCKS)
    assert all(block.place is None or min(block.place) >= 0 for block in found.blocks)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from([*TYPES, "odd"]), "text": st.text(min_size=1, max_size=20)}
        )
    )
)
def test_no_letter_is_lost(items: list[dict[str, str]]) -> None:
    said = "".join(item["text"] for item in items if item["type"] != "table")
    found = read_json_blocks(json.dumps(items)).blocks
    got = "".join(block.text for block in found)
    kept = iter(got)
    assert all(letter in kept for letter in said if letter.isalnum())


def test_html_has_lists_code_and_characters() -> None:
    page = (
        "<!DOCTYPE html><html><head><title>no</title></head><body><h2>A &amp; B</h2>"
        "<p>x<br>y</p><ul><li>a<ol><li>b<li>c</ol></li><li><p>d</p></ul>"
        "<pre><code>if a &lt; b</code></pre><figure><img alt='A dog'><figcaption>Figure 1"
        "</figcaption></figure><table><tr><td colspan=2>e &amp; f</table>"
        "<footnote>1 z</footnote></body></html>"
    )
    found = read_blocks(html_as_lines(page))
    assert [(block.type, block.text) for block in found.blocks] == [
        ("heading", "A & B"),
        ("paragraph", "x\ny"),
        ("list", "- a\n  1. b\n  2. c\n- d"),
        ("code", "if a < b"),
        ("figure", "A dog"),
        ("caption", "Figure 1"),
        ("table", "e & f"),
        ("footnote", "1 z"),
    ]


@given(st.lists(st.sampled_from(["<ul>", "</ul>", "<ol>", "<li>", "</li>", "a", "7", "<pre>",
                                 "</pre>", "&amp;", "&lt;", "\n", "<table>", "</table>", "<td>",
                                 "<!--", "-->", "<br>", "`"])).map("".join))  # fmt: skip
def test_no_letter_of_html_is_lost(page: str) -> None:
    kept = iter("".join(block.text for block in read_blocks(html_as_lines(page)).blocks))
    comments = "<!--" in page
    assert comments or all(letter in kept for letter in page if letter in "7")
