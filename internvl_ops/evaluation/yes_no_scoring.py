"""The figures of the benchmarks whose answers are yes or no: POPE and HallusionBench."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from internvl_ops.evaluation.benchmark import Figures, Sample
from internvl_ops.evaluation.scoring import each
from internvl_ops.metrics import pope_answer, pope_scores, yes_no_word

pope = each(lambda sample: pope_answer(sample.response) == sample.answers[0])
said = each(lambda sample: yes_no_word(sample.response) == sample.answers[0])


def f1(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """F1 of each category, and their mean."""
    answered: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for sample, score in zip(samples, scores, strict=True):
        present = sample.answers[:1] == ["yes"]
        answered[sample.category].append((present, present == (score == 1)))
    categories = {name: pope_scores(pairs) for name, pairs in answered.items()}
    table = {f"POPE {name}".strip(): one["F1"] for name, one in sorted(categories.items())}
    if categories:
        table = {"POPE": sum(one["F1"] for one in categories.values()) / len(categories)} | table
    return Figures(table, categories)


def hallusion(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """Accuracy of all questions (aAcc), of figures with nothing but right answers (fAcc), and of
    questions that are right about each of their figures (qAcc); and the mean of the three.

    A sample's group is ``set_figure_question``, of its category.
    """
    pairs = list(zip(samples, scores, strict=True))
    overall = _accuracies(pairs)
    by_category: dict[str, list[tuple[Sample, float]]] = defaultdict(list)
    for sample, score in pairs:
        by_category[sample.category].append((sample, score))
    table = {"HallBench avg": sum(overall.values()) / 3} | {
        f"HallBench {name}": one for name, one in overall.items()
    }
    return Figures(table, {name: _accuracies(part) for name, part in sorted(by_category.items())})


def _accuracies(pairs: Sequence[tuple[Sample, float]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    questions: dict[str, float] = {}
    for sample, score in pairs:
        of_set, figure, question = [*sample.group.split("_"), "", "", ""][:3]
        for groups, name in ((figures, figure), (questions, question)):
            key = f"{sample.category}/{of_set}/{name}"
            groups[key] = min(score, groups.get(key, 1.0))
    return {
        "aAcc": _mean([score for _, score in pairs]),
        "fAcc": _mean(list(figures.values())),
        "qAcc": _mean(list(questions.values())),
    }


def _mean(scores: Sequence[float]) -> float:
    return 100 * sum(scores) / len(scores) if scores else 0.0
