"""Scores of thousands of generated answers are those of the published definitions, each written
down here a second time; and what they are together has not changed."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from internvl_ops.media.sampling import step_indices
from internvl_ops.metrics import (
    anls,
    exact_match,
    gqa_match,
    internvl_letter,
    mmbench_letter,
    mme_scores,
    mvbench_hit,
    ocrbench_hit,
    pope_answer,
    relaxed_accuracy,
    video_mme_letter,
    vqa_accuracy,
    yes_or_no,
)
from internvl_ops.metrics.grounding import Located, hit
from internvl_ops.metrics.questions import HANDWRITTEN_MATHS

CASES = 4000
WORDS = ("red", "Red", "blue", "the", "a", "A", "B", "C.", "(B)", "yes", "No", "no", "not", "two",
         "2", "dont", "don't", "half-open", "Straße", "STRASSE", "ﬁsh", "1,000", "3.5", "14%", "is",
         "Answer:", "The best answer is", "(c)", "b c", "Z", "", "\n", "x²", "19", "20", "0",
         "-5", "nan", "D", "c")  # fmt: skip
CHOICES = ("red", "blue", "b c", "two", "2", "half-open", "x²", "")


def text(at: random.Random, most: int = 4) -> str:
    return at.choice(("", " ")).join([at.choice(WORDS) for _ in range(at.randint(0, most))]) + (
        at.choice(("", "", ".", " ", "!"))
    )


def spaced(at: random.Random, most: int = 4) -> str:
    return " ".join(at.choice(WORDS) for _ in range(at.randint(0, most)))


def number(at: random.Random) -> str:
    value = at.choice((at.randint(-30, 320), round(at.uniform(0, 2), 2)))
    return f"{value}{at.choice(('', '', '%'))}"


def options(at: random.Random) -> list[str]:
    return [at.choice(CHOICES) for _ in range(at.randint(2, 4))]


# What the definitions say, without any code of the project.


def by_anls(response: str, answers: list[str]) -> float:
    def apart(one: str, other: str) -> int:
        row = list(range(len(other) + 1))
        for i, sign in enumerate(one, 1):
            above, row = row, [i]
            for j, against in enumerate(other, 1):
                row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (sign != against)))
        return row[-1]

    shares = []
    for answer in answers:
        longest = max(len(answer.upper()), len(response.upper()))
        plain = [" ".join(each.strip().lower().split()) for each in (answer, response)]
        shares.append(0.0 if longest == 0 else apart(*plain) / longest)
    return 1 - min(shares) if 1 - min(shares) >= 0.5 else 0.0


def by_relaxed(response: str, answers: list[str]) -> float:
    """The 5 % are of the model's answer, since the published script swaps the two."""

    def value(given: str) -> float | None:
        try:
            return float(given.rstrip("%")) / 100.0 if given[-1:] == "%" else float(given)
        except ValueError:
            return None

    def right(answer: str) -> bool:
        prediction, target = value(answer), value(response.strip())
        if prediction is not None and target:
            return abs(prediction - target) / abs(target) <= 0.05
        return answer.lower() == response.strip().lower()

    return float(any(map(right, answers)))


def by_people(response: str, answers: list[str]) -> float:
    """For texts of words that normalise to themselves: the mean, over the ten ways to leave a
    person out, of min(1, agreeing / 3)."""
    shares = [
        min(1, sum(other == response for j, other in enumerate(answers) if j != i) / 3)
        for i in range(len(answers))
        if response in answers
    ]
    return sum(shares) / len(answers)


def by_can_infer(response: str, choices: list[str]) -> str:
    """A letter that stands alone, if there is one; none and no Z: the one option whose text is
    told."""
    bare = response.strip()
    for sign in ".()[],:;!*#{}":
        bare = bare.replace(sign, " ")
    letters = "ABCD"[: len(choices)]
    alone = [letter for letter in letters if bare.split().count(letter) > 0]
    if len(alone) == 1:
        return alone[0]
    if not alone and "Z" in bare.split():
        return response.strip()
    texts = zip(letters, choices, strict=True)
    told = [letter for letter, each in texts if each and each.lower() in response.strip().lower()]
    return told[0] if len(told) == 1 else response.strip()


