"""From answered samples to the published figures, computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from internvl_ops.evaluation import BENCHMARKS, Sample
from internvl_ops.evaluation.published import PUBLISHED, beside_published


def samples(*fields: dict) -> list[Sample]:
    return [
        Sample(**{"id": str(number), "split": "val", **each}) for number, each in enumerate(fields)
    ]


def right(split: str = "val", **more: object) -> dict:
    return {"split": split, "response": "cat", "answers": ["cat"], **more}


def wrong(split: str = "val", **more: object) -> dict:
    return right(split, **more) | {"response": "dog"}


def test_a_failed_question_is_wrong_even_where_an_empty_answer_would_be_right() -> None:
    empty = {"response": "", "answers": [""]}
    scores, figures = BENCHMARKS["docvqa"].evaluate(
        samples(right(), empty, {**empty, "failed": True})
    )

    assert scores == [1, 1, 0]
    assert figures.table == {"DocVQA val": pytest.approx(200 / 3)}


def test_refcoco_is_the_mean_of_the_eight_splits() -> None:
    box = {"box": [0, 0, 50, 50], "width": 100, "height": 100}
    hit, miss = (
        {**box, "response": "[[0, 0, 500, 500]]"},
        {**box, "response": "[[500, 500, 900, 900]]"},
    )
    first, *others = BENCHMARKS["refcoco"].splits
    answered = samples(
        {**hit, "split": first},
        {**miss, "split": first},
        *({**hit, "split": one} for one in others),
    )
    _, figures = BENCHMARKS["refcoco"].evaluate(answered)

    # 50 in the first split and 100 in seven: (50 + 700) / 8, though 8 of 9 phrases were found.
    assert figures.table["avg."] == 93.75
    assert figures.table["RefCOCO val"] == 50
    assert figures.table["RefCOCO+ testB"] == figures.table["RefCOCOg test"] == 100
    assert set(figures.table) == set(PUBLISHED["refcoco"].columns)
    assert "avg." not in BENCHMARKS["refcoco"].evaluate(answered[:3])[1].table


def test_chartqa_is_the_mean_of_what_people_and_programs_asked() -> None:
    answered = samples(
        right("human"), wrong("human"), wrong("human"), wrong("human"), right("augmented")
    )

    assert BENCHMARKS["chartqa"].evaluate(answered)[1].table == {
        "ChartQA avg.": 62.5,
        "ChartQA human": 25,
        "ChartQA augmented": 100,
    }


def test_ocrbench_counts() -> None:
    scene = {"category": "Scene Text-centric VQA"}
    _, figures = BENCHMARKS["ocrbench"].evaluate(
        samples(right(**scene), wrong(**scene), right(category="Doc"))
    )

    assert figures.table == {"OCRBench": 2}
    assert figures.categories["Scene Text-centric VQA"] == {"score": 50, "questions": 2}


def test_mme_adds_up_categories() -> None:
    def asked(category: str, image: str, response: str) -> dict:
        return {
            "category": category,
            "group": f"{category}/{image}",
            "response": response,
            "answers": ["Yes"],
        }

    answered = samples(
        asked("count", "1", "Yes"),
        asked("count", "1", "Yes"),
        asked("count", "2", "yes."),
        asked("count", "2", "No"),
        asked("code_reasoning", "1", "Yes"),
        {**asked("code_reasoning", "1", ""), "failed": True},
    )
    _, figures = BENCHMARKS["mme"].evaluate(answered)

    # count: 3 of 4 and 1 of 2 images: 125. code_reasoning: 1 of 2 and 0 of 1: 50.
    assert figures.table == {"MME sum": 175, "MME perception": 125, "MME cognition": 50}


def test_mmbench_wants_every_order_of_the_options() -> None:
    def asked(group: str, response: str) -> dict:
        return {
            "split": "dev",
            "group": group,
            "response": response,
            "answers": ["A"],
            "options": ["x", "y"],
        }

    answered = samples(
        asked("1", "A"), asked("1", "A."), asked("2", "A"), asked("2", "B"), asked("3", "A")
    )

    assert BENCHMARKS["mmbench"].evaluate(answered)[1].table == {
        "MMBench-EN dev": pytest.approx(200 / 3)
    }


def test_letters_of_videos() -> None:
    options = ["A. a cat", "B. a dog", "C. a fox", "D. none"]
    video = {"options": options, "answers": ["B"], "category": "short"}
    _, figures = BENCHMARKS["videomme"].evaluate(
        samples({**video, "response": "B."}, {**video, "response": "A dog"})
    )
    assert figures.table == {"Video-MME w/o subs": 50}
    assert figures.categories == {"short": {"score": 50, "questions": 2}}
    several = {"options": ["a cat", "a dog"], "answers": ["a dog"], "category": "Action"}
    _, figures = BENCHMARKS["mvbench"].evaluate(
        samples({**several, "response": "(B) a dog"}, {**several, "failed": True})
    )
    assert figures.table == {"MVBench": 50}


@pytest.mark.parametrize(
    ("no_letter", "scores", "figure"),
    [
        # Right, wrong, no letter (its text is right), no letter (no text), empty, failed.
        ("skip", [1, 0, None, None, 0, 0], 25),
        ("text", [1, 0, 1, 0, 0, 0], 100 / 3),
        ("wrong", [1, 0, 0, 0, 0, 0], 100 / 6),
    ],
)
def test_answers_to_video_mme_without_a_letter(no_letter: str, scores: list, figure: float) -> None:
    video = {"options": ["A. Cat.", "B. dog", "C. fox", "D. none"], "answers": ["A"]}
    responses = ["(A)", "B", "it is the cat", "a dog or a fox", ""]
    answered = samples(
        *({**video, "response": one} for one in responses), {**video, "failed": True}
    )
    found, figures = replace(BENCHMARKS["videomme"], no_letter=no_letter).evaluate(answered)

    assert found == scores
    assert figures.table == {"Video-MME w/o subs": pytest.approx(figure)}


def test_a_failed_caption_and_a_failed_text_count() -> None:
    answered = samples(right(answers=["a cat sits here"]), right(answers=["two dogs run fast"]))
    answered = [replace(sample, response=sample.answers[0]) for sample in answered]
    failed = [answered[0], replace(answered[1], response="", failed=True)]

    assert BENCHMARKS["captions"].evaluate(answered)[1].table["CIDEr"] == pytest.approx(1000)
    assert BENCHMARKS["captions"].evaluate(failed)[1].table["CIDEr"] == pytest.approx(500)
    assert BENCHMARKS["captions"].evaluate(failed)[1].table["ROUGE-L"] == pytest.approx(50)
    # 17 of 15 + 17 characters, 4 of 8 words.
    assert BENCHMARKS["ocr"].evaluate(failed)[1].table == {
        "character error rate": pytest.approx(1700 / 32),
        "word error rate": 50,
        "exact": 50,
    }


def test_the_table_has_the_published_columns_in_their_order() -> None:
    lines = beside_published("docvqa", "mine", {"DocVQA val": 81.25}).splitlines()

    assert lines[0] == "| model | DocVQA val | DocVQA test |"
    assert lines[2] == "| **mine**, here | 81.2 |  |"
    assert "| InternVL2-1B | 80.0 | 81.7 |" in lines


def test_published_tables_are_whole() -> None:
    for table in PUBLISHED.values():
        assert all(len(figures) == len(table.columns) for figures in table.models.values())
    refcoco = PUBLISHED["refcoco"].models.values()
    assert all(sum(splits) / 8 == pytest.approx(mean, abs=0.06) for mean, *splits in refcoco)  # type: ignore[arg-type]


def test_tables_of_pages_are_scored_by_teds_in_their_order() -> None:
    table = "<table><tr><td>{}</td></tr></table>"  # 4 nodes
    right = f"Text {table.format('ab')} and {table.format('cd')}"
    samples = [
        Sample("1", "", right, answers=[right]),
        # half a cell, and a table less
        Sample("2", "", f"Text {table.format('ax')}", answers=[right]),
        Sample("3", "", "no table", answers=["no table"]),
    ]
    figures = BENCHMARKS["ocr"].evaluate(samples)[1]
    assert figures.table["TEDS"] == pytest.approx(100 * (1 + 1 + (1 - 0.5 / 4) + 0) / 4)
    assert "TEDS" not in BENCHMARKS["ocr"].evaluate(samples[2:])[1].table
