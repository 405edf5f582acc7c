"""Blocks of a page from answers: what they are, that nothing is lost, and what is repaired."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from internvl_ops.tasks.block_types import BLOCKS
from internvl_ops.tasks.blocks import markdown, read_blocks

PAGE = """\
# The title

A paragraph of
two lines.

## Results ##

- one
- two
  1. inner

- three

Table 1: Numbers

| a | b |
|---|:-:|
| 1 | 2 |

$$
E = mc^2
$$

![A cat](cat.png)
Fig. 2. It sleeps.

```python
x = 1
```

17
"""
PIECES = st.sampled_from(
    ["a", "B7", "\u5b57", " ", "  ", "\n", "\n\n", "# ", "## ", "#", "- ", "1. ", "*", "|", "|---|",
     "---", "$$", "$", "\\[", "\\]", "{", "}",
     "\\begin{align}", "\\end{align}", "\\begin{x}", "\\", "```",
     "[^1]:", "[^a]: ", "```md", "~~~", "![", "](", ")", "]", "Table 1", "12", "iv", "\t"]
)  # fmt: skip
TAGS = st.sampled_from(
    ["<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<th colspan=2>", "<td rowspan='3'>",
     "<td colspan=9999>", "<thead>", "<caption>", "</caption>", "<br>", "<sup>", "</sup>", "<sub>",
     "<p>", "</p>", "<h1>", "</h1>", "<div>", "<header>", "</header>", "<footer>", "</footer>",
     "<page_number>", "</page_number>", "<footnote>", "</footnote>",
     "<figcaption>", "<figure>", "<img alt='x' src=y>", "<table",
     "<", ">", "&amp;", "&lt;"]
)  # fmt: skip
PLAIN = st.lists(PIECES, max_size=30).map("".join)
MARKED = st.lists(st.one_of(PIECES, TAGS), max_size=30).map("".join)


def kinds(text: str) -> list[tuple[str, str]]:
    return [(block.type, block.text) for block in read_blocks(text).blocks]


def letters(text: str) -> list[str]:
    return [letter for letter in text if letter.isalnum()]


def test_a_page_becomes_its_blocks() -> None:
    found = read_blocks(PAGE)
    assert [(block.type, block.level) for block in found.blocks] == [
        ("heading", 1),
        ("paragraph", None),
        ("heading", 2),
        ("list", None),
        ("caption", None),
        ("table", None),
        ("formula", None),
        ("figure", None),
        ("caption", None),
        ("code", None),
        ("page_number", None),
    ]
    assert [block.text for block in found.blocks][1:4] == [
        "A paragraph of\ntwo lines.",
        "Results",
        "- one\n- two\n  1. inner\n- three",
    ]
    assert (
        found.blocks[5].html
        == "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
    )
    assert found.blocks[5].text == "a\tb\n1\t2"
    assert found.repairs == []


def test_blocks_fit_their_column() -> None:
    rows = pa.array([read_blocks(PAGE).rows((100, 100))], BLOCKS).to_pylist()[0]
    assert [row["order"] for row in rows] == list(range(1, 12))
    nothing = {"html": None, "box": None, "box_points": None}
    assert rows[0] == {"type": "heading", "level": 1, "order": 1, "text": "The title"} | nothing


@pytest.mark.parametrize(
    ("source", "html", "repair"),
    [
        (
            "<table border=1><thead><tr><th colspan='2'>A &amp; B</th></tr></thead><tr><td "
            "rowspan=2>x<sup>2</sup></td><td>a<br>b</td></tr><tr><td>c < d</td></tr></table>",
            '<table><tr><th colspan="2">A &amp; B</th></tr><tr><td '
            'rowspan="2">x<sup>2</sup></td><td>a<br>b</td></tr>'
            "<tr><td>c &lt; d</td></tr></table>",
            None,
        ),
        ("<table><tr><td>a</td><td>b", "<table><tr><td>a</td><td>b</td></tr></table>",
         "was not closed"),
        ("<table><tr><td>a<tr><td>b</table>",
         "<table><tr><td>a</td></tr><tr><td>b</td></tr></table>", None),
        (
            "| a | b |\n|---|---|\n| 1 |",
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td></td></tr></table>",
            "missing in row 2",
        ),
        ("| a | b |\n| 1 | 2 |",
         "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>", "rule"),
        ("a | b\n--|--\n1 | 2",
         "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", None),
        ("<table><tr><td rowspan=9>a</td></tr></table>", "<table><tr><td>a</td></tr></table>",
         "spans"),
    ],
)  # fmt: skip
def test_tables_have_one_form(source: str, html: str, repair: str | None) -> None:
    found = read_blocks(source)
    assert [block.html for block in found.blocks] == [html]
    assert len(found.repairs) == (repair is not None)
    assert (repair or "") in "".join(found.repairs)


def test_what_follows_a_table_that_was_not_closed_stands_for_itself() -> None:
    assert kinds("<table><tr><td>a</td></tr>\n\nA paragraph.") == [
        ("table", "a"),
        ("paragraph", "A paragraph."),
    ]


@pytest.mark.parametrize(
    ("source", "blocks", "repair"),
    [
        ("```markdown\n# A\n\nb\n```", [("heading", "A"), ("paragraph", "b")], "code block"),
        ("```markdown\n# A\n\nb", [("heading", "A"), ("paragraph", "b")], "code block"),
        ("$$\n\\frac{a}{b\n$$", [("formula", "\\frac{a}{b}")], "lacked }"),
        ("\\[ x = 1\n\nText.", [("formula", "x = 1"), ("paragraph", "Text.")], "not closed"),
        ("Text.\n```sh\nls", [("paragraph", "Text."), ("code", "ls")], "not closed"),
    ],
)
def test_what_can_be_repaired_is_repaired_and_said(
    source: str, blocks: list[tuple[str, str]], repair: str
) -> None:
    assert kinds(source) == blocks
    (said,) = read_blocks(source).repairs
    assert repair in said


@pytest.mark.parametrize(
    "number", ["12", "- 12 -", "Page 3 of 9", "xiv", "\u7b2c 3 \u9875", "p. 4", "3/10"]
)
def test_a_number_alone_at_an_edge_is_the_pages(number: str) -> None:
    assert kinds(f"{number}\n\n# A\n\nText.")[0] == ("page_number", number)
    assert kinds(f"# A\n\nText.\n\n{number}")[-1] == ("page_number", number)
    assert kinds(f"# A\n\n{number}\n\nText.")[1][0] != "page_number"


@pytest.mark.parametrize("text", ["I", "12", "12 apples", "1999 was", "A", "civil"])
def test_other_lines_are_no_page_numbers(text: str) -> None:
    assert kinds(text) == [("paragraph", text)]
    assert kinds(f"# A\n\n{text}")[-1][0] == ("page_number" if text == "12" else "paragraph")


def test_furniture_that_the_model_marks_is_furniture() -> None:
    found = kinds(
        "<header>A Journal</header>\n\nText.\n<footer>Vol. 3\n<page_number>9</page_number>"
    )
    assert found[0] == ("header", "A Journal")
    assert [kind for kind, _ in found] == ["header", "paragraph", "footer"]


def test_footnotes_stand_for_themselves() -> None:
    page = "Text.[^1]\n\n[^1]: It goes\non here.\n[^b]: Another.\n\n<footnote>3 A third.</footnote>"
    assert kinds(page) == [
        ("paragraph", "Text.[^1]"),
        ("footnote", "1 It goes\non here."),
        ("footnote", "b Another."),
        ("footnote", "3 A third."),
    ]


@given(st.one_of(st.text(), MARKED))
@example("<table>" * 50)
@example("$$" * 99)
def test_any_text_can_be_read(text: str) -> None:
    found = read_blocks(text)
    pa.array([found.rows((100, 100))], BLOCKS)
    assert all(block.text or block.type in ("table", "figure") for block in found.blocks)


@given(PLAIN)
def test_no_letter_is_lost(text: str) -> None:
    had = letters(
        "\n".join(line for line in text.split("\n") if not line.strip().startswith(("```", "~~~")))
    )
    got = iter(letters("".join(block.text for block in read_blocks(text).blocks)))
    assert all(letter in got for letter in had)


@given(MARKED)
def test_what_was_read_is_read_again_as_it_is(text: str) -> None:
    blocks = read_blocks(text).blocks
    assert read_blocks(markdown(blocks)).blocks == blocks
