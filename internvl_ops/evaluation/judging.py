"""Benchmarks whose answers a judge model rates, or reads: MM-Vet and MathVista."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from internvl_ops.evaluation.benchmark import Figures, Sample
from internvl_ops.evaluation.judge_prompts import MATHVISTA, MMVET
from internvl_ops.evaluation.scoring import each, overall
from internvl_ops.metrics import mmbench_letter
from internvl_ops.metrics.letters import LETTERS

ABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")
# The published columns by a part of the judge's name.
_MMVET_COLUMNS = {"0613": "MMVet GPT-4-0613", "turbo": "MMVet GPT-4-Turbo", "1106": "MMVet GPT-4-Turbo"}


@dataclass(frozen=True)
class JudgeRule:
    """What a judge model is asked about an answer.

    Args:
        ask: The prompt; None if the answer needs no judge.
        accepts: Whether a judgement can be used; if not, the judge is asked again.
        max_tokens: Maximum length of a judgement.
        column: The published column to compare with, by the name of the judge.
    """

    ask: Callable[[Sample], str | None]
    accepts: Callable[[str], bool]
    max_tokens: int
    column: Callable[[str, str], str] = lambda column, judge: column


def _ask_mmvet(sample: Sample) -> str | None:
    right = sample.answers[0].replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return MMVET + " | ".join([sample.question, right, sample.response, ""])


def _rating(judgement: str) -> float | None:
    with contextlib.suppress(ValueError):
        rating = float(judgement)
        return rating if 0 <= rating <= 1 else None
    return None


def _mmvet_column(column: str, judge: str) -> str:
    name = judge.lower()
    named = [published for part, published in _MMVET_COLUMNS.items() if "gpt-4" in name and part in name]
    return named[0] if column == "MMVet" and named else column


def _mathvista_value(sample: Sample, text: str) -> object:
    """What an answer or a judgement says, of the type that the question asks for; None if it cannot be read."""
    if sample.options:
        found = mmbench_letter(text, sample.options)
        return found if found in LETTERS[: len(sample.options)] else None
    kinds: dict[str, Callable[[str], object]] = {"integer": int, "float": float}
    with contextlib.suppress(ValueError, KeyError):
        return kinds[sample.group](text)
    return None


def _is_right(sample: Sample, text: str) -> bool:
    value = _mathvista_value(sample, text)
    return value is not None and value == _mathvista_value(sample, sample.answers[0])


def _ask_mathvista(sample: Sample) -> str | None:
    """Nothing is asked about an option that can be read, or a number that is right (but for 0, as in the script)."""
    value = _mathvista_value(sample, sample.response)
    if value and (sample.options or _is_right(sample, sample.response)):
        return None
    return f"{MATHVISTA}{sample.question}\nModel respone: {sample.response}Extracted answer:"  # [sic]


def _mathvista_score(sample: Sample) -> float:
    return float(_is_right(sample, sample.response if _ask_mathvista(sample) is None else sample.judgement))


MMVET_RULE = JudgeRule(_ask_mmvet, lambda text: _rating(text) is not None, 3, _mmvet_column)
MATHVISTA_RULE = JudgeRule(_ask_mathvista, lambda text: True, 128)
rated = each(lambda sample: _rating(sample.judgement) or 0.0)
extracted = each(_mathvista_score)


def abilities(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """The mean of all, and of those that need each ability, times 100."""
    figures = overall("MMVet")(samples, scores)
    figures.categories = {}
    for ability in ABILITIES:
        of_it = [score for sample, score in zip(samples, scores, strict=True) if ability in sample.category]
        if of_it:
            figures.categories[ability] = {"score": 100 * sum(of_it) / len(of_it), "questions": len(of_it)}
    return figures
