"""What a judge is asked about an answer, and what its words count; values are those of VLMEvalKit's
scripts."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from internvl_ops.evaluation import BENCHMARKS, Sample, evaluate
from internvl_ops.evaluation.judge_prompts import MATHVISTA, MMBENCH_VIDEO, MMVET
from internvl_ops.evaluation.judging import MATHVISTA_RULE, MMBENCH_VIDEO_RULE, MMVET_RULE


def sample(**fields: Any) -> Sample:
    return Sample(**{"id": "1", "split": "test", **fields})


def test_the_words_are_the_published_ones() -> None:
    # A changed word would make figures that cannot be compared.
    digests = [
        hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        for text in (MMVET, MATHVISTA, MMBENCH_VIDEO)
    ]
    assert digests == ["92966e075f333190", "94e38858fbcff904", "8397529e1bd64591"]


def test_mmvet_asks_with_the_marks_set_apart() -> None:
    asked = MMVET_RULE.ask(sample(question="What is x?", answers=["-1<AND>-5"], response="x = -1"))
    assert asked is not None
    assert asked.endswith(
        "actual physical characteristics. | 1.0\n\nWhat is x? | -1 <AND> -5 | x = -1 | "
    )


@pytest.mark.parametrize(
    ("judgement", "accepted", "score"),
    [("0.5", True, 0.5), ("1", True, 1), ("0.0", True, 0), ("1.5", False, 0), ("-1", False, 0),
     ("good", False, 0), ("", False, 0), ("nan", False, 0)],
)  # fmt: skip
def test_mmvet_takes_numbers_from_0_to_1(judgement: str, accepted: bool, score: float) -> None:
    assert MMVET_RULE.accepts(judgement) == accepted
    scores, figures = BENCHMARKS["mmvet"].evaluate(
        [sample(judgement=judgement, answers=["x"], category="ocr,math")]
    )
    assert scores == [score]
    assert figures.table == {"MMVet": 100 * score}
    assert figures.categories == {
        name: {"score": 100 * score, "questions": 1} for name in ("ocr", "math")
    }


@pytest.mark.parametrize(
    ("judge", "column"),
    [("gpt-4-0613", "MMVet GPT-4-0613"), ("gpt-4-turbo-2024-04-09", "MMVet GPT-4-Turbo"),
     ("gpt-4-1106-preview", "MMVet GPT-4-Turbo"), ("gpt-3.5-turbo-0613", "MMVet"),
     ("Qwen2.5-72B", "MMVet")],
)  # fmt: skip
def test_a_figure_stands_beside_those_of_the_same_judge(judge: str, column: str) -> None:
    assert MMVET_RULE.column("MMVet", judge, None) == column


CHOICE = {"options": ["3/11", "8/11"], "answers": ["B"], "group": "text"}
INTEGER = {"answers": ["14"], "group": "integer"}
FLOAT = {"answers": ["1.45"], "group": "float"}


@pytest.mark.parametrize(
    ("fields", "response"),
    [(CHOICE, "B"), (CHOICE, "It is (A)."), (CHOICE, "The answer is 8/11"), (INTEGER, "14"),
     (INTEGER, " 14 "), (FLOAT, "1.450")],
)  # fmt: skip
def test_mathvista_asks_nothing_about_what_can_be_read(fields: dict, response: str) -> None:
    assert MATHVISTA_RULE.ask(sample(**fields, response=response)) is None


@pytest.mark.parametrize(
    ("fields", "response"),
    [(CHOICE, "both A and B"), (CHOICE, "none"), (INTEGER, "It is 14."), (INTEGER, "15"),
     (FLOAT, "$1.45"), ({"answers": ["0"], "group": "integer"}, "0"),
     ({"answers": ["[1, 2]"], "group": "list"}, "[1, 2]")],
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
        # the script compares it with nothing
        ({"answers": ["[1, 2]"], "group": "list"}, "[1, 2]", "[1, 2]", 0),
        (INTEGER, "It is 14.", "", 0),
    ],
)
def test_mathvista_counts_what_the_judge_read(
    fields: dict, response: str, judgement: str, score: float
) -> None:
    found, figures = BENCHMARKS["mathvista"].evaluate(
        [sample(**fields, response=response, judgement=judgement)]
    )
    assert found == [score]
    assert figures.table == {"MathVista testmini": 100 * score}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "Hint", "answers": "8/11", "choices": "['3/11', '8/11']", "kind": "text"},
         (["B"], "text")),
        ({"question": "Hint", "answers": "8/11", "choices": ["3/11", "8/11"], "option": "B",
          "kind": "text"},
         (["B"], "text")),
        ({"question": "Hint", "answers": "14", "choices": None, "kind": "integer"},
         (["14"], "integer")),
        ({"question": "Hint", "answers": "14", "choices": "", "kind": "integer"},
         (["14"], "integer")),
    ],
)  # fmt: skip
def test_rows_of_mathvista(row: dict, expected: tuple) -> None:
    read = BENCHMARKS["mathvista"].read(row, "testmini")
    assert (read["answers"], read["group"]) == expected


def test_rows_of_mmvet() -> None:
    row = {"question": "What?", "answers": "x", "category": ["ocr", "math"]}
    assert BENCHMARKS["mmvet"].read(row, "test")["category"] == "ocr,math"
    with pytest.raises(ValueError, match="none of the 2 choices"):
        BENCHMARKS["mathvista"].read(
            {"question": "?", "answers": "z", "choices": "['x', 'y']", "kind": "text"}, ""
        )


def test_mmbench_video_is_asked_as_vlmevalkit_does() -> None:
    [asked] = evaluate(BENCHMARKS["mmbench_video"], num_frames=2).converse(
        {"question": "Who {frames}?"}
    )
    assert (
        asked.questions[0]
        == "Frame-1: <image>\nFrame-2: <image>\n\nYou will be provided with 2 separate frames"
        " uniformly sampled from a video, the frames are provided in chronological order of the"
        " video.\nPlease analyze these images and provide the answer to the question about the"
        " video content.\nPlease directly reply with your response to the only"
        " question.\nQuestion: Who {frames}? "
    )
    assert asked.max_new_tokens == 1024
    [asked] = evaluate(BENCHMARKS["mmbench_video"]).converse({"question": "Who?"})  # frames by time
    assert "provided with separate frames" in asked.questions[0]


def test_mmbench_video_asks_for_a_rating_of_similarity() -> None:
    asked = MMBENCH_VIDEO_RULE.ask(sample(question="Who?", answers=["A cat."], response="a dog"))
    assert (
        asked
        == "Question: Who?\nGroundtruth answer: A cat.\nCandidate answer: a dog\nYour response: "
    )
    assert MMBENCH_VIDEO_RULE.system.endswith("single integer from 0, 1, 2, or 3.\n")
    names = [MMBENCH_VIDEO_RULE.column("MMBench-Video", "any", frames) for frames in (8, 16, None)]
    assert names == ["MMBench-Video 8f", "MMBench-Video 16f", "MMBench-Video"]


@pytest.mark.parametrize(
    ("judgement", "score"),
    [
        ("3", 3),
        (" 2\n", 2),
        ("0", 0),
        ("1.0", 0),
        ("2.", 0),
        ("Rating: 3", 0),
        ("-1", 0),
        ("7", 0),
        ("", 0),
    ],
)
def test_mmbench_video_counts_whole_numbers(judgement: str, score: float) -> None:
    one = sample(judgement=judgement, answers=["x"], category="OCR,Counting,Causal Reasoning")
    scores, figures = BENCHMARKS["mmbench_video"].evaluate(
        [one, sample(judgement="3", category="Hallucination")]
    )
    assert scores == [score, 3]
    assert figures.table == {"MMBench-Video": (score + 3) / 2}
    assert figures.categories == {
        "FP-S": {"score": score, "questions": 1},
        "HL": {"score": 3, "questions": 1},
        "TR": {"score": score, "questions": 1},
        "Perception": {"score": (score + 3) / 2, "questions": 2},
        "Reasoning": {"score": score, "questions": 1},
    }


@pytest.mark.parametrize("dimensions", ["['OCR', 'Human Motion']", ["OCR", "Human Motion"]])
def test_rows_of_mmbench_video(dimensions: object) -> None:
    read = BENCHMARKS["mmbench_video"].read(
        {"question": "?", "answers": "x", "category": dimensions}, "test"
    )
    assert read == {"question": "?", "answers": ["x"], "category": "OCR,Human Motion"}
