"""Answers of yes or no, and what is counted of them: POPE and HallusionBench."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NO = {"No", "not", "no"}
_SIGNS = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
# maximum full stops to remove: the script passes a flag in place of the count
_LIMIT = int(re.UNICODE)


def pope_answer(response: str) -> str:
    """``no`` if the first sentence has one of the words No, no and not, else ``yes``: POPE's own
    script.

    Only spaces separate words, so ``no!`` is none of them; an empty answer is a yes.
    """
    words = response.split(".")[0].replace(",", "").split(" ")
    return "no" if _NO & set(words) else "yes"


def yes_no_word(response: str) -> str:
    """``yes`` or ``no`` if only one of the two occurs as a word, else empty: VLMEvalKit's rule
    without a judge."""
    words = set(_plain(response.lower()).split())
    said = words & {"yes", "no"}
    return said.pop() if len(said) == 1 else ""


def _plain(text: str) -> str:
    """Without signs: a sign at the edge of a word goes, one between words becomes a space. If a
    number with a comma between its digits occurs, all signs go."""
    number = _THOUSANDS.search(text) is not None
    plain = text
    for sign in _SIGNS:
        edge = f"{sign} " in text or f" {sign}" in text
        plain = plain.replace(sign, "" if edge or number else " ")
    return _PERIOD.sub("", plain, count=_LIMIT)


def pope_scores(answered: Iterable[tuple[bool, bool]]) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and the share of answers that are yes, each out of 100; 0
    where the script would divide by zero.

    Args:
        answered: Of each question whether the right answer is yes, and whether the model's is.
    """
    pairs = list(answered)
    count = {
        pair: pairs.count(pair)
        for pair in ((True, True), (True, False), (False, True), (False, False))
    }
    right, missed, invented = count[True, True], count[True, False], count[False, True]
    precision = _share(right, right + invented)
    recall = _share(right, right + missed)
    return {
        "accuracy": 100 * _share(right + count[False, False], len(pairs)),
        "precision": 100 * precision,
        "recall": 100 * recall,
        "F1": 100 * _share(2 * precision * recall, precision + recall),
        "yes": 100 * _share(right + invented, len(pairs)),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
