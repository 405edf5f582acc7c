"""Asks nano-InternVL held-out questions in plain torch, without the pipeline, and scores its
answers.

python -m examples.nano.evaluate examples/nano/checkpoint --count 500 --json accuracy.json
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.nano import draw, lessons, train
from examples.nano import model as nano_model
from examples.nano.held_out import FIRST_SEED, true_box
from examples.nano.sample_types import Sample
from internvl_ops.metrics import edits, iou

TASKS = ["caption", "count", "question", "ground", "video", "ocr"]
LONGEST = 80  # tokens of an answer
BATCH = 50  # samples asked at once


def ask(model: nano_model.NanoInternVL, asker: lessons.Asker, samples: list[Sample]) -> list[str]:
    """Greedy answers, special tokens kept, in the order of the samples."""
    batches = (samples[at : at + BATCH] for at in range(0, len(samples), BATCH))
    return [answer for batch in batches for answer in _ask(model, asker, batch)]


@torch.inference_mode()
def _ask(model: nano_model.NanoInternVL, asker: lessons.Asker, samples: list[Sample]) -> list[str]:
    tiles = [lessons.tiles_of(sample) for sample in samples]
    prompts = [asker.prompt(sample, parts) for sample, parts in zip(samples, tiles, strict=True)]
    visual = [model.see(torch.from_numpy(np.concatenate(parts))).flatten(0, 1) for parts in tiles]
    expected = [asker.answer(sample)[0] for sample in samples]
    chosen = _next(model, asker, prompts, visual, [answer[:-1] for answer in expected])
    # Where each token of the expected answer is the model's choice after those before it, it is the
    # greedy answer.
    answers: list[list[int]] = [
        answer[:-1] if choice[-len(answer) :] == answer else []
        for answer, choice in zip(expected, chosen, strict=True)
    ]
    open_ones = [
        at for at, choice in enumerate(chosen) if choice[-len(expected[at]) :] != expected[at]
    ]
    for _ in range(LONGEST):
        if not open_ones:
            break
        some = (prompts, visual, answers)
        chosen = _next(model, asker, *([part[at] for at in open_ones] for part in some))  # type: ignore[arg-type]
        still = []
        for at, choice in zip(open_ones, chosen, strict=True):
            if choice[-1] != asker.end:
                answers[at].append(choice[-1])
                still.append(at)
        open_ones = still
    return [asker.tokenizer.decode(answer, skip_special_tokens=False) for answer in answers]


def _next(
    model: nano_model.NanoInternVL,
    asker: lessons.Asker,
    prompts: list[np.ndarray],
    visual: list[Any],
    answers: list[list[int]],
) -> list[list[int]]:
    """The model's choice after the prompt and after each token of the answer."""
    rows = [
        np.concatenate([prompt, answer]).astype(np.int64)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    length = max(map(len, rows))
    ids = np.zeros((len(rows), length), np.int64)
    for row, one in zip(ids, rows, strict=True):
        row[: len(one)] = one
    places = np.concatenate(
        [
            at * length + np.flatnonzero(prompt == asker.context_id)
            for at, prompt in enumerate(prompts)
        ]
    )
    hidden, _ = model.tell(torch.from_numpy(ids), torch.cat(visual), torch.from_numpy(places))
    return [
        model.words(hidden[at, len(prompt) - 1 : len(one)]).argmax(-1).tolist()
        for at, (prompt, one) in enumerate(zip(prompts, rows, strict=True))
    ]


def overlap(answer: str, sample: Sample) -> float:
    """Intersection over union of the answered box and the drawn one, which is not rounded; 0
    without a box."""
    found = re.search(r"<box>\[\[(\d+), (\d+), (\d+), (\d+)\]\]</box>", answer)
    if not found:
        return 0.0
    picture = sample.pictures[0]
    height, width = picture.pixels.shape[:2]
    box = np.array(true_box(sample)) / [width, height, width, height] * 1000
    return iou([int(part) for part in found.groups()], box)


def score(task: str, samples: list[Sample], answers: list[str]) -> dict[str, float]:
    """Counts, and the share that the task is judged by."""
    pairs = list(zip(samples, answers, strict=True))
    exact = sum(sample.answer == answer for sample, answer in pairs)
    result: dict[str, float] = {
        "samples": len(pairs),
        "exact": exact,
        "exact_share": exact / len(pairs),
    }
    if task == "ocr":
        wrong, letters = (
            sum(edits(s.answer, a) for s, a in pairs),
            sum(len(s.answer) for s in samples),
        )
        result |= {"edits": wrong, "characters": letters, "character_error_rate": wrong / letters}
    if task == "ground":
        hits = sum(overlap(answer, sample) >= 0.5 for sample, answer in pairs)
        result |= {"hits": hits, "precision_at_0.5": hits / len(pairs)}
    return result


def evaluate(
    folder: Path, count: int, tasks: list[str], show: Callable[[str], None] = print
) -> dict[str, Any]:
    """Scores of each task over `count` held-out samples."""
    model, asker = train.load(folder)
    results = {}
    for task in tasks:
        samples = [draw.draw(task, FIRST_SEED + at) for at in range(count)]
        answers = ask(model, asker, samples)
        results[task] = score(task, samples, answers)
        show(f"{task}: {results[task]}")
        wrong = [(s.answer, a) for s, a in zip(samples, answers, strict=True) if s.answer != a][:4]
        show(
            "".join(
                f"    expected {expected!r}\n    answered {answered!r}\n"
                for expected, answered in wrong
            )
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Score nano-InternVL in plain torch.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--count", type=int, default=500, help="held-out samples a task")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--json", type=Path, help="write the scores here as well")
    options = parser.parse_args()
    results = evaluate(options.checkpoint, options.count, options.tasks)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
