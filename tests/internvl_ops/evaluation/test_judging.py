"""MM-Vet and MathVista: what a judge is asked, and what its words count; values are those of VLMEvalKit's scripts."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from internvl_ops.evaluation import BENCHMARKS, Sample
from internvl_ops.evaluation.judge_prompts import MATHVISTA, MMVET
from internvl_ops.evaluation.judging import MATHVISTA_RULE, MMVET_RULE


def sample(**fields: Any) -> Sample:
    return Sample(**{"id": "1", "split": "test", **fields})


def test_the_words_are_the_published_ones() -> None:
    # A changed word would make figures that cannot be compared.
    digests = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in (MMVET, MATHVISTA)]
    assert digests == ["92966e075f333190", "94e38858fbcff904"]


def test_mmvet_asks_with_the_marks_set_apart() -> None:
    asked = MMVET_RULE.ask(sample(question="What is x?", answers=["-1<AND>-5"], response="x = -1"))
    assert asked is not None
    assert asked.endswith("actual physical characteristics. | 1.0\n\nWhat is x? | -1 <AND> -5 | x = -1 | ")


@pytest.mark.parametrize(
    ("judgement", "accepted", "score"),
    [("0.5", True, 0.5), ("1", True, 1), ("0.0", True, 0), ("1.5", False, 0), ("-1", False, 0), ("good", False, 0),
     ("", False, 0), ("nan", False, 0)],
)  # fmt: skip
def test_mmvet_takes_numbers_from_0_to_1(judgement: str, accepted: bool, score: float) -> None:
    assert MMVET_RULE.accepts(judgement) == accepted
    scores, figures = BENCHMARKS["mmvet"].evaluate([sample(judgement=judgement, answers=["x"], category="ocr,math")])
    assert scores == [score]
    assert figures.table == {"MMVet": 100 * score}
    assert figures.categories == {name: {"score": 100 * score, "questions": 1} for name in ("ocr", "math")}


@pytest.mark.parametrize(
    ("judge", "column"),
    [("gpt-4-0613", "MMVet GPT-4-0613"), ("gpt-4-turbo-2024-04-09", "MMVet GPT-4-Turbo"),
     ("gpt-4-1106-preview", "MMVet GPT-4-Turbo"), ("gpt-3.5-turbo-0613", "MMVet"), ("Qwen2.5-72B", "MMVet")],
)  # fmt: skip
def test_a_figure_stands_beside_those_of_the_same_judge(judge: str, column: str) -> None:
    assert MMVET_RULE.column("MMVet", judge) == column


CHOICE = {"options": ["3/11", "8/11"], "answers": ["B"], "group": "text"}
INTEGER = {"answers": ["14"], "group": "integer"}
FLOAT = {"answers": ["1.45"], "group": "float"}


@pytest.mark.parametrize(
    ("fields", "response"),
    [(CHOICE, "B"), (CHOICE, "It is (A)."), (CHOICE, "The answer is 8/11"), (INTEGER, "14"), (INTEGER, " 14 "),
     (FLOAT, "1.450")],
)  # fmt: skip
def test_mathvista_asks_nothing_about_what_can_be_read(fields: dict, response: str) -> None:
    assert MATHVISTA_RULE.ask(sample(**fields, response=response)) is None


@pytest.mark.parametrize(
    ("fields", "response"),
    [(CHOICE, "both A and B"), (CHOICE, "none"), (INTEGER, "It is 14."), (INTEGER, "15"), (FLOAT, "$1.45"),
     ({"answers": ["0"], "group": "integer"}, "0"), ({"answers": ["[1, 2]"], "group": "list"}, "[1, 2]")],
)  # fmt: skip
def test_mathvista_asks_about_everything_else(fields: dict, response: str) -> None:
    asked = MATHVISTA_RULE.ask(sample(**fields, question="Q?", response=response))
    assert asked is not None
    assert asked.endswith(f"Extracted answer: B\n\nQ?\nModel respone: {response}Extracted answer:")


@pytest.mark.parametrize(
    ("fields", "response", "judgement", "score"),
    [
        (CHOICE, "B", "", 1),
        (CHOICE, "(A)", "B", 0),  # it was read without the judge
        (CHOICE, "none", "B", 1),
        (CHOICE, "none", "8/11", 1),
        (CHOICE, "none", "C", 0),
        (INTEGER, "It is 14.", "14", 1),
        (INTEGER, "It is 14.", "14.0", 0),
        (INTEGER, "14", "", 1),
        (FLOAT, "about 1.4", "1.45", 1),
        (FLOAT, "about 1.4", "1.4", 0),
        ({"answers": ["0"], "group": "integer"}, "0", "0", 1),
        ({"answers": ["[1, 2]"], "group": "list"}, "[1, 2]", "[1, 2]", 0),  # the script compares it with nothing
        (INTEGER, "It is 14.", "", 0),
    ],
)
def test_mathvista_counts_what_the_judge_read(fields: dict, response: str, judgement: str, score: float) -> None:
    found, figures = BENCHMARKS["mathvista"].evaluate([sample(**fields, response=response, judgement=judgement)])
    assert found == [score]
    assert figures.table == {"MathVista testmini": 100 * score}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "Hint", "answers": "8/11", "choices": "['3/11', '8/11']", "kind": "text"}, (["B"], "text")),
        ({"question": "Hint", "answers": "8/11", "choices": ["3/11", "8/11"], "option": "B", "kind": "text"},
         (["B"], "text")),
        ({"question": "Hint", "answers": "14", "choices": None, "kind": "integer"}, (["14"], "integer")),
        ({"question": "Hint", "answers": "14", "choices": "", "kind": "integer"}, (["14"], "integer")),
    ],
)  # fmt: skip
def test_rows_of_mathvista(row: dict, expected: tuple) -> None:
    read = BENCHMARKS["mathvista"].read(row, "testmini")
    assert (read["answers"], read["group"]) == expected


def test_rows_of_mmvet() -> None:
    row = {"question": "What?", "answers": "x", "category": ["ocr", "math"]}
    assert BENCHMARKS["mmvet"].read(row, "test")["category"] == "ocr,math"
    with pytest.raises(ValueError, match="none of the 2 choices"):
        BENCHMARKS["mathvista"].read({"question": "?", "answers": "z", "choices": "['x', 'y']", "kind": "text"}, "")
