"""Computes the published figures from answers: a score per sample, then a figure per split or
category.

A failed sample scores nothing and stays in every denominator.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from internvl_ops.evaluation.benchmark import Figures, Sample, Summary
from internvl_ops.metrics import (
    Located,
    bleu,
    character_errors,
    cider,
    error_rate,
    hit,
    mmbench_letter,
    mme_scores,
    mvbench_hit,
    rouge_l,
    tables_in,
    teds,
    tokens,
    video_mme_letter,
    video_mme_option,
    word_errors,
    yes_or_no,
)
from internvl_ops.metrics.mme import COGNITION, PERCEPTION


def each(score: Callable[[Sample], float]) -> Callable[[Sequence[Sample]], list[float]]:
    """Scores each sample separately."""
    return lambda samples: [0.0 if sample.failed else float(score(sample)) for sample in samples]


def letters_found(samples: Sequence[Sample]) -> list[float | None]:
    """Scores like `letter_of_four`, but without answers that have text but no letter."""
    unread = [
        not sample.failed and sample.response and not video_mme_letter(sample.response)
        for sample in samples
    ]
    return [
        None if skip else score for skip, score in zip(unread, letter_of_four(samples), strict=True)
    ]


def by_answers(
    score: Callable[[str, Sequence[str]], float],
) -> Callable[[Sequence[Sample]], list[float]]:
    """Scores each response against its answers."""
    return each(lambda sample: score(sample.response, sample.answers))


found = each(lambda sample: hit(Located(sample.response, sample.box, sample.width, sample.height)))
letter_of_options = each(
    lambda sample: mmbench_letter(sample.response, sample.options) == sample.answers[0]
)
letter_of_four = each(lambda sample: video_mme_letter(sample.response) == sample.answers[0])
letter_or_text = each(
    lambda sample: video_mme_option(sample.response, sample.options) == sample.answers[0]
)
first_word = each(lambda sample: mvbench_hit(sample.response, sample.options, sample.answers[0]))
yes_no = each(lambda sample: yes_or_no(sample.response) == sample.answers[0].lower())


def means(title: str) -> Summary:
    """The mean of each split, and of each category, times 100."""

    def summarise(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
        splits = _means(
            (_column(title, sample.split), score)
            for sample, score in zip(samples, scores, strict=True)
        )
        return Figures(splits, _by_category(samples, scores))

    return summarise


def overall(title: str) -> Summary:
    """The mean of all, and of each category, times 100."""
    return lambda samples, scores: Figures(
        _means((title, score) for score in scores), _by_category(samples, scores)
    )


def mean_of_means(title: str, parts: Sequence[str], mean: str) -> Summary:
    """The mean of each split in ``parts``, and, if all are present, the mean of those means as
    ``mean``."""

    def summarise(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
        figures = means(title)(samples, scores)
        columns = [_column(title, part) for part in parts]
        if all(column in figures.table for column in columns):
            average = sum(figures.table[column] for column in columns) / len(columns)
            figures.table = {mean: average} | figures.table
        return figures

    return summarise


def ocrbench(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """The number of right answers, out of 1,000 in the published set."""
    return Figures({"OCRBench": sum(scores)}, _by_category(samples, scores))


def mme(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """Accuracy and accuracy+ of each category, summed over perception, over cognition, and over
    all."""
    answered = (
        (sample.category, sample.group, score == 1)
        for sample, score in zip(samples, scores, strict=True)
    )
    categories = mme_scores(answered)

    def total(names: Iterable[str]) -> float:
        return sum(categories[name]["score"] for name in names if name in categories)

    table = {
        "MME sum": total(categories),
        "MME perception": total(PERCEPTION),
        "MME cognition": total(COGNITION),
    }
    return Figures(table, categories)


def grouped(summary: Summary) -> Summary:
    """A group of samples is right if all of its samples are: one that failed makes it wrong."""

    def summarise(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
        firsts: dict[str, Sample] = {}
        right: dict[str, float] = {}
        for sample, score in zip(samples, scores, strict=True):
            question = f"{sample.split}/{sample.group or sample.id}"
            firsts.setdefault(question, sample)
            right[question] = min(score, right.get(question, 1.0))
        return summary(list(firsts.values()), list(right.values()))

    return summarise


def circular(title: str) -> Summary:
    """A question is right if its answer is right in every order of its options in the data. An
    order without an answer counts as wrong."""
    return grouped(means(title))


def caption_scores(samples: Sequence[Sample]) -> list[float]:
    """CIDEr of each caption; a failed one is an empty caption."""
    return cider(
        [tokens(sample.response) for sample in samples],
        [list(map(tokens, sample.answers)) for sample in samples],
    )


def captions(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """CIDEr, BLEU-4 and ROUGE-L times 100, as published."""
    answered = [sample for sample in samples if sample.answers]
    responses = [tokens(sample.response) for sample in answered]
    references = [list(map(tokens, sample.answers)) for sample in answered]
    rouge = [rouge_l(response, its) for response, its in zip(responses, references, strict=True)]
    count = max(1, len(samples))
    orders = {f"BLEU-{n}": 100 * score for n, score in enumerate(bleu(responses, references), 1)}
    return Figures(
        {"CIDEr": 100 * sum(scores) / count, **orders, "ROUGE-L": 100 * sum(rouge) / count}
    )


def character_error_rates(samples: Sequence[Sample]) -> list[float]:
    """Edits per character of each text; a failed one is an empty text."""
    return [error_rate([_nearest(sample)]) for sample in samples]


def error_rates(samples: Sequence[Sample], scores: Sequence[float]) -> Figures:
    """Edits per character and per word of all texts together, the share of texts without an edit,
    and the mean TEDS of the tables if there are any, times 100."""
    characters = [_nearest(sample) for sample in samples]
    words = [word_errors(sample.response, _right(sample)) for sample in samples]
    exact = sum(
        wrong == 0 and not sample.failed
        for (wrong, _), sample in zip(characters, samples, strict=True)
    )
    table = {"character error rate": error_rate(characters), "word error rate": error_rate(words)}
    table["exact"] = exact / max(1, len(samples))
    tables = [score for sample in samples for score in _table_scores(sample)]
    if tables:
        table["TEDS"] = sum(tables) / len(tables)
    return Figures({name: 100 * value for name, value in table.items()})


def _table_scores(sample: Sample) -> list[float]:
    """TEDS of each table; the first of the answer belongs to the first of the text. One without the
    other scores 0."""
    right = tables_in(_right(sample))
    pairs = itertools.zip_longest(right, tables_in(sample.response)) if right else ()
    return [0.0 if one is None or other is None else teds(one, other) for one, other in pairs]


def _nearest(sample: Sample) -> tuple[int, int]:
    return character_errors(sample.response, _right(sample))


def _right(sample: Sample) -> str:
    return sample.answers[0] if sample.answers else ""


def _by_category(samples: Sequence[Sample], scores: Sequence[float]) -> dict[str, dict[str, float]]:
    pairs = [
        (sample.category, score)
        for sample, score in zip(samples, scores, strict=True)
        if sample.category
    ]
    counts: dict[str, int] = defaultdict(int)
    for category, _ in pairs:
        counts[category] += 1
    return {
        name: {"score": value, "questions": counts[name]} for name, value in _means(pairs).items()
    }


def _means(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    scores: dict[str, list[float]] = defaultdict(list)
    for name, score in pairs:
        scores[name].append(score)
    return {name: 100 * sum(values) / len(values) for name, values in scores.items()}


def _column(title: str, split: str) -> str:
    """``RefCOCO val`` for the split ``refcoco_val``, ``DocVQA val`` for ``val``."""
    dataset, _, part = split.rpartition("_")
    written = {"refcoco": "RefCOCO", "refcoco+": "RefCOCO+", "refcocog": "RefCOCOg"}.get(dataset)
    return f"{written} {part}" if written else f"{title} {split}".strip()
