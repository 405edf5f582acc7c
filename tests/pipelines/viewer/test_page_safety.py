"""The page in a real Chromium: hostile answers, strangers, narrow screens and screen readers."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from internvl_ops.tasks import caption
from pipelines.viewer.outputs import ViewedOutput
from pipelines.viewer.server import Viewer
from testing import viewed
from testing.browser import serving
from tests.pipelines.viewer.conftest import TOKEN
from tests.pipelines.viewer.pages import IN_CHROMIUM, Open, reviews, said

LONG = "0123456789 " * 1_000_000  # 11 MB

pytestmark = IN_CHROMIUM


def test_hostile_answers_and_names_do_nothing(opened: Open, folder: Path) -> None:
    page = opened(folder, at="#search=hostile")
    page.locator("#count", has_text="1 row").wait_for()
    card = page.locator(".card")
    assert "[U+202E]" in card.locator("a").inner_text()
    assert "<script>window.hacked = 1</script>" in card.locator("p").inner_text()
    card.locator("a").click()
    for form in ("Rendered", "Text"):
        page.get_by_role("button", name=form, exact=True).click()
        shown = page.locator("#unit .markdown, #unit .text")
        assert "<svg onload" in shown.inner_text()
        assert shown.locator("a, img, svg, script").count() == 0
    page.get_by_role("button", name="Table").click()
    page.locator("td", has_text="onerror").first.wait_for()
    page.keyboard.press("n")
    page.keyboard.type(viewed.HOSTILE)
    page.keyboard.press("Control+Enter")
    said(page, "Note saved")
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 1


def test_a_very_long_answer_keeps_the_page_usable(opened: Open, tmp_path: Path) -> None:
    rows = [{"id": "long", "image": "a.jpg", "caption": LONG, "width": 1, "height": 1}]
    folder = tmp_path / "out"
    viewed.write_output(folder, tmp_path / "m", caption(), rows, passthrough=viewed.IMAGE)
    page = opened(folder, at="#id=long")
    page.get_by_role("button", name=re.compile("Show more of its 11,000,000 characters")).click()
    page.wait_for_function(
        "() => document.querySelector('#unit .text').textContent.length >= 200000"
    )
    page.get_by_role("button", name="Rendered").click()
    page.locator("#unit .markdown").wait_for()
    page.keyboard.press("g")
    said(page, "Marked good")


PAGES = (
    "",
    "#view=table",
    "#id=unit-001",
    "#page=errors",
    "#page=compare",
    "#page=charts",
    "#page=review",
    "#page=runs",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_400_pixels_nothing_scrolls_sideways(opened: Open, tmp_path: Path, scheme: str) -> None:
    page = opened(
        viewed.captions(tmp_path),
        viewed.captions(tmp_path, name="others"),
        width=400,
        scheme=scheme,
    )
    for at in PAGES:
        page.goto(page.url.partition("#")[0] + (at or "#"))
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, at
    back, text = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("backgroundColor", "color")
    )
    assert (brightness(back) > brightness(text)) == (scheme == "light")


def brightness(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_on_a_narrow_screen_the_unit_takes_the_place_of_the_list(
    opened: Open, folder: Path
) -> None:
    page = opened(folder, width=400)
    page.locator('[data-id="unit-001"]').click()
    page.get_by_role("heading", name="unit-001").wait_for()
    assert not page.locator("#list").is_visible()
    page.get_by_role("button", name="Good").click()
    said(page, "Marked good")
    page.get_by_role("button", name="Close the unit").click()
    page.locator('[data-row="unit-001"] .badge.good').wait_for()


def test_a_screen_reader_finds_its_way(opened: Open, tmp_path: Path) -> None:
    page = opened(viewed.captions(tmp_path), viewed.captions(tmp_path, name="others"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for role in ("banner", "navigation", "search", "main"):
        assert page.get_by_role(role).count() == 1
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    for at in PAGES:
        page.goto(page.url.partition("#")[0] + (at or "#"))
        page.wait_for_load_state("networkidle")
        assert page.evaluate(NAMELESS) == [], at
        levels = page.locator("h1, h2, h3").evaluate_all(
            "found => found.map(one => Number(one.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), at


# Controls without a name, pictures without a text, and tab stops that go before the others.
NAMELESS = """() => [...document.querySelectorAll(
    "button, a, input, select, textarea, img, [tabindex]")]
  .filter((one) => one.checkVisibility())
  .filter((one) => one.tagName === "IMG" ? !one.hasAttribute("alt")
    : one.tabIndex > 0 || !(one.getAttribute("aria-label") || one.labels?.length
      || one.textContent.trim()))
  .map((one) => one.outerHTML)"""


def test_a_wrong_token_shows_nothing(chrome: Any, folder: Path) -> None:
    viewer = Viewer([ViewedOutput(str(folder))], "anna")
    with serving(lambda port: viewer.app(TOKEN, port)) as port:
        context = chrome.new_context()
        page = context.new_page()
        answer = page.goto(f"http://127.0.0.1:{port}/?token=wrong")
        assert answer.status == 403
        assert "unit-" not in page.content()
        context.close()


def test_another_local_page_cannot_use_the_cookie(chrome: Any, folder: Path) -> None:
    """A page on another port is the same site for cookies, but not the viewer's own page."""
    other = Starlette(routes=[Route("/", lambda _: HTMLResponse("<p>other"))])
    viewer = Viewer([ViewedOutput(str(folder))], "anna")
    with (
        serving(lambda port: viewer.app(TOKEN, port)) as port,
        serving(lambda _: other) as elsewhere,
    ):
        context = chrome.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
        page.goto(f"http://127.0.0.1:{elsewhere}/")
        answers = page.evaluate(
            """async (base) => {
              const mark = {method: "POST", mode: "no-cors", credentials: "include",
                body: JSON.stringify({id: "unit-000", mark: "bad"})};
              const marked = await fetch(`${base}/api/mark`, mark)
                .then(() => "sent", () => "refused");
              const read = await fetch(`${base}/api/rows`, {credentials: "include"})
                .then((answer) => answer.text(), () => "refused");
              const shown = await new Promise((done) => {
                const image = new Image();
                image.onload = () => done("shown");
                image.onerror = () => done("refused");
                image.src = `${base}/picture?id=unit-000`;
              });
              return [marked, read, shown];
            }""",
            f"http://127.0.0.1:{port}",
        )
        assert answers[1:] == ["refused", "refused"]
        context.close()
    assert reviews(folder) == {}
