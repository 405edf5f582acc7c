"""Every task's job on the real engine with a tiny checkpoint: pages, phrases, several images,
several turns, text."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pypdfium2 as pdfium
import pytest
from PIL import Image

from testing.commands import run_here
from tests.jobs.output import read_output

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    for name, size, colour in (
        ("red", (300, 200), "red"),
        ("blue", (200, 300), "blue"),
        ("wide", (900, 200), "green"),
    ):
        Image.new("RGB", size, colour).save(folder / f"{name}.png")
    document = pdfium.PdfDocument.new()
    for _ in range(2):
        document.new_page(300, 400)
    file = io.BytesIO()
    document.save(file)
    (folder / "book.pdf").write_bytes(file.getvalue())
    return folder


def run(job: str, media: Path, model: Path, rows: list[dict], *more: str) -> tuple:
    """Runs a job over ``rows``; its output, and what it said."""
    manifest = media / f"{job}.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = ("--input", manifest, "--output", media / f"{job}-out", "--model", model)
    done = run_here(f"{job}_dataset.py", *where, "--max-tiles", "2", "--retries", "1", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    results, errors = read_output(media / f"{job}-out")
    return *(rows.set_index("id") if len(rows) else rows for rows in (results, errors)), done.stdout


@pytest.mark.slow
def test_ask(media, model):
    rows = [
        {"id": "one", "image": ["red.png"], "question": ["What is it?"]},
        {"id": "turns", "image": ["red.png"], "question": ["What is it?", "Are you sure?", "Why?"]},
        {"id": "two", "image": ["red.png", "blue.png"], "question": ["Which is larger?"]},
        {
            "id": "tags",
            "image": ["red.png", "blue.png"],
            "question": ["Is <image> larger than <image>?"],
        },
        {"id": "text", "image": None, "question": ["What is two and two?"]},
        {
            "id": "chosen",
            "image": ["wide.png"],
            "question": ["Is it green?"],
            "choices": ["yes", "no", "not sure"],
        },
        {
            "id": "drawn",
            "image": ["red.png"],
            "question": ["What is it?"],
            "sampling_params": {"max_new_tokens": 3},
        },
        {
            "id": "wrong",
            "image": ["red.png"],
            "question": ["What?"],
            "sampling_params": {"temprature": 1},
        },
        {"id": "silent", "image": ["red.png"], "question": []},
        {"id": "blank", "image": ["red.png"], "question": ["What is it?", " "]},
        {"id": "tags lost", "image": ["red.png"], "question": ["Compare <image> and <image>."]},
        {"id": "gone", "image": ["red.png", "gone.png"], "question": ["What?"]},
    ]
    more = [
        "--max-new-tokens",
        "12",
        "--log-probs",
        "--n",
        "2",
        "--temperature",
        "0.8",
        "--no-retry-cut",
    ]
    results, errors, _ = run("ask", media, model, rows, *more)
    assert sorted(results.index) == ["chosen", "drawn", "one", "tags", "text", "turns", "two"]
    assert [turn["question"] for turn in results.turns["turns"]] == rows[1]["question"]
    assert results.answer["turns"] == results.turns["turns"][-1]["answer"]
    assert results.prompt_tokens["turns"] > results.prompt_tokens["one"]
    assert results.num_tiles["two"] == results.num_tiles["tags"] == 2  # the images share the budget
    assert (results.num_tiles["text"], results.width["text"]) == (0, 0)
    assert results.answer["chosen"] in rows[5]["choices"]
    assert all(sample["answer"] in rows[5]["choices"] for sample in results.samples["chosen"])
    assert results.completion_tokens["drawn"] <= 2 * 3
    assert [len(samples) for samples in results.samples] == [2] * len(results)
    assert any(len({sample["answer"] for sample in samples}) == 2 for samples in results.samples)
    assert (results.mean_logprob < 0).all()
    assert set(errors.stage) == {"render", "fetch"}
    assert dict(errors.kind) == {
        "wrong": "bad_row",
        "silent": "bad_row",
        "blank": "bad_row",
        "tags lost": "bad_row",
        "gone": "not_found",
    }
    assert "temprature" in errors.message["wrong"]
    assert "number 2 of 2" in errors.message["blank"]


@pytest.mark.slow
def test_ground(media, model):
    rows = [
        {"id": "one", "image": "red.png", "phrase": ["the red thing"]},
        {"id": "two", "image": "wide.png", "phrase": ["left half", "right half"]},
        {"id": "empty", "image": "red.png", "phrase": ["the red thing", ""]},
        {"id": "none", "image": "red.png", "phrase": None},
    ]
    results, errors, said = run("ground", media, model, rows, "--max-new-tokens", "8")
    assert sorted(results.index) == ["one", "two"]
    assert [found["phrase"] for found in results.found["two"]] == ["left half", "right half"]
    # A model with random weights names no boxes: the column is null, and the summary counts it.
    assert results.boxes.isna().all()
    assert "2 answers held nothing" in said
    assert dict(errors.kind) == {"empty": "bad_row", "none": "bad_row"}


@pytest.mark.slow
def test_ocr_of_pages_as_json(media, model):
    schema = {"type": "object", "properties": {"kind": {"enum": ["letter", "bill"]}},
              "required": ["kind"], "additionalProperties": False}  # fmt: skip
    rows = [{"id": "book", "document": "book.pdf"}, {"id": "broken", "document": "red.png"}]
    more = ["--ocr-format", "json", "--json-schema", json.dumps(schema), "--max-new-tokens", "40"]
    results, errors, _ = run("ocr", media, model, rows, *more)
    assert all(json.loads(text)["kind"] in ("letter", "bill") for text in results.get("json", []))
    # Random weights may fill the answer with blanks until it is cut off: that is an error that says
    # so.
    pages = {"book#page=1", "book#page=2"}
    assert {*results.index, *errors.index} == pages | {"broken"}
    assert {errors.kind[name] for name in errors.index if name in pages} <= {"bad_answer"}


@pytest.mark.slow
def test_several_tasks_in_one_pass_over_pages(media, model):
    rows = [{"id": "book", "document": "book.pdf"}, {"id": "broken", "document": "red.png"}]
    more = [
        "--tasks",
        "caption,ocr,ground",
        "--detect",
        "--max-new-tokens",
        "6",
        "--style",
        "detailed",
    ]
    results, errors, said = run("annotate", media, model, rows, *more)
    assert (list(results.index), list(errors.index)) == (["book#page=1", "book#page=2"], ["broken"])
    assert {"caption", "text", "boxes", "page"} <= set(results.columns)
    for name in results.index:
        row = results.loc[name]
        assert row.caption == row.caption_response.strip()
        assert row.response == "\n".join(
            [row.caption_response, row.ocr_response, row.ground_response]
        )
        assert row.completion_tokens <= 3 * 6
    (book,) = pd.read_parquet(media / "annotate-out" / "documents").itertuples()
    assert (book.id, book.num_pages, list(book.failed_pages)) == ("book", 2, [])
    assert book.text == "\n\n".join(results.text)
    assert "1 from their pages" in said
