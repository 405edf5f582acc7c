"""Benchmarks whose answers a judge model rates, or reads: MM-Vet, MathVista and MMBench-Video."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from internvl_ops.evaluation.benchmark import Figures, JudgeRule, Sample
from internvl_ops.evaluation.judge_prompts import MATHVISTA, MMBENCH_VIDEO, MMVET
from internvl_ops.evaluation.scoring import each
from internvl_ops.metrics import mmbench_letter
from internvl_ops.metrics.letters import LETTERS

# The dimensions of MMBench-Video, and the abilities that the script sorts them by.
_PERCEPTION = {
    "CP": ("Video Topic", "Video Emotion", "Video Scene", "Video Style"),
    "FP-S": (
        "OCR",
        "Object Recognition",
        "Attribute Recognition",
        "Event Recognition",
        "Human Motion",
        "Counting",
    ),
    "FP-C": ("Spatial Relationship", "Human-object Interaction", "Human Interaction"),
    "HL": ("Hallucination",),
}
_REASONING = {
    "LR": ("Structuralized Image-Text Understanding", "Mathematical Calculation"),
    "AR": ("Physical Property", "Function Reasoning", "Identity Reasoning"),
    "RR": ("Natural Relation", "Physical Relation", "Social Relation"),
    "CSR": ("Common Sense Reasoning",),
    "TR": ("Counterfactual Reasoning", "Causal Reasoning", "Future Prediction"),
}
DIMENSIONS = {
    **_PERCEPTION,
    **_REASONING,
    "Perception": tuple(chain.from_iterable(_PERCEPTION.values())),
    "Reasoning": tuple(chain.from_iterable(_REASONING.values())),
}
ABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")
# The published columns by a part of the judge's name.
_MMVET_COLUMNS = {
    "0613": "MMVet GPT-4-0613",
    "turbo": "MMVet GPT-4-Turbo",
    "1106": "MMVet GPT-4-Turbo",
}


def _ask_mmvet(sample: Sample) -> str | None:
    right = sample.answers[0].replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return MMVET + " | ".join([sample.question, right, sample.response, ""])


def _rating(judgement: str) -> float | None:
    with contextlib.suppress(ValueError):
        rating = float(judgement)
        return rating if 0 <= rating <= 1 else None
    return None


def _mmvet_column(column: str, judge: str, frames: int | None) -> str:
    name = judge.lower()
    named = [
        published for part, published in _MMVET_COLUMNS.items() if "gpt-4" in name and part in name
    ]
    return named[0] if column == "MMVet" and named else column


def _mathvista_value(sample: Sample, text: str) -> object:
    """What an answer or a judgement says, of the type that the question asks for; None if it cannot
    be read."""
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
    """Nothing is asked about an option that can be read, or a number that is right (but for 0, as
    in the script)."""
    value = _mathvista_value(sample, sample.response)
    if value and (sample.options or _is_right(sample, sample.response)):
        return None
    # [sic]
    return f"{MATHVISTA}{sample.question}\nModel respone: {sample.response}Extracted answer:"


def _mathvista_score(sample: Sample) -> float:
    return float(
        _is_right(sample, sample.response if _ask_mathvista(sample) is None else sample.judgement)
    )


def _ask_mmbench_video(sample: Sample) -> str:
    lines = [f"Question: {sample.question}", f"Groundtruth answer: {sample.answers[0]}"]
    return "\n".join([*lines, f"Candidate answer: {sample.response}", "Your response: "])


def _similarity(sample: Sample) -> float:
    """A whole number from 0 to 3; anything else that the judge said counts 0."""
    with contextlib.suppress(ValueError):
        rating = int(sample.judgement)
        return float(rating) if 0 <= rating <= 3 else 0.0
    return 0.0


def _mmbench_video_column(column: str, judge: str, frames: int | None) -> str:
    return f"{column} {frames}f" if column == "MMBench-Video" and frames else column


MMVET_RULE = JudgeRule(_ask_mmvet, lambda text: _rating(text) is not None, 3, _mmvet_column)
MATHVISTA_RULE = JudgeRule(_ask_mathvista, lambda text: True, 128)
MMBENCH_VIDEO_RULE = JudgeRule(
    _ask_mmbench_video, lambda text: True, 1024, _mmbench_video_column, MMBENCH_VIDEO
)
rated = each(lambda sample: _rating(sample.judgement) or 0.0)
extracted = each(_mathvista_score)
similar = each(_similarity)


def abilities(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """The mean of all, and of those that need each ability, times 100."""
    groups = {ability: (ability,) for ability in ABILITIES}
    return _figures("MMVet", 100, groups, samples, scores)


def dimensions(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """The mean of all, and of those of each dimension, from 0 to 3."""
    return _figures("MMBench-Video", 1, DIMENSIONS, samples, scores)


def _figures(
    title: str,
    scale: float,
    groups: Mapping[str, Sequence[str]],
    samples: Sequence[Sample],
    scores: Sequence[float],
) -> Figures:
    figures = Figures({title: scale * sum(scores) / len(scores)} if scores else {})
    for name, members in groups.items():
        pairs = zip(samples, scores, strict=True)
        of_it = [
            score
            for sample, score in pairs
            if not set(members).isdisjoint(sample.category.split(","))
        ]
        if of_it:
            figures.categories[name] = {
                "score": scale * sum(of_it) / len(of_it),
                "questions": len(of_it),
            }
    return figures
