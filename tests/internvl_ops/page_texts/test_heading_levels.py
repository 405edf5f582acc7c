"""Headings of pages that were read one by one have levels that agree over the document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.page_texts.heading_levels import level_headings

LINES = st.sampled_from(
    ["# T", "## 1 A", "# 1.1 B", "### 2. C", "# 2024 was", "```", "text", "", "# 1.2.3.4.5.6.7.8 D"]
)
PAGES = st.lists(st.lists(LINES, max_size=6).map("\n".join), max_size=5)


def test_numbers_say_the_levels() -> None:
    pages = ["# Title\n\n# 1 Intro\n\ntext", "# 1.1 Why\n\n## Note", "# 2. Methods\n\n# 2.1.1 Deep"]
    assert level_headings(pages) == [
        "# Title\n\n## 1 Intro\n\ntext",
        "### 1.1 Why\n\n## Note",
        "## 2. Methods\n\n#### 2.1.1 Deep",
    ]
    assert level_headings(["## 1 A", "# 1.1 B", "# 2 C"]) == ["# 1 A", "## 1.1 B", "# 2 C"]


@pytest.mark.parametrize(
    "pages",
    [
        ["# 1 A", "## 2 B", "### 3 C"],
        ["# 1 A", "# 1.1 B"],
        ["# 2024 was", "## A", "### B"],
        ["```\n# 1 A\n# 1.1 B\n# 2 C\n```"],
    ],
)
def test_without_an_outline_by_numbers_all_stays(pages: list[str]) -> None:
    assert level_headings(pages) == pages


@given(PAGES)
def test_nothing_but_levels_changes(pages: list[str]) -> None:
    levelled = level_headings(pages)
    assert [page.replace("#", "") for page in levelled] == [page.replace("#", "") for page in pages]
    assert level_headings(levelled) == levelled
