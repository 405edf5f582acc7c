"""How often nano-InternVL is right through the whole pipeline, and in a plain loop over the same
files.

Held-out pictures and clips lie in an object store; the jobs read, tile, ask vLLM, parse and write
Parquet, and what was written is scored. The plain loop opens each file with Pillow or PyAV and asks
the weights in torch, with nothing of `pipelines` or `engines`. Reads the usual ``AWS_*`` variables
where ``AWS_ENDPOINT_URL`` is set, else starts moto's server.

    python -m benchmarks.accuracy --count 200
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import records
from examples.nano import evaluate, held_out, train
from examples.nano import model as nano_model
from examples.nano.held_out import Asked
from internvl_ops.metrics import edits, iou
from internvl_ops.tasks.boxes import parse_boxes
from testing.cluster import ROOT, filesystem
from testing.object_store import object_store

CHECKPOINT = ROOT / "examples" / "nano" / "checkpoint"
TILES = ("--max-tiles", str(nano_model.MAX_TILES))
# Task -> name of its figure, aim if there is one, job, column of the answer.
FIGURES: dict[str, tuple[str, float | None, str, str]] = {
    "caption": ("caption_exact_match", 0.9, "caption_dataset.py", "caption"),
    "line": ("ocr_cer", 0.05, "ocr_dataset.py", "text"),
    "text": ("ocr_cer_several_lines", None, "ocr_dataset.py", "text"),
    "ground": ("grounding_p50", 0.85, "ground_dataset.py", "boxes"),
    "video": ("video_question_accuracy", 0.8, "ask_dataset.py", "answer"),
}


def score(task: str, asked: Sequence[Asked], answers: Sequence[Any]) -> float:
    """The task's figure; an answer that is None, of a unit that failed, is wrong.

    Args:
        task: A key of `FIGURES`.
        asked: The questions.
        answers: Texts; for ``ground`` lists of boxes (x1, y1, x2, y2) in pixels.
    """
    pairs = list(zip((one.sample for one in asked), answers, strict=True))
    if task in ("line", "text"):
        wrong = sum(edits(sample.answer, answer or "") for sample, answer in pairs)
        return wrong / sum(len(sample.answer) for sample, _ in pairs)
    if task == "ground":
        right = sum(
            any(iou(box, held_out.true_box(s)) >= 0.5 for box in (a or [])[:1]) for s, a in pairs
        )
        return right / len(pairs)
    return sum(answer == sample.answer for sample, answer in pairs) / len(pairs)


def through_the_pipeline(task: str, asked: Sequence[Asked], bucket: str, fs: Any) -> list[Any]:
    """Runs the task's job from the bucket to the bucket; the answers as they stand in its
    results."""
    _, _, job, column = FIGURES[task]
    done = subprocess.run(
        [
            *(sys.executable, f"jobs/{job}", "--input", f"s3://{bucket}/data/{task}.jsonl"),
            *(
                "--output",
                f"s3://{bucket}/{task}",
                "--model",
                str(CHECKPOINT),
                *(() if task == "video" else TILES),
            ),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"{job} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    answers = {}
    for name in fs.glob(f"{bucket}/{task}/results/*.parquet"):
        with fs.open(name) as file:
            rows = pq.read_table(file, columns=["id", column]).to_pylist()
        answers |= {row["id"]: row[column] for row in rows}
    given = [answers.get(one.id) for one in asked]
    if task == "ground":
        return [
            [(box["x1"], box["y1"], box["x2"], box["y2"]) for box in boxes or []] for boxes in given
        ]
    return given


def plainly(task: str, asked: Sequence[Asked], folder: Path) -> list[Any]:
    """The answers of the weights in torch to the same files."""
    model, asker = train.load(CHECKPOINT)
    samples = [held_out.read(folder, one) for one in asked]
    answers = evaluate.ask(model, asker, samples)
    if task != "ground":
        return answers
    found = []
    for sample, answer in zip(samples, answers, strict=True):
        height, width = sample.pictures[0].pixels.shape[:2]
        boxes = parse_boxes(answer, width, height) or []
        found.append([(box.x1, box.y1, box.x2, box.y2) for box in boxes])
    return found


def weights_sha256() -> str:
    """Which weights a figure is of."""
    return hashlib.sha256((CHECKPOINT / "model.safetensors").read_bytes()).hexdigest()


def measure(count: int, tasks: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """What ``benchmarks/results/accuracy.json`` holds."""
    found: dict[str, Any] = {"weights_sha256": weights_sha256(), "machine": records.machine()}
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with (
        nullcontext(given)
        if "AWS_ENDPOINT_URL" in given
        else object_store(own_process=True) as environment,
        tempfile.TemporaryDirectory() as scratch,
    ):
        os.environ.update(environment)
        fs, bucket = filesystem(environment), f"accuracy-{uuid.uuid4().hex[:8]}"
        fs.call_s3("create_bucket", Bucket=bucket)
        for task in tasks:
            name, aim, _, _ = FIGURES[task]
            folder = Path(scratch) / task
            asked = held_out.write(folder, task, count)
            fs.put(f"{folder}/", f"{bucket}/data/", recursive=True)
            found[name] = {
                "pipeline": round(
                    score(task, asked, through_the_pipeline(task, asked, bucket, fs)), 4
                ),
                "plain_loop": round(score(task, asked, plainly(task, asked, folder)), 4),
                "n": count,
                "aim": aim,
            }
            say(f"{name}: {found[name]}")
        fs.rm(bucket, recursive=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="questions a task")
    parser.add_argument("--tasks", nargs="+", choices=FIGURES, default=list(FIGURES))
    options = parser.parse_args()
    found = measure(options.count, options.tasks, print)
    if set(options.tasks) == set(FIGURES):
        (records.RESULTS / "accuracy.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
