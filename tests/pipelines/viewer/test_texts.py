"""Answers are text: Markdown becomes a tree of known elements, whatever stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pipelines.viewer.texts import LONGEST_RENDERED, Node, blocks, difference, rendered
from testing.viewed import HOSTILE


def elements(nodes: list[Node]) -> Iterator[dict]:
    for node in nodes:
        if isinstance(node, dict):
            yield node
            yield from elements(node["children"])


def text(nodes: list[Node]) -> str:
    return "".join(node if isinstance(node, str) else text(node["children"]) for node in nodes)


def test_markdown_becomes_elements() -> None:
    tree = rendered("# Title\n\nSome *words*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n")
    tags = [node["tag"] for node in elements(tree)]
    assert tags == ["h1", "p", "em", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td",
                    "ul", "li", "p", "li", "p"]  # fmt: skip
    assert text(tree) == "TitleSome words.ab12onetwo"


HOSTILE_TEXTS = (
    HOSTILE,
    "<table><tr><td onclick=x>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](data:text/html,<script>)",
    "<https://example.com/> <javascript:alert(1)>",
    "![x](https://example.com/p.png 'title')",
    "```html\n<script>alert(1)</script>\n```",
    "&lt;script&gt; &#x3c;script&#x3e;",
    "[a]: javascript:alert(1)\n\n[a]",
)


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS)
def test_nothing_in_an_answer_becomes_markup_or_an_address(hostile: str) -> None:
    for node in elements(rendered(hostile)):
        assert node.keys() == {"tag", "children"}
        assert node["tag"] in {"p", "pre", "code", "span", "em", "strong", "br"}


def test_blocks_have_kinds_texts_and_places() -> None:
    found = [
        {"type": "heading", "level": 2, "order": 1, "text": "<b>A", "html": None},
        {
            "type": "table",
            "level": None,
            "order": 2,
            "text": "a\tb\n1\t2",
            "html": "<table><tr><th colspan=2>a<script></th></tr><tr><td>1<td>2</table>",
            "box": {"x1": 1, "y1": 2.5, "x2": 30, "y2": 40},
        },
        {"type": "page_number", "level": None, "order": 3, "text": "7", "html": None},
    ]
    heading, table, number = blocks(json.dumps(found))
    assert heading == {"kind": "heading 2", "content": ["<b>A"], "label": "<b>A", "box": None}
    assert (table["kind"], table["box"]) == ("table", [1, 2.5, 30, 40])
    cells = [one for one in elements(table["content"]) if one["tag"] in ("th", "td")]
    assert [(cell["tag"], cell["columns"], text([cell])) for cell in cells] == [
        ("th", 2, "a<script>"),
        ("td", 1, "1"),
        ("td", 1, "2"),
    ]
    assert (number["kind"], text(number["content"])) == ("page number", "7")


@pytest.mark.parametrize("box", [None, 7, [1, 2, 3], [1, 2, 3, None], {"x1": 1}, "1,2,3,4"])
def test_a_block_without_a_place_has_none(box: object) -> None:
    block = {"type": "paragraph", "level": None, "order": 1, "text": "a", "html": None, "box": box}
    assert blocks(json.dumps([block]))[0]["box"] is None


def test_a_table_without_html_has_its_lines() -> None:
    block = {"type": "table", "level": None, "order": 1, "text": "a\tb\n1\t2", "html": None}
    assert text(blocks(json.dumps([block]))[0]["content"]) == "ab12"


@pytest.mark.parametrize(
    "said",
    [None, 7, "", "[]", "three", '[{"type": "heading"}]', '[{"type": "head', "[7]", '{"a": 1}'],
)
def test_other_columns_called_blocks_have_no_blocks(said: object) -> None:
    assert blocks(said) == []


def test_a_link_shows_where_it_leads() -> None:
    assert (
        text(rendered("[your bank](https://evil.example/)")) == "your bank (https://evil.example/)"
    )


def test_a_long_text_is_rendered_from_its_beginning() -> None:
    assert len(text(rendered("a " * LONGEST_RENDERED * 4))) <= LONGEST_RENDERED


@pytest.mark.parametrize(
    "nasty", ["[" * 50_000, "*a " * 20_000, "> " * 20_000, "`" * 50_000, "- " * 9_000, "|" * 40_000]
)
def test_no_text_keeps_the_renderer_busy(nasty: str) -> None:
    assert rendered(nasty)


def test_a_difference_holds_both_texts() -> None:
    told = difference("the red dog sleeps", "the dog sleeps well")
    assert (
        "".join(part["text"] for part in told["parts"] if part["op"] != "second")
        == "the red dog sleeps"
    )
    assert (
        "".join(part["text"] for part in told["parts"] if part["op"] != "first")
        == "the dog sleeps well"
    )
    assert told["complete"]
    assert 0 < told["similarity"] < 1


def test_of_very_long_texts_the_beginning_is_compared() -> None:
    told = difference("word " * 100_000, "word " * 100_000 + "end")
    assert not told["complete"]
    assert difference("", "")["similarity"] == 1
