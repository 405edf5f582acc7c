"""nano-InternVL on drawn sets in the formats of RefCOCO and DocVQA, by jobs/evaluate_model.py and
in a plain loop.

The plain loop asks the weights in torch about the same pictures and scores with the same metrics;
nothing of `pipelines` or `engines` takes part.

    python -m benchmarks.bench_evaluation --count 200
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import records
from examples.nano import benchmarks, draw, evaluate, sample_types, train
from examples.nano import model as nano_model
from examples.nano.held_out import true_box
from internvl_ops.evaluation import BENCHMARKS, Sample
from internvl_ops.tasks.base import without_marks

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "examples" / "nano" / "checkpoint"
# Benchmark -> the task of examples/nano that draws it, and what writes it.
SETS: dict[str, tuple[str, Callable[[Path, int], Path]]] = {
    "refcoco": ("ground", benchmarks.draw_refcoco),
    "docvqa": ("question", benchmarks.draw_docvqa),
}


def through_the_job(name: str, data: Path, output: Path) -> dict[str, Any]:
    """What the job writes of its scores."""
    command = [
        sys.executable,
        "jobs/evaluate_model.py",
        "--benchmark",
        name,
        "--input",
        data,
        "--output",
        output,
    ]
    command += ["--model", CHECKPOINT.relative_to(ROOT), "--max-tiles", nano_model.MAX_TILES]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True)
    return json.loads((output / "evaluation" / "scores.json").read_text())


def plainly(name: str, count: int) -> float:
    """The figure of the same weights in torch."""
    task, _ = SETS[name]
    drawn = [
        draw.draw(task, seed) for seed in range(benchmarks.HELD_OUT, benchmarks.HELD_OUT + count)
    ]
    model, asker = train.load(CHECKPOINT)
    answers = evaluate.ask(model, asker, drawn)
    _, figures = BENCHMARKS[name].evaluate(
        [_sample(*pair) for pair in zip(drawn, answers, strict=True)]
    )
    (figure,) = figures.table.values()
    return figure


def _sample(drawn: sample_types.Sample, answer: str) -> Sample:
    height, width, _ = drawn.pictures[0].pixels.shape
    box = true_box(drawn) if drawn.task == "ground" else ()
    response = without_marks(answer).strip()
    return Sample(
        "", "drawn", response, answers=[drawn.answer], box=box, width=width, height=height
    )


def measure(name: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        _, write = SETS[name]
        scores = through_the_job(name, write(Path(folder) / name, count), Path(folder) / "output")
    (figure,) = scores["figures"].values()
    benchmark = BENCHMARKS[name]
    return records.record(
        f"drawn in the format of {benchmark.title}, {benchmark.metric}",
        "of 100",
        figure,
        rival_name="the same weights in plain torch",
        rival=plainly(name, count),
        expected=count,
        got=scores["questions"] - scores["failed"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="questions in each set")
    options = parser.parse_args()
    if wrong := records.write("evaluation", [measure(name, options.count) for name in SETS]):
        sys.exit(f"not every question was answered: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
