"""The page in a real Chromium: what a person sees, types and hears."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.output.folder import OutputFolder
from pipelines.output.reviews import ReviewSession
from testing import viewed
from tests.pipelines.viewer.pages import IN_CHROMIUM, Open, expect_ids, ids, reviews, said

pytestmark = IN_CHROMIUM


def test_search_filter_and_sort(opened: Open, folder: Path) -> None:
    page = opened(folder)
    page.get_by_label("Search").fill("umbrella")
    expect_ids(page, ["unit-002", "unit-005", "unit-008", "unit-011"])
    page.get_by_label("Where (SQL)").fill("height >= 280")
    page.get_by_label("Where (SQL)").press("Enter")
    expect_ids(page, ["unit-008", "unit-011"])
    page.get_by_label("Sort").select_option("height")
    page.get_by_role("button", name="Largest first").click()
    expect_ids(page, ["unit-011", "unit-008"])
    page.go_back()
    expect_ids(page, ["unit-008", "unit-011"])
    page.get_by_role("button", name="Clear").click()
    page.locator("#count", has_text="13 rows").wait_for()
    reason = page.get_by_label("finish reason")
    reason.focus()
    reason.locator("option", has_text="length (2)").wait_for(state="attached")
    reason.select_option("length")
    expect_ids(page, ["unit-004", "unit-009"])


def test_a_condition_that_cannot_be_read_is_explained(opened: Open, folder: Path) -> None:
    page = opened(folder)
    page.get_by_label("Where (SQL)").fill("hieght > 3")
    page.get_by_label("Where (SQL)").press("Enter")
    page.get_by_role("alert").filter(has_text="hieght").wait_for()


def test_the_table_sorts_by_its_headings(opened: Open, folder: Path) -> None:
    page = opened(folder)
    page.get_by_role("button", name="Table").click()
    page.get_by_role("button", name="height").click()
    page.locator("th[aria-sort=ascending]").wait_for()
    page.get_by_role("button", name="height").click()
    page.locator("th[aria-sort=descending]").wait_for()
    assert ids(page)[0] == "unit-011"


def test_marking_by_keys_alone(opened: Open, folder: Path) -> None:
    page = opened(folder)
    press = page.keyboard.press
    press("/")
    page.keyboard.type("square")
    expect_ids(page, ["unit-000", "unit-003", "unit-006", "unit-009"])
    press("Escape")
    press("j")
    page.get_by_role("heading", name="unit-000").wait_for()
    press("g")
    said(page, "Marked good")
    press("j")
    page.get_by_role("heading", name="unit-003").wait_for()
    press("b")
    said(page, "Marked bad")
    press("n")
    page.keyboard.type("blue is missing")
    press("Control+Enter")
    said(page, "Note saved")
    press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("a green square")
    press("Control+Enter")
    said(page, "Edited text saved")
    assert reviews(folder) == {
        "unit-000": ("good", None, None),
        "unit-003": ("bad", "a green square", "blue is missing"),
    }
    for left in ("unit-003", "unit-003", "unit-003", "unit-000"):
        page.evaluate("document.getElementById('status').textContent = ''")
        press("u")
        said(page, f"Undone: {left}")
    assert reviews(folder) == {}
    press("u")
    said(page, "There is nothing to undo.")
    press("Escape")
    page.locator("#unit").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.dataset.id") == "unit-003"


def test_marking_with_the_mouse_shows_in_the_list(opened: Open, folder: Path) -> None:
    page = opened(folder)
    page.locator('[data-id="unit-001"]').click()
    bad = page.get_by_role("region", name="Marks").get_by_role("button", name="Bad")
    bad.click()
    page.locator('[data-row="unit-001"] .badge.bad').wait_for()
    assert bad.get_attribute("aria-pressed") == "true"
    bad.click()
    said(page, "Mark taken back")
    assert page.locator('[data-row="unit-001"] .badge').count() == 0
    assert reviews(folder) == {}


def test_keys_can_be_switched_off(opened: Open, folder: Path) -> None:
    page = opened(folder, at="#id=unit-001")
    page.get_by_role("heading", name="unit-001").wait_for()
    page.keyboard.press("?")
    page.get_by_label("Keys of one letter are on").uncheck()
    page.get_by_role("button", name="Close", exact=True).click()
    page.keyboard.press("g")
    page.keyboard.press("Escape")
    page.locator("#unit").wait_for(state="hidden")
    assert reviews(folder) == {}


def test_two_outputs_are_compared(opened: Open, tmp_path: Path) -> None:
    page = opened(
        viewed.captions(tmp_path),
        viewed.captions(tmp_path, name="others", count=13, changed=[2, 4]),
    )
    page.get_by_role("link", name="Compare").click()
    page.locator(".pair").nth(1).wait_for()
    assert page.locator(".pair").count() == 2
    assert page.locator(".pair ins").all_inner_texts() == [" at night", " at night"]
    page.get_by_role("button", name="Show whole").first.click()
    page.locator(".pair .large img").nth(1).wait_for()
    page.get_by_label("Units that").select_option("second")
    page.locator(".pair", has_text="unit-012").wait_for()
    assert page.locator(".pair").count() == 1


def test_errors_are_shown_by_kind_with_their_file(opened: Open, folder: Path) -> None:
    page = opened(folder)
    page.get_by_role("link", name="Errors").click()
    kinds = page.get_by_role("list", name="Errors by kind")
    kinds.get_by_role("button", name="corrupt").click()
    expect_ids(page, ["broken"])
    page.locator('[data-id="broken"]').click()
    page.locator("#unit").get_by_text("broken.jpg").first.wait_for()
    page.locator("#unit .missing", has_text="unsupported").wait_for()


def test_a_bar_of_a_histogram_chooses_its_units(opened: Open, folder: Path) -> None:
    page = opened(folder, at="#page=charts&column=height")
    bar = page.get_by_role("group", name="Histogram of height").get_by_role("button").last
    bar.wait_for()
    assert ": 1 rows" in bar.get_attribute("aria-label")
    bar.click()
    expect_ids(page, ["unit-011"])


def test_a_sample_is_reviewed_and_agreement_is_stated(opened: Open, folder: Path) -> None:
    ben = ReviewSession(OutputFolder(str(folder)), "ben")
    for number in range(12):
        ben.add(f"unit-{number:03}", mark="bad")
    page = opened(folder)
    page.get_by_role("link", name="Review").click()
    page.get_by_label("Units", exact=True).fill("3")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Draw and review").click()
    page.locator("#count", has_text="3 rows").wait_for()
    drawn = ids(page)
    page.keyboard.press("j")
    page.get_by_role("region", name="Marks").wait_for()
    page.keyboard.press("b")
    said(page, "Marked bad")
    page.evaluate(
        "history.replaceState(null, '', location.hash + '&page=review'); dispatchEvent(new"
        " Event('state'))"
    )
    table = page.get_by_role("region", name="Agreement").or_(
        page.locator("section[aria-label=Agreement]")
    )
    table.get_by_text("100.0 %").wait_for()
    assert drawn[0] in {id for id, (mark, *_) in reviews(folder).items() if mark == "bad"}


def test_a_page_of_a_document_stands_beside_its_text(opened: Open, tmp_path: Path) -> None:
    page = opened(viewed.pages(tmp_path), at="#id=letter.pdf%23page%3D2")
    picture = page.locator("#unit .large img")
    page.wait_for_function("() => document.querySelector('#unit .large img')?.naturalWidth > 500")
    page.get_by_role("button", name="Rendered").click()
    text = page.locator("#unit .markdown")
    text.get_by_role("heading", name="Page 2").wait_for()
    assert text.locator("table strong").inner_text() == "3"
    assert text.bounding_box()["x"] >= picture.bounding_box()["x"] + picture.bounding_box()["width"]
    page.get_by_role("button", name="Differences").click()
    page.locator("#unit .text ins", has_text="the").wait_for()
    assert page.locator("#unit .text del", has_text="this").count() == 1
    page.get_by_role("button", name="Page after").click()
    page.get_by_role("heading", name="letter.pdf#page=3").wait_for()


@pytest.mark.parametrize("width", [1300, 400])
def test_blocks_and_their_places_show_each_other(opened: Open, tmp_path: Path, width: int) -> None:
    page = opened(viewed.pages(tmp_path), at="#id=letter.pdf%23page%3D2", width=width)
    place = page.get_by_role("button", name="Block 2 of 3, table: prices")
    place.wait_for()
    assert page.get_by_role("group", name="Places of the blocks").get_by_role("button").count() == 2
    page.locator("#unit .frame:not(.loading)").wait_for()
    picture, corner = page.locator("#unit .frame img").first.bounding_box(), place.bounding_box()
    assert corner["x"] == pytest.approx(picture["x"] + picture["width"] * 60 / 595, abs=2)
    assert corner["y"] == pytest.approx(picture["y"] + picture["height"] * 200 / 842, abs=2)

    place.click()  # leads to the block, in the form that shows blocks
    block = page.get_by_role("list", name="Blocks in reading order").locator("> li").nth(1)
    assert block.evaluate("block => block === document.activeElement")
    assert "lit" in block.get_attribute("class")
    assert "lit" in place.get_attribute("class")
    head = block.locator("th")
    assert (head.get_attribute("colspan"), head.inner_text()) == ("2", "prices")

    page.keyboard.press("Shift+Tab")  # to the heading above it
    page.mouse.move(0, 0)
    first = page.get_by_role("button", name="Block 1 of 3, heading 1: Page 2")
    assert "lit" in first.get_attribute("class")
    assert "lit" not in (place.get_attribute("class") or "")
    page.keyboard.press("Enter")  # and from it to its place
    assert first.evaluate("place => place === document.activeElement")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    third = page.locator("#unit .blocks > li").nth(2)
    third.focus()
    page.keyboard.press("Enter")  # its place is not known
    assert third.evaluate("block => block === document.activeElement")


def test_a_clip_shows_its_frames(opened: Open, tmp_path: Path) -> None:
    page = opened(viewed.clips(tmp_path), at="#id=film.mp4%23clip%3D2")
    frames = page.get_by_role("list", name="Frames").get_by_role("button")
    frames.nth(3).click()
    assert frames.nth(3).get_attribute("aria-pressed") == "true"
    assert re.fullmatch(r"1\.\d\d s", frames.nth(3).inner_text())
    page.wait_for_function(
        "() => document.querySelector('#unit .large img')?.src.includes('frame=3')"
    )


@pytest.mark.parametrize(
    ("place", "width"), [("#unit .large", 1300), (".card", 1300), (".card", 400)]
)
def test_boxes_lie_where_they_are(opened: Open, tmp_path: Path, place: str, width: int) -> None:
    page = opened(
        viewed.boxes(tmp_path), width=width, at="#id=squares-0" if "unit" in place else ""
    )
    page.wait_for_function(f"() => document.querySelector('{place} img')?.naturalWidth > 0")
    picture, box = (
        page.locator(f"{place} {name}").first.bounding_box() for name in ("img", ".box rect")
    )
    # it is fitted into the middle of its element
    scale = min(picture["width"] / 400, picture["height"] / 300)
    left = picture["x"] + (picture["width"] - 400 * scale) / 2
    top = picture["y"] + (picture["height"] - 300 * scale) / 2
    assert box["x"] == pytest.approx(left + 30 * scale, abs=2)
    assert box["y"] == pytest.approx(top + 40 * scale, abs=2)
    assert box["width"] == pytest.approx(90 * scale, abs=4)
    labels = page.locator(f"{place} .boxes").first.locator("text").all_text_contents()
    assert labels == ["the red square", "the blue square"]


def test_an_output_without_its_pictures_says_so(opened: Open, tmp_path: Path) -> None:
    folder = viewed.captions(tmp_path, count=2)
    for picture in (tmp_path / "pictures").iterdir():
        picture.unlink()
    page = opened(folder)
    page.get_by_role("alert").filter(has_text="cannot be read any more").wait_for()
    page.locator(".card .missing", has_text="not_found").first.wait_for()
    assert page.locator('[data-row="unit-000"]').inner_text().endswith(viewed.CAPTIONS[0])
