"""Scores of short answers to questions, each from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from internvl_ops.metrics.edits import edits
from internvl_ops.metrics.vqa_normalisation import normalise

LEAST_ANLS = 0.5
RELATIVE_CHANGE = 0.05
HANDWRITTEN_MATHS = "Handwritten Mathematical Expression Recognition"


def anls(response: str, answers: Sequence[str]) -> float:
    """Normalised Levenshtein similarity to the nearest answer; below 0.5 it is 0 (DocVQA, InfoVQA).

    Case and repeated spaces are ignored in the comparison, but the divisor is the length of the
    longer upper-case text with its spaces (``Straße`` then has seven characters): the evaluation of
    the Robust Reading Competition, as in VLMEvalKit. Two empty texts are equal.
    """
    similarity = 1 - min(_distance(response, answer) for answer in answers)
    return similarity if similarity >= LEAST_ANLS else 0.0


def _distance(response: str, answer: str) -> float:
    longest = max(len(response.upper()), len(answer.upper()))
    return edits(_plain(response), _plain(answer)) / longest if longest else 0.0


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def relaxed_accuracy(response: str, answers: Sequence[str]) -> float:
    """1 if a number is within 5 % of an answer, or a text equals one, ignoring case (ChartQA).

    ``12%`` is 0.12. The 5 % are of the response, not of the answer: InternVL's script passes the
    two in this order, and the published figures were made with it. If the answer is 20, 19 is wrong
    and 21 is right. ChartQA's own metric, and VLMEvalKit's, take 5 % of the answer. A response of
    zero has no 5 %, so it is compared as text.
    """
    return float(any(_relaxed(response.strip(), answer) for answer in answers))


def _relaxed(response: str, answer: str) -> bool:
    given, right = _number(response), _number(answer)
    if right is None or not given:
        return response.lower() == answer.lower()
    return abs(given - right) / abs(given) <= RELATIVE_CHANGE


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def vqa_accuracy(response: str, answers: Sequence[str]) -> float:
    """Agreement with the answers of people, where three equal answers are enough (TextVQA, VQAv2,
    VizWiz).

    It is min(1, n / 3) for n equal answers among nine of the ten, averaged over the ten ways to
    leave one out: 0, 0.3, 0.6, 0.9 or 1 for none, one, two, three, or more. Texts are normalised as
    by EvalAI, see `normalise`.

    Args:
        response: The model's answer.
        answers: Ten answers in the published sets.
    """
    matches = sum(normalise(answer) == normalise(response) for answer in answers)
    others = len(answers) - matches
    shares = matches * min(Fraction(1), Fraction(matches - 1, 3)) + others * min(
        Fraction(1), Fraction(matches, 3)
    )
    return float(shares / len(answers)) if matches else 0.0


def exact_match(response: str, answers: Sequence[str]) -> float:
    """1 if the response equals an answer, ignoring case and surrounding spaces, as InternVL scores
    GQA and AI2D."""
    return float(response.strip().lower() in {answer.strip().lower() for answer in answers})


def gqa_match(response: str, answers: Sequence[str]) -> float:
    """1 if the response without full stops at its end, in lower case, is an answer (GQA's own
    script, after InternVL's conversion of the responses)."""
    return float(response.rstrip(".").lower() in answers)


def ocrbench_hit(response: str, answers: Sequence[str], category: str = "") -> float:
    """1 if an answer occurs anywhere in the response (OCRBench, as VLMEvalKit counts it).

    Case is ignored, and line breaks count as spaces. For handwritten formulas, case matters and all
    spaces are removed.
    """
    maths = category == HANDWRITTEN_MATHS

    def plain(text: str) -> str:
        text = text.strip().replace("\n", " ")
        return text.replace(" ", "") if maths else text.lower()

    return float(any(plain(answer) in plain(response) for answer in answers))
