"""A suite through the job: one engine for all benchmarks, and the same command goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.nano import benchmarks
from testing.commands import ROOT, Done, run_here

NANO = ROOT / "examples" / "nano" / "checkpoint"


def run(folder: Path) -> Done:
    where = ("--input", folder / "suite.yaml", "--output", folder / "out", "--model", NANO)
    # what is tested here is not the engine, and this one starts soonest
    how = ("--max-tiles", "6", "--engine", "transformers")
    suite = ("--suite", "internvl2", "--beside", "InternVL2-1B")
    return run_here("evaluate_model.py", *suite, *where, *how)


@pytest.mark.usefixtures("no_ray_session")
def test_one_engine_answers_two_benchmarks_and_a_second_run_goes_on(tmp_path: Path) -> None:
    benchmarks.draw_docvqa(tmp_path / "docvqa", 8)
    [drawn] = (tmp_path / "docvqa").glob("*.parquet")
    drawn.rename(tmp_path / "docvqa" / "val.parquet")
    benchmarks.draw_refcoco(tmp_path / "refcoco", 6)
    (tmp_path / "suite.yaml").write_text("docvqa: docvqa\nrefcoco: refcoco\n")

    done = run(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert said.count("An engine is starting.") == 1
    found = json.loads((tmp_path / "out" / "evaluation" / "suite.json").read_text())
    here = found["figures"]["docvqa"]["DocVQA val"]
    assert f"| `docvqa` | DocVQA val | {here:.1f} | 80.0 | {here - 79.99:+.1f} |" in done.stdout
    assert "| `chartqa` | no data given | | | |" in done.stdout
    assert set(found["figures"]) == {"docvqa", "refcoco"}

    with (tmp_path / "refcoco" / "refcoco_drawn.jsonl").open("a") as file:
        file.write(json.dumps({"image": "gone.png", "sent": "star", "bbox": [1, 1, 9, 9]}) + "\n")
    again = run(tmp_path)

    assert again.returncode == 0, again.stdout + again.stderr
    assert "8 already done" in again.stdout
    assert "7 units in = 0 results + 1 errors + 6 already done" in again.stdout
    second = json.loads((tmp_path / "out" / "evaluation" / "suite.json").read_text())
    assert second["figures"]["docvqa"] == found["figures"]["docvqa"]
    assert second["figures"]["refcoco"]["RefCOCO drawn"] == pytest.approx(
        found["figures"]["refcoco"]["RefCOCO drawn"] * 6 / 7
    )
