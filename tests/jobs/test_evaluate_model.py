"""Benchmarks that were drawn, in the published forms, answered by nano-InternVL through the job."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from examples.nano import benchmarks
from examples.nano.sample_types import COLOURS, KINDS
from testing.commands import ROOT, Done, run_here

NANO = ROOT / "examples" / "nano" / "checkpoint"


def run(name: str, data: Path, output: Path, *more: str) -> Done:
    where = ("--benchmark", name, "--input", data, "--output", output, "--model", NANO)
    how = ("--max-tiles", "6", "--engine", "transformers")
    return run_here("evaluate_model.py", *where, *how, *more)


def scores(output: Path) -> tuple[dict, pd.DataFrame]:
    figures = json.loads((output / "evaluation" / "scores.json").read_text())
    return figures, pd.read_parquet(output / "evaluation" / "samples.parquet").set_index("id")


@pytest.mark.slow  # tests/jobs/test_suite.py goes the same way in the quick suite
@pytest.mark.usefixtures("ray_session")
def test_refcoco(tmp_path: Path) -> None:
    data, output = tmp_path / "refcoco", tmp_path / "out"
    path = benchmarks.draw_refcoco(data, 18)
    gone = {
        "image": "gone.png",
        "sent": "red star",
        "bbox": [1, 1, 9, 9],
        "height": 64,
        "width": 64,
    }
    with path.open("a") as file:
        file.write(json.dumps(gone) + "\n" + "not JSON\n")

    done = run("refcoco", data, output)

    assert done.returncode == 0, done.stdout + done.stderr
    figures, samples = scores(output)
    assert (figures["questions"], figures["failed"], len(samples)) == (20, 2, 20)
    # What is missing is wrong: of twenty, not of eighteen.
    assert figures["figures"] == {"RefCOCO drawn": pytest.approx(5 * samples.score.sum())}
    assert samples.score.sum() >= 12
    assert samples.error["refcoco_drawn.jsonl:19"].startswith("not_found")
    assert samples.question["refcoco_drawn.jsonl:19"] == "red star"
    assert samples.error["refcoco_drawn.jsonl:20"].startswith("bad_row")
    assert "20 questions, 2 of which failed and count as wrong" in done.stdout
    assert "| InternVL2-1B |" in done.stdout

    again = run("refcoco", data, output)  # nothing is left to do; the scores are made again

    assert again.returncode == 0, again.stdout + again.stderr
    assert "18 already done" in again.stdout
    assert scores(output)[0] == figures


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_docvqa(tmp_path: Path) -> None:
    benchmarks.draw_docvqa(tmp_path / "docvqa", 20)

    done = run("docvqa", tmp_path / "docvqa", tmp_path / "out")

    assert done.returncode == 0, done.stdout + done.stderr
    figures, samples = scores(tmp_path / "out")
    assert figures["figures"] == {"DocVQA drawn": pytest.approx(5 * samples.score.sum())}
    assert samples.score.sum() >= 14
    assert set(samples.response) <= {*COLOURS, *KINDS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["docvq"], "--benchmark docvq: must be 'refcoco', 'docvqa'"),
        (["docvqa"], "has no column 'question' or 'query' for the question"),
        (
            ["refcoco", "--split", "testC"],
            "has it in its name: refcoco_drawn.jsonl. Splits of refcoco: refcoco_val, ",
        ),
        (["refcoco", "--prompt", "Where?"], "has no {}, where each question of RefCOCO goes"),
        (["refcoco", "--media-root", "/not/there"], "--media-root /not/there: no such folder"),
    ],
)
def test_what_is_wrong_is_said_at_once(tmp_path: Path, arguments: list[str], message: str) -> None:
    benchmarks.draw_refcoco(tmp_path / "refcoco", 2)

    done = run(arguments[0], tmp_path / "refcoco", tmp_path / "out", *arguments[1:])

    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_lists_the_benchmarks() -> None:
    done = run_here("evaluate_model.py", "--help")
    assert "refcoco,docvqa,infovqa," in "".join(done.stdout.split())
