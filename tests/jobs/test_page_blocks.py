"""Pages as blocks, from a PDF to cut-outs on disk: a whole job whose server answers in JSON, well
and badly, and the export of its figures."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from testing.born_digital import GOOD, Page, pdf
from testing.commands import run_here
from testing.model_server import ModelServer, completion, says
from tests.jobs.output import read_output

pytestmark = pytest.mark.usefixtures("ray_session")

WHOLE = [
    {"type": "header", "box": [0, 0, 1000, 50], "text": "A Journal"},
    {"type": "title", "box": [100, 60, 900, 100], "text": "On dogs"},
    {"type": "figure", "box": [250, 500, 750, 750], "text": "A red square"},
    {"type": "caption", "box": [250, 760, 750, 780], "text": "Figure 1: a dog"},
    {"type": "list", "box": [100, 800, 900, 850], "text": ["one", ["two"]]},
    {"type": "footnote", "box": [100, 900, 900, 930], "text": "1 See p. 3."},
    {"type": "page_number", "box": [450, 950, 550, 980], "text": "7"},
]
ANSWERS = {
    "whole": json.dumps(WHOLE),
    "table": '[{"type": "table", "box": [0, 0, 900, 1100], "text": "<table><tr><td>a<td>b<tr>'
    '<td>c"}]',
    "latex": r'[{"type": "formula", "box": [9, 9, 9, 9], "text": "\frac{a}{\theta"}]',
    "odd": '[{"type": "seal", "bbox": [1200, 0, 1300, 9], "text": "x"}, {"type": "text", "te',
    "prose": "# A title\n\nAnd a text.",
}


async def answers(request: web.Request) -> web.Response:
    """Answers by the word in the question; the job's own question gets the whole page."""
    asked = json.dumps((await request.json())["messages"][-1], ensure_ascii=False)
    named = next((name for name in ANSWERS if f"read {name}" in asked), None)
    if named is None:
        assert "JSON list" in asked
    return web.json_response(completion(ANSWERS[named or "whole"]))


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the job over one page for each answer, and a book of two pages."""
    folder = tmp_path_factory.mktemp("blocks")
    square = b"1 0 0 rg 148.75 210.5 297.5 210.5 re f"  # 250 to 750 of each side, from 500 down
    (folder / "page.pdf").write_bytes(pdf([Page("", [], square)]))
    (folder / "book.pdf").write_bytes(pdf([Page("", [], square)] * 2))
    rows: list[dict[str, Any]] = [
        {"id": name, "document": "page.pdf", "question": f"read {name}"} for name in ANSWERS
    ]
    rows.append({"id": "book", "document": "book.pdf", "question": None})
    manifest = folder / "pages.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ModelServer() as server:
        server.otherwise = answers
        done = run_here(
            "ocr_dataset.py", "--input", manifest, "--output", folder / "out",
            "--engine", "openai", "--base-url", server.url, "--model", "tiny",
            "--ocr-format", "json", "--blocks", "--page-furniture", "drop", "--retries", "0",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_blocks_of_every_answer_are_in_results(read: Path) -> None:
    results, errors = read_output(read / "out")
    assert len(errors) == 0
    rows = results.set_index("id")
    blocks = {name: list(rows.blocks[f"{name}#page=1"]) for name in ANSWERS}
    notes = {name: list(rows.notes[f"{name}#page=1"]) for name in ANSWERS}
    assert [(one["type"], one["order"]) for one in blocks["whole"]] == [
        ("header", 1), ("heading", 2), ("figure", 3), ("caption", 4), ("list", 5), ("footnote", 6),
        ("page_number", 7),
    ]  # fmt: skip
    assert blocks["whole"][4]["text"] == "- one\n  - two"
    row = rows.loc["whole#page=1"]
    figure = blocks["whole"][2]
    assert figure["box"]["x1"] == pytest.approx(row.width / 4, abs=0.01)
    assert figure["box"]["y2"] == pytest.approx(0.75 * row.height, abs=0.01)
    assert list(figure["box_points"].values()) == [148.75, 421, 446.25, 631.5]
    assert blocks["table"][0]["html"] == (
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td></td></tr></table>"
    )
    assert blocks["latex"][0]["text"] == "\\frac{a}{\\theta}"
    assert blocks["latex"][0]["box"] is None
    assert [one["type"] for one in blocks["prose"]] == ["heading", "paragraph"]
    said = {name: " ".join(note for note in notes[name] if "dpi" not in note) for name in notes}
    assert said["whole"] == ""
    for name, repairs in {
        "table": ["clipped", "not closed", "missing in row 2"],
        "latex": ["no width", "backslashes", "lacked }"],
        "odd": ["'seal' is unknown", "off the page", "broken or cut off"],
        "prose": ["read as Markdown"],
    }.items():
        assert all(repair in said[name] for repair in repairs), said[name]


def test_documents_have_blocks_and_text_without_page_furniture(read: Path) -> None:
    import pyarrow.dataset as ds

    rows = {row["id"]: row for row in ds.dataset(read / "out" / "documents").to_table().to_pylist()}
    book = rows["book"]
    kinds = ["heading", "figure", "caption", "list", "footnote"]
    assert [(one["page"], one["type"]) for one in book["blocks"]] == [
        (page, kind) for page in (1, 2) for kind in kinds
    ]
    assert "A Journal" not in book["text"]
    assert "<footnote>1 See p. 3.</footnote>" in book["text"]
    assert book["text"].startswith("# On dogs\n\n![A red square]()")


def test_figures_are_cut_out_of_their_pages(read: Path) -> None:
    out = read / "cut"
    done = run_here(
        "export_dataset.py", "--input", read / "out", "--output", out, "--to", "figures",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == ["book#page=1", "book#page=2", "whole#page=1"]
    (figure,) = next(line for line in lines if line["id"] == "whole#page=1")["figures"]
    assert figure["caption"] == "Figure 1: a dog"
    assert (figure["text"], figure["order"]) == ("A red square", 3)
    with Image.open(out / figure["file"]) as picture:
        assert abs(picture.width - 1654 / 2) <= 2  # at 200 dpi
        assert abs(picture.height - 2339 / 4) <= 2
        middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    assert middle[0] > 200 > 60 > max(middle[1:])
    assert "no_figures" in (out / "export.json").read_text()
    assert len(list((out / "figures").iterdir())) == 3


def test_blocks_of_markdown_find_their_places_in_the_text_of_the_pdf(tmp_path: Path) -> None:
    page = GOOD["list"](random.Random(1), "list")
    (tmp_path / "list.pdf").write_bytes(pdf([page]))
    heading, *items = page.truth
    answer = f"# {heading}\n\n" + "\n".join(items) + "\n\nAn invented line of words."
    with ModelServer() as server:
        server.otherwise = says(completion(answer))
        done = run_here(
            "ocr_dataset.py", "--input", tmp_path / "list.pdf", "--output", tmp_path / "out",
            "--engine", "openai", "--base-url", server.url, "--model", "tiny", "--retries", "0",
            "--ocr-format", "markdown", "--blocks", "--text-layer", "compare",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results, _ = read_output(tmp_path / "out")
    title, listed, invented = results.blocks[0]
    assert title["type"] == "heading"
    # 52 to 70 points from the left edge and the top, in letters of 16 points
    assert title["box_points"]["x1"] == pytest.approx(60, abs=3)
    assert title["box_points"]["y1"] == pytest.approx(58, abs=8)
    assert listed["type"] == "list"
    assert listed["box_points"]["y1"] > title["box_points"]["y2"]
    assert listed["box_points"]["y2"] - listed["box_points"]["y1"] > 20 * (len(items) - 1) - 5
    assert invented["box"] is None
