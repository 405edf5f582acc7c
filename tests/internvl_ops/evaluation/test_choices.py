"""Benchmarks with options, and those of yes and no: each case has the value that the published
script gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.evaluation import BENCHMARKS, Sample
from internvl_ops.evaluation.published import PUBLISHED
from internvl_ops.evaluation.task import evaluate
from internvl_ops.metrics import gqa_match, internvl_letter, pope_answer, pope_scores, yes_no_word

LETTER = "Answer with the option's letter from the given choices directly."
SHORT = "Answer the question using a single word or phrase."


def samples(*fields: dict) -> list[Sample]:
    return [
        Sample(**{"id": str(number), "split": "test", **each}) for number, each in enumerate(fields)
    ]


def table(name: str, *fields: dict) -> dict[str, float]:
    return BENCHMARKS[name].evaluate(samples(*fields))[1].table


def asked(name: str, row: dict[str, Any], split: str = "test", release: Any = "InternVL2") -> str:
    """What the model is asked about a row of the published data, without the image's tag."""
    benchmark = BENCHMARKS[name].for_release(release)
    [conversation] = evaluate(benchmark).converse(benchmark.read(row, split))
    return conversation.questions[0]


@pytest.mark.parametrize(
    ("name", "row", "prompt"),
    [
        ("ai2d", {"question": "Which?\nA. x\nB. y\nAnswer now.", "answers": "B"},
         "Which?\nA. x\nB. y\nAnswer now."),
        ("ai2d", {"question": "Which?", "A": "x", "B": "y", "answers": "B"},
         f"Which?\nA. x\nB. y\n{LETTER}"),
        ("ai2d", {"question": "Which?", "choices": ["x", "y"], "answers": "1"},
         f"Which?\nA. x\nB. y\n{LETTER}"),
        ("seed", {"question": f"How many?\nA. 1\nB. 2\n{LETTER}", "answers": "B"},
         f"How many?\nA. 1\nB. 2\n{LETTER}"),
        ("seed", {"question": "How many?", "A": "1", "B": "2", "answers": "B"},
         f"How many?\nA. 1\nB. 2\n{LETTER}"),
        ("ccbench", {"question": "哪个?", "A": "甲", "B": "乙", "answers": "B"},
         "哪个?\nA. 甲\nB. 乙\n请直接回答选项字母。"),
        ("realworldqa", {"question": "Which?", "A": "x", "B": "y", "answers": "A"},
         f"Which?\nA. x\nB. y\n{LETTER}"),
        ("scienceqa", {"question": "Which?", "hint": "Look.", "choices": ["x", "y"], "answers": 1},
         f"Look.\nWhich?\nA. x\nB. y\n{LETTER}"),
        ("scienceqa", {"question": "Which?", "hint": "", "choices": ["x", "y"], "answers": 0},
         f"Which?\nA. x\nB. y\n{LETTER}"),
        ("mmvp", {"question": "Open?", "options": "(a) Open (b) Closed", "answers": "(a)",
                  "index": "1"},
         f"Open?\nA. Open\nB. Closed\n{LETTER}"),
        ("pope", {"question": f"Is there a cat?\n{SHORT}", "answers": "yes"},
         f"Is there a cat?\n{SHORT} "),
        ("pope", {"question": "Is there a cat?", "answers": "no"}, f"Is there a cat?\n{SHORT} "),
        ("hallusionbench", {"question": "Is it?", "answers": "1", "index": "hb_VD_math_0_1_2"},
         f"Is it? Please answer yes or no. {SHORT}"),
        ("vqav2", {"question": "What?", "answers": ["a"] * 10}, f"What? {SHORT}"),
        ("okvqa", {"question": "What?", "answers": ["a"] * 10}, f"What? {SHORT}"),
        ("gqa", {"question": "Is it overcast?", "answers": "no"}, f"Is it overcast? {SHORT}"),
    ],
)  # fmt: skip
def test_the_prompt_is_that_of_the_published_script(
    name: str, row: dict[str, Any], prompt: str
) -> None:
    assert asked(name, row) == prompt


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"question": "Which <image 1>?", "A": "x", "B": "y", "answers": "B", "pictures": 1},
         f"Which <image 1>?\nA. x\nB. y\n{LETTER}"),
        ({"question": "Which?", "choices": "['x', 'y']", "answers": "B", "pictures": 2},
         f"Which?\nA. x\nB. y\n{LETTER}<Image-1><Image-2>"),
        ({"question": "How many?", "choices": "[]", "answers": "5"},
         "How many?\nAnswer the question directly."),
        ({"question": "多少?", "answers": "5"}, "多少?\n请直接回答问题。"),
    ],
)  # fmt: skip
def test_mmmu_is_asked_as_vlmevalkit_asks_it(row: dict[str, Any], prompt: str) -> None:
    assert asked("mmmu", row) == prompt


def test_popes_prompt_lost_its_space_after_internvl2() -> None:
    assert (
        asked("pope", {"question": "Cat?", "answers": "no"}, release="InternVL2.5")
        == f"Cat?\n{SHORT}"
    )


