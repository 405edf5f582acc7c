"""MME: each image has a question whose answer is yes and one whose answer is no."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

PERCEPTION = (
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
_CHINESE = re.compile("[\u4e00-\u9fa5]")


def yes_or_no(response: str) -> str:
    """``yes``, ``no``, or ``other``, by the first four characters, like MME's own script and
    InternVL's before it.

    Chinese words, and ``true`` and ``false``, are accepted too.
    """
    for given, meant in (("\n", ""), ("不是", "No"), ("是", "Yes"), ("否", "No")):
        response = response.replace(given, meant)
    response = response.lower().replace("true", "yes").replace("false", "no")
    beginning = _CHINESE.sub("", response)[:4]
    return next((answer for answer in ("yes", "no") if answer in beginning), "other")


def mme_scores(answered: Iterable[tuple[str, str, bool]]) -> dict[str, dict[str, float]]:
    """Accuracy, accuracy+ and their sum, each out of 100, by category.

    Args:
        answered: For each question: category, image, and whether the answer was right. Accuracy+ is
            the share of images for which all answers were right.
    """
    categories: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for category, image, right in answered:
        categories[category][image].append(right)
    scores = {}
    for category, images in categories.items():
        questions = [right for answers in images.values() for right in answers]
        accuracy = 100 * sum(questions) / len(questions)
        plus = 100 * sum(map(all, images.values())) / len(images)
        scores[category] = {"accuracy": accuracy, "accuracy+": plus, "score": accuracy + plus}
    return scores
