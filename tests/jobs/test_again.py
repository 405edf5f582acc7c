"""Whole jobs that go over units again: a second model in the same command, and --only with
reviews."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from aiohttp import web
from PIL import Image

from pipelines.output.folder import OutputFolder
from pipelines.output.reviews import ReviewSession
from testing.commands import ROOT, run, run_here
from testing.model_server import ModelServer, completion, says
from tests.jobs.output import read_output

NANO = ROOT / "examples" / "nano" / "checkpoint"

MODELS = says({"data": [{"id": name, "owned_by": "test"} for name in ("first", "second", "third")]})
ROWS = [
    {"id": name, "question": f"Is {name} a word?"}
    for name in ("good", "cut", "fails", "hopeless", "bad")
]


async def answer(request: web.Request) -> web.Response:
    """The first model cuts one answer and fails two units; the second fails one of them."""
    body = await request.json()
    asked, model = json.dumps(body["messages"]), body["model"]
    if "hopeless" in asked or ("fails" in asked and model == "first"):
        return web.json_response(
            {"error": {"message": "no", "type": "Error", "code": 400}}, status=400
        )
    cut = "cut" in asked and model == "first"
    return web.json_response(completion(f"{model} says so", "length" if cut else "stop"))


def ask(folder: Path, server: ModelServer, *more: str, status: int = 0) -> str:
    manifest = folder / "questions.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    where = ["--input", manifest, "--output", folder / "out", "--engine", "openai"]
    done = run_here("ask_dataset.py", *where, "--base-url", server.url, "--retries", "0", *more)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    results, errors = (rows.set_index("id") for rows in read_output(folder / "out"))
    assert results.index.is_unique
    assert errors.index.is_unique
    return results, errors


@pytest.mark.usefixtures("ray_session")
def test_a_second_model_does_what_the_first_could_not_and_bad_ones_are_done_again(
    tmp_path: Path,
) -> None:
    with ModelServer() as server:
        server.models, server.otherwise = MODELS, answer
        said = ask(
            tmp_path, server, "--model", "first", "--fallback", "second", "--max-error-rate", "0.5"
        )
        assert "5 units in = 3 results + 2 errors" in said
        results, errors = read(tmp_path)
        assert dict(results.model) == {
            "good": "first",
            "bad": "first",
            "cut": "second",
            "fails": "second",
        }
        assert dict(results.answer)["fails"] == "second says so"
        assert list(errors.index) == ["hopeless"]
        assert len(list((tmp_path / "out" / "_runs").glob("*/run.json"))) == 2

        # The same command again asks nothing more.
        asked = len(server.bodies)
        ask(tmp_path, server, "--model", "first", "--fallback", "second")
        assert len(server.bodies) == asked
        assert read(tmp_path)[0].equals(results)

        # A reviewer marks one, and only that is done again, by another model and with another
        # prompt.
        ReviewSession(OutputFolder(str(tmp_path / "out")), "Ann").add("bad", "bad")
        only = [
            "--only",
            "review = 'bad' OR finish_reason = 'repetition'",
            "--model",
            "third",
            "--keep-history",
        ]
        said = ask(tmp_path, server, *only, "--system-message", "Be brief.")
        assert "1 units chosen: 1 results replaced" in said
        assert len(server.bodies) == asked + 1
        now, _ = read(tmp_path)
        assert dict(now.model) == dict(results.model) | {"bad": "third"}
        assert list(read_output(tmp_path / "out")[0].columns) == ["id", *results.columns]
        kept = pd.concat(map(pd.read_parquet, (tmp_path / "out" / "history").glob("*.parquet")))
        assert list(kept.id) == ["bad"]
        assert list(kept.answer) == ["first says so"]

        # The first command goes on as before; the chosen ones also go into an output of their own.
        ask(tmp_path, server, "--model", "first", "--fallback", "second")
        apart = [
            "--only",
            "model = 'second'",
            "--only-in",
            str(tmp_path / "out"),
            "--model",
            "third",
        ]
        (tmp_path / "apart").mkdir()
        ask(tmp_path / "apart", server, *apart)
        assert sorted(read_output(tmp_path / "apart" / "out")[0].id) == ["cut", "fails"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "colour = 'red'"], "--only"),
        (["--only-in", "elsewhere"], "--only-in"),
        (["--only", "id = 'a'", "--overwrite"], "--overwrite"),
        (["--only", "id = 'a'", "--shard", "1/2"], "--shard"),
        (["--fallback", "second", "--only", "id = 'a'"], "--only"),
        (["--only", "id = 'a'", "--join", "scores"], "--join"),
    ],
)
def test_what_cannot_be_done_again_is_status_2(
    tmp_path: Path, options: list[str], said: str
) -> None:
    OutputFolder(str(tmp_path / "out")).write_table(
        "results/a.parquet", pa.table({"id": ["a"], "answer": ["yes"]})
    )
    with ModelServer() as server:
        server.models = MODELS
        message = ask(tmp_path, server, "--model", "first", *options, status=2)
    assert said in message.splitlines()[-1]


def job(command: str, source: Path, output: Path, *more: str) -> str:
    """A job of nano-InternVL, run by transformers."""
    where = ["--input", source, "--output", output, "--model", NANO]
    done = run("-m", "internvl_batch", command, *where, "--engine", "transformers", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_page_that_a_reviewer_marked_is_read_again_and_its_document_made_anew(
    tmp_path: Path,
) -> None:
    pages = [
        Image.open(path).convert("RGB")
        for path in sorted((ROOT / "examples/demo/text").iterdir())[:3]
    ]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "a.pdf", save_all=True, append_images=pages[1:])
    out, apart = tmp_path / "out", tmp_path / "apart"
    job("ocr", tmp_path / "in", out, "--max-tiles", "6")
    before = read_output(out)[0].set_index("id")
    session = ReviewSession(OutputFolder(str(out)), "Ann")
    session.add("a.pdf#page=2", "bad")
    session.add("a.pdf#page=3", "good")

    only = ["--only", "review = 'bad'", "--max-tiles", "1"]
    said = job("ocr", tmp_path / "in", apart, *only, "--only-in", str(out))
    assert "1 units in = 1 results" in said
    assert read_output(out)[0].set_index("id").equals(before)

    job("ocr", tmp_path / "in", out, *only, "--keep-history")
    now = read_output(out)[0].set_index("id")
    assert list(now.index) == list(before.index)
    changed = now.run_id != before.run_id
    assert list(now.index[changed]) == ["a.pdf#page=2"]
    assert now.text["a.pdf#page=2"] == read_output(apart)[0].text[0] != before.text["a.pdf#page=2"]
    (document,) = pd.read_parquet(out / "documents").to_dict("records")
    assert document["text"] == "\n\n".join(now.text)
    assert list(pd.read_parquet(out / "history").text) == [before.text["a.pdf#page=2"]]