@pytest.mark.parametrize(
    ("name", "tiles", "tokens", "shortest"),
    [
        *((name, 6, 10, 1) for name in ("vqav2", "okvqa", "gqa", "ai2d")),
        *((name, 6, 100, 1) for name in ("ccbench", "seed", "scienceqa", "mmvp", "pope")),
        *((name, 6, 1024, 0) for name in ("realworldqa", "hallusionbench")),
        ("mmmu", 12, 1024, 0),
    ],
)
def test_tiles_and_lengths(name: str, tiles: int, tokens: int, shortest: int) -> None:
    one = BENCHMARKS[name]
    assert (one.max_tiles, one.max_new_tokens, one.min_new_tokens) == (tiles, tokens, shortest)


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B", "B"), ("B. a dog", "B"), ("Because", "B"), (" A ", "A"), ("x", "x"), ("", ""),
        ("(B)", "(B)"), ("(B) a dog", "B"), ("It is a cat or a dog", "A"),
        ("It is a Dog", "It is a Dog"), ("D", "D"), ("Dunno", "Dunno"),
    ],
)  # fmt: skip
def test_internvls_scripts_take_the_first_character(response: str, letter: str) -> None:
    assert internvl_letter(response, ["a cat", "a dog", "a fox"]) == letter


@given(st.text(max_size=12), st.lists(st.text(min_size=1, max_size=4), min_size=2, max_size=5))
def test_an_answer_is_a_letter_of_an_option_or_itself(response: str, options: list[str]) -> None:
    found = internvl_letter(response, options)
    assert found in "ABCDE"[: len(options)] or found == response.strip()


@pytest.mark.parametrize(
    ("response", "answer", "score"),
    [
        ("No", "no", 1),
        ("no.", "no", 1),
        ("no..", "no", 1),
        ("a no", "no", 0),
        ("no!", "no", 0),
        ("left", "right", 0),
    ],
)
def test_gqa(response: str, answer: str, score: float) -> None:
    assert gqa_match(response, [answer]) == score


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Yes", "yes"), ("No", "no"), ("no", "no"), ("No, there is not.", "no"),
        ("There is not a cat", "no"), ("NO", "yes"), ("no!", "yes"), ("", "yes"),
        ("Yes. No cat", "yes"), ("None", "yes"), ("No,", "no"), ("no\ncat", "yes"),
    ],
)  # fmt: skip
def test_pope_reads_the_first_sentence(response: str, answer: str) -> None:
    assert pope_answer(response) == answer


@pytest.mark.parametrize(
    ("counts", "figures"),
    [
        # The published counts of InternVL-Chat-V1-5 and of InternVL2-1B, and what their
        # documentation makes of them.
        ((1227, 21, 1389, 273), (89.90, 98.32, 81.8, 89.30, 42.89)),
        ((1239, 151, 1349, 261), (86.27, 89.14, 82.6, 85.74, 46.33)),
        ((0, 0, 5, 0), (100, 0, 0, 0, 0)),
    ],
)
def test_pope_figures_from_counts(counts: tuple[int, ...], figures: tuple[float, ...]) -> None:
    right, invented, rejected, missed = counts
    pairs = [(True, True)] * right + [(False, True)] * invented
    pairs += [(False, False)] * rejected + [(True, False)] * missed
    assert tuple(pope_scores(pairs).values()) == pytest.approx(figures, abs=0.006)


def test_pope_is_the_mean_of_its_categories() -> None:
    def one(category: str, label: str, response: str, **more: object) -> dict:
        return {"category": category, "answers": [label], "response": response, **more}

    found = table(
        "pope",
        one("random", "yes", "Yes"),
        one("random", "no", "No"),
        one("popular", "yes", "Yes"),
        one("popular", "no", "Yes"),
        one("adversarial", "yes", "", failed=True),  # counts as a no
        one("adversarial", "no", "No"),
    )
    assert found == {
        "POPE": pytest.approx((100 + 200 / 3 + 0) / 3),
        "POPE adversarial": 0,
        "POPE popular": pytest.approx(200 / 3),
        "POPE random": 100,
    }


@pytest.mark.parametrize(
    ("response", "word"),
    [
        ("Yes", "yes"), ("No.", "no"), ("yes, it is", "yes"), ("No, yes", ""), ("unsure", ""),
        ("", ""), ("yes/no", ""), ("(yes)", "yes"), ("yes.no", ""), ("nope", ""),
        ("It is 1,000: no-one", ""), ("no-one", "no"),
    ],
)  # fmt: skip
def test_yes_or_no_as_vlmevalkit_reads_it(response: str, word: str) -> None:
    assert yes_no_word(response) == word


