"""Reads a row of a benchmark's data as a question and its right answers. Each function raises
``ValueError`` if it cannot."""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Sequence
from typing import Any

from internvl_ops.errors import keyword
from internvl_ops.evaluation.benchmark import BenchmarkRow
from internvl_ops.evaluation.mvbench import task_of
from internvl_ops.metrics.letters import LETTERS

Fields = dict[str, Any]
PEOPLE = 10  # number of people who answered each question of the VQA sets
# Texts that pandas reads as "no value". The published scripts read MMBench with it, so such options
# were never shown.
PANDAS_NA = frozenset({"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND",
                       "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan",
                       "null"})  # fmt: skip
MMBENCH_ROUND = 1_000_000  # added to a question's index for each further order of its options


def read_question(row: BenchmarkRow, split: str) -> Fields:
    """A question and its answers."""
    return {"question": text(row, "question"), "answers": texts(row, "answers")}


def read_vqa(row: BenchmarkRow, split: str) -> Fields:
    """A question and the answers of ten people."""
    answers = texts(row, "answers")
    if len(answers) != PEOPLE:
        raise ValueError(
            f"{len(answers)} answer(s) where VQA accuracy needs those of {PEOPLE} people. If they"
            f" stand in the VQA annotation file, name it by {keyword('annotations', 'FILE')}"
        )
    return {"question": text(row, "question"), "answers": answers}


def read_chart(row: BenchmarkRow, split: str) -> Fields:
    """ChartQA: written by people or generated from captions, according to a column or the file's
    name."""
    kind = row.get("kind")
    # HuggingFaceM4/ChartQA numbers the parts in the order of its class labels.
    part = {"0": "human", "1": "augmented"}.get(str(kind), str(kind or split))
    for word, known in (("human", "human"), ("augmented", "augmented"), ("machine", "augmented")):
        if word in part:
            return read_question(row, split) | {"split": known}
    return read_question(row, split) | {"split": split}


def read_caption(row: BenchmarkRow, split: str) -> Fields:
    """An image and its captions."""
    return {"answers": texts(row, "answers")}


def read_box(row: BenchmarkRow, split: str) -> Fields:
    """The object of an expression: x1, y1, x2, y2 in pixels."""
    corners = row.get("box")
    numbers = [float(number) for number in corners] if isinstance(corners, Sequence) else []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"box {corners!r:.80}: four numbers are needed, x1, y1, x2, y2 in pixels")
    if numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise ValueError(
            f"box {corners!r:.80} has no area: x1, y1, x2, y2 are needed, not x, y, width, height"
        )
    return {"question": text(row, "question"), "box": numbers}


def read_ocrbench(row: BenchmarkRow, split: str) -> Fields:
    """OCRBench; VLMEvalKit's table contains the list of answers in Python's notation."""
    answers = row.get("answers")
    if isinstance(answers, str) and answers.startswith("[") and answers.endswith("]"):
        with contextlib.suppress(ValueError, SyntaxError):
            row = {**row, "answers": ast.literal_eval(answers)}
    return read_question(row, split) | {"category": text(row, "category")}


def read_mme(row: BenchmarkRow, split: str) -> Fields:
    """A question answered with yes or no; each image has one of both, and the question's id names
    the image."""
    fields = read_question(row, split)
    category = text(row, "category")
    if fields["answers"][0].lower() not in ("yes", "no"):
        raise ValueError(f"answer {fields['answers'][0]!r:.80}; Yes or No is needed")
    return fields | {"category": category, "group": f"{category}/{text(row, 'image_id')}"}


def read_mmbench(row: BenchmarkRow, split: str) -> Fields:
    """A hint, the question, and up to five options, each on its own line."""
    options = [
        option
        for letter in LETTERS[:5]
        if (option := given(row, letter)) and option not in PANDAS_NA
    ]
    right = text(row, "answers")
    if right not in tuple(LETTERS[: len(options)]):
        raise ValueError(f"answer {right!r:.80} is no letter of the {len(options)} options")
    lines = [given(row, "hint"), text(row, "question")]
    lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return {
        "question": "\n".join(line for line in lines if line),
        "answers": [right],
        "options": options,
        "category": given(row, "category"),
        "group": str(int(float(text(row, "index"))) % MMBENCH_ROUND),
    }


def read_mvbench(row: BenchmarkRow, split: str) -> Fields:
    """A question with its options; about a part of the video if the row gives the times and its
    task uses them."""
    options, right = texts(row, "options"), text(row, "answers")
    if right not in options:
        raise ValueError(f"answer {right!r:.80} is none of the options {options!r:.200}")
    lines = [f"Question: {text(row, 'question')}", "Options:"]
    lines += [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    category = given(row, "category") or split
    task = task_of(category)
    bounds = ("start", "end") if task is None or task.has_bounds else ()
    return {
        "question": "\n".join(lines),
        "answers": [right],
        "options": options,
        "category": category,
        **{name: _number(row, name) for name in bounds},
    }


def read_video_mme(row: BenchmarkRow, split: str) -> Fields:
    """A question with four options that include their letters."""
    options, right = texts(row, "options"), text(row, "answers")
    if right not in tuple("ABCD"):
        raise ValueError(f"answer {right!r:.80}; a letter from A to D is needed")
    asked = "\n".join([text(row, "question"), *options])
    return {
        "question": asked,
        "answers": [right],
        "options": options,
        "category": given(row, "category"),
    }


def text(row: BenchmarkRow, name: str) -> str:
    """A value as text. Raises ``ValueError`` if there is none."""
    found = given(row, name)
    if not found:
        raise ValueError(f"no {name}: the column is null or empty")
    return found


def given(row: BenchmarkRow, name: str) -> str:
    """A value as text; empty if there is none, which pandas represents as nan."""
    value = row.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    found = str(value)
    return "" if found.strip().lower() in ("", "nan") else found


def texts(row: BenchmarkRow, name: str) -> list[str]:
    """One or several values as texts. Raises ``ValueError`` if there is none."""
    value = row.get(name)
    if value is None:
        value = []
    several = value if isinstance(value, list | tuple) else [value]
    found = [
        str(one["answer"] if isinstance(one, dict) and "answer" in one else one) for one in several
    ]
    if not found:
        raise ValueError(
            f"no {name}: those of test splits are not published, and such rows cannot be scored"
        )
    return found


def _number(row: BenchmarkRow, name: str) -> float | None:
    value = row.get(name)
    return None if value is None else float(value)