def by_check_ans(response: str, choices: list[str], answer: str) -> float:
    """The first word of each side, without full stops, within the other; empty answers are wrong
    here."""
    last = max(place for place, each in enumerate(choices) if each == answer)
    right = f"({'abcd'[last]})"
    said = response.replace("Answer: ", "").lower().split(" ")[0]
    bare = said.replace(".", "")
    return float(bare != "" and (bare in right or right in said))


def by_first_of_four(response: str) -> str:
    for lead in ("The best answer is", "Answer:"):
        response = response.strip().replace(lead, "")
    return next((sign for sign in response if sign in "ABCD"), "")


def by_first_character(response: str, choices: list[str]) -> str:
    said = response.strip()
    if len(said) == 1 or said[:1] in tuple("ABCD"[: len(choices)]):
        return said[0]
    for letter, each in zip("ABCD", choices, strict=False):
        if said and each in said:
            return letter
    return said


def by_four_characters(response: str) -> str:
    beginning = response.replace("\n", "").lower()[:4]
    if "yes" in beginning:
        return "yes"
    return "no" if "no" in beginning else "other"


def by_first_sentence(response: str) -> str:
    before, _, _ = response.partition(".")
    return "no" if {"No", "not", "no"} & set(before.replace(",", "").split(" ")) else "yes"


def by_inclusion(response: str, answers: list[str], maths: bool) -> float:
    def plain(given: str) -> str:
        given = given.strip().replace("\n", " ")
        return given.replace(" ", "") if maths else given.lower()

    return float(any(plain(answer) in plain(response) for answer in answers))


def by_overlap(response: str, box: list[int], width: int, height: int) -> bool:
    found = re.findall(r"\[*\[(.*?),(.*?),(.*?),(.*?)\]\]*", response)
    x1, y1, x2, y2 = map(float, found[0]) if found else (0.0,) * 4
    over = 1000 if x1 + y1 + x2 + y2 >= 4 else 1
    x1, x2, y1, y2 = x1 / over * width, x2 / over * width, y1 / over * height, y2 / over * height
    wide, high = min(x2, box[2]) - max(x1, box[0]), min(y2, box[3]) - max(y1, box[1])
    both = max(wide, 0) * max(high, 0)
    areas = (x2 - x1) * (y2 - y1) + (box[2] - box[0]) * (box[3] - box[1])
    return both / (areas - both) >= 0.5


# Name -> makes the arguments of a case, the project's rule, the definition, and the digest of all
# values.
Rule = tuple[
    Callable[[random.Random], tuple[Any, ...]], Callable[..., Any], Callable[..., Any], str
]