def test_hallusionbench_counts_answers_figures_and_questions() -> None:
    def one(group: str, response: str, label: str = "yes", category: str = "VD_math") -> dict:
        return {"group": group, "response": response, "answers": [label], "category": category}

    found = BENCHMARKS["hallusionbench"].evaluate(
        samples(
            one("0_1_0", "Yes"),
            one("0_1_1", "No"),
            one("0_2_0", "yes."),
            one("0_2_1", "Yes"),
            one("0_1_0", "No", "no", "VS_map"),
            one("0_1_1", "perhaps", "no", "VS_map"),
        )
    )[1]
    # 4 of 6 answers. Figures: VD_math 1 has a wrong answer, 2 has none, VS_map 1 has one: 1 of 3.
    # Questions: 0 of VD_math is right about both figures, 1 is not; VS_map has one right and one
    # wrong: 2 of 4.
    assert found.table == {
        "HallBench avg": pytest.approx((400 / 6 + 100 / 3 + 50) / 3),
        "HallBench aAcc": pytest.approx(400 / 6),
        "HallBench fAcc": pytest.approx(100 / 3),
        "HallBench qAcc": 50,
    }
    assert found.categories["VS_map"] == {"aAcc": 50, "fAcc": 0, "qAcc": 50}


def test_mmvp_wants_both_images_of_a_pair() -> None:
    options = ["Open", "Closed"]
    one = {"options": options, "answers": ["A"]}
    row = {"question": "?", "options": "(a) Open (b) Closed", "answers": "(a)"}
    rows = [
        BENCHMARKS["mmvp"].read({**row, "index": str(number)}, "Questions")
        for number in range(1, 5)
    ]
    assert [one["group"] for one in rows] == ["0", "0", "1", "1"]
    found = table(
        "mmvp",
        {**one, "group": "0", "response": "A"},
        {**one, "group": "0", "response": "Open"},
        {**one, "group": "1", "response": "A."},
        {**one, "group": "1", "response": "B"},
    )
    assert found == {"MMVP": 50}


def test_an_open_question_of_mmmu_is_right_if_its_answer_is_told() -> None:
    row = BENCHMARKS["mmmu"].read(
        {"question": "How many?", "answers": "17.5", "choices": "[]"}, "validation"
    )
    assert (row["options"], row["answers"]) == (["17.5", "Other Answers"], ["A"])
    told = [{**{k: row[k] for k in ("options", "answers")}, "split": "val", "response": text}
            for text in ("It is 17.5 m.", "18", "A", "Other answers")]  # fmt: skip
    # "A" is the letter of the right answer, by the script's rule.
    assert table("mmmu", *told) == {"MMMU val": 50}


@pytest.mark.parametrize(
    ("name", "response", "score"),
    [
        ("ai2d", "b", 1), ("ai2d", "B.", 0), ("ai2d", " B", 1),
        ("seed", "B. two", 1), ("seed", "(B)", 0), ("seed", "", 0), ("seed", "b", 0),
        ("ccbench", "答案是 B", 1), ("ccbench", "two", 1), ("ccbench", "A or B", 0),
        ("realworldqa", "The answer is B.", 1), ("realworldqa", "one", 0),
        ("scienceqa", "B", 1), ("scienceqa", "It is two", 1), ("scienceqa", "(B)", 0),
    ],
)  # fmt: skip
def test_one_answer(name: str, response: str, score: float) -> None:
    given = {"response": response, "answers": ["B"], "options": ["one", "two"]}
    assert BENCHMARKS[name].evaluate(samples(given))[0] == [score]


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("ai2d", {"question": "?", "choices": ["x", "y"], "answers": "2"},
         "no letter of the 2 options"),
        ("seed", {"question": "?", "A": "x", "B": "y", "answers": "A", "medium": "video"},
         "about a video"),
        ("seed", {"question": "?", "A": "x", "B": "y", "answers": "A", "kind": 10},
         "question_type_id < 10"),
        ("seed", {"question": "?", "answers": "E"}, "a letter from A to D"),
        ("scienceqa", {"question": "?", "choices": ["x"], "answers": 0}, r"1 choice\(s\); 2 to 5"),
        ("scienceqa", {"question": "?", "choices": "x, y", "answers": 0}, "is no list"),
        ("mmvp", {"question": "?", "options": "Open, closed", "answers": "(a)", "index": 1},
         "needed are"),
        ("pope", {"question": "?", "answers": "maybe"}, "yes or no is needed"),
        ("hallusionbench", {"question": "?", "answers": "1", "index": "7"},
         "set_id, figure_id and question_id"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_asked_says_why(name: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BENCHMARKS[name].read(row, "test")


def test_published_columns_are_columns_that_the_figures_have() -> None:
    one = {"response": "A", "answers": ["A"], "options": ["x", "y"]}
    made = {
        "ai2d": one,
        "seed": one,
        "ccbench": one,
        "realworldqa": one,
        "scienceqa": one,
        "mmvp": one,
        "mmmu": {**one, "split": "val"},
        "pope": {"response": "Yes", "answers": ["yes"]},
        "hallusionbench": {"response": "Yes", "answers": ["yes"], "group": "0_0_0"},
        "okvqa": {"response": "a", "answers": ["a"] * 10, "split": "val"},
        "gqa": {"response": "a", "answers": ["a"], "split": "testdev"},
        "vqav2": {"response": "a", "answers": ["a"] * 10, "split": "testdev"},
    }
    for name, sample in made.items():
        assert set(PUBLISHED[name].columns) <= set(table(name, sample)), name