def located(at: random.Random) -> tuple[Any, ...]:
    width, height = at.randint(20, 2000), at.randint(20, 2000)
    x1, y1 = at.randrange(width - 10), at.randrange(height - 10)
    box = [x1, y1, at.randint(x1 + 5, width), at.randint(y1 + 5, height)]
    sides = (width, height) * 2
    said = [
        max(0, 1000 * side // of + at.randint(-60, 60)) for side, of in zip(box, sides, strict=True)
    ]
    form = at.choice(("<box>[[{}, {}, {}, {}]]</box>", "[{},{},{},{}]", "[[{}, {}, {}]]", "{} {}"))
    return form.format(*said), box, width, height


def several(at: random.Random) -> list[str]:
    return [text(at, 2) for _ in range(at.randint(1, 3))]


def chosen(at: random.Random) -> tuple[Any, ...]:
    choices = options(at)
    letter = at.choice(("A", "(B)", "C.", "(D) red", "b.", "Answer: (A)"))
    return at.choice((letter, spaced(at))), choices, at.choice(choices)


def of_people(at: random.Random) -> tuple[Any, ...]:
    said = ("red", "blue", "half open", "2", "green")
    return at.choice(said), [at.choice(said) for _ in range(10)]


RULES: dict[str, Rule] = {
    "ANLS": (lambda at: (text(at), several(at)), anls, by_anls, "81f272c62d7eaa09"),
    "relaxed accuracy": (
        lambda at: (at.choice((number, text))(at), [at.choice((number, text))(at)]),
        relaxed_accuracy,
        by_relaxed,
        "d6140e32564d3d66",
    ),
    "VQA accuracy": (of_people, vqa_accuracy, by_people, "63b4d216dcba9495"),
    "exact match": (
        lambda at: (text(at, 1), several(at)),
        exact_match,
        lambda said, right: float(
            any(said.strip().lower() == one.strip().lower() for one in right)
        ),
        "efa50985bfc50874",
    ),
    "GQA": (
        lambda at: (text(at, 1), [at.choice(("red", "no", "yes", "2"))]),
        gqa_match,
        lambda said, right: float(re.sub(r"\.+\Z", "", said).lower() == right[0]),
        "0908645693b86cc6",
    ),
    "OCRBench": (
        lambda at: (text(at), [text(at, 1) + "x"], at.random() < 0.3),
        lambda said, right, maths: ocrbench_hit(said, right, HANDWRITTEN_MATHS if maths else ""),
        by_inclusion,
        "d2361824db11fda5",
    ),
    "MMBench": (
        lambda at: (spaced(at), options(at)),
        mmbench_letter,
        by_can_infer,
        "0170f992a6e5b3c7",
    ),
    "MVBench": (chosen, mvbench_hit, by_check_ans, "74c5938aeef6f6af"),
    "Video-MME": (lambda at: (spaced(at),), video_mme_letter, by_first_of_four, "a026b26ac0ed292f"),
    "ScienceQA and MMVP": (
        lambda at: (spaced(at), options(at)),
        internvl_letter,
        by_first_character,
        "e2a09640f841d73b",
    ),
    "MME": (lambda at: (text(at),), yes_or_no, by_four_characters, "1adf4bfe228c3fa7"),
    "POPE": (lambda at: (text(at),), pope_answer, by_first_sentence, "e20d18385c937ce4"),
    "RefCOCO": (
        located,
        lambda said, box, width, height: hit(Located(said, box, width, height)),
        by_overlap,
        "09f657e7f2189b56",
    ),
    "frames of Video-MME": (
        lambda at: (at.randint(1, 5000), at.randint(1, 64)),
        step_indices,
        lambda video, count: [int(k * (video / (count + 1))) for k in range(1, count + 1)],
        "1e965dc12b0b5f46",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_every_generated_answer_scores_as_the_definition_says(name: str) -> None:
    make, rule, definition, digest = RULES[name]
    at = random.Random(name)
    cases = [make(at) for _ in range(CASES)]
    found = [rule(*case) for case in cases]
    expected = [definition(*case) for case in cases]
    wrong = [
        (case, one, other)
        for case, one, other in zip(cases, found, expected, strict=True)
        if one != pytest.approx(other, abs=1e-9)
    ]
    assert wrong == []
    assert len({str(one) for one in expected}) > 1  # the cases tell right from wrong
    rounded = [round(one, 6) if isinstance(one, float) else one for one in found]
    assert hashlib.sha256(repr(rounded).encode()).hexdigest()[:16] == digest


def test_mme_adds_accuracy_and_the_share_of_images_without_a_mistake() -> None:
    """Every way to answer three images of two questions each."""
    for right in itertools.product((False, True), repeat=6):
        answered = [("count", str(place // 2), one) for place, one in enumerate(right)]
        whole = sum(right[place] and right[place + 1] for place in (0, 2, 4))
        assert mme_scores(answered)["count"]["score"] == pytest.approx(
            100 * sum(right) / 6 + 100 * whole / 3
        )
