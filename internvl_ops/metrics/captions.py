"""BLEU, ROUGE-L and CIDEr of captions, as pycocoevalcap computes them. METEOR needs Java and is
left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from internvl_ops.metrics.caption_tokens import Tokens

N = 4
BETA = 1.2  # ROUGE-L: weight of recall
SIGMA = 6.0  # CIDEr: width of the penalty for a different length
_SMALL, _TINY = 1e-9, 1e-15  # pycocoevalcap adds these to the counts of BLEU

NGrams = Counter[tuple[str, ...]]


def bleu(responses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a whole set, from 0 to 1; the reference nearest in length sets the
    brevity penalty.

    Args:
        responses: One caption per image.
        references: At least one per image.
    """
    total, right, length, nearest = [0] * N, [0] * N, 0, 0
    for response, its in zip(responses, references, strict=True):
        length += len(response)
        nearest += min((abs(len(one) - len(response)), len(one)) for one in its)[1]
        for n in range(N):
            given, allowed = _ngrams(response, n + 1), Counter[tuple[str, ...]]()
            for one in its:
                allowed |= _ngrams(one, n + 1)
            total[n] += max(0, len(response) - n)
            right[n] += (given & allowed).total()
    ratio = (length + _TINY) / (nearest + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for n in range(N):
        product *= (right[n] + _TINY) / (total[n] + _SMALL)
        scores.append(product ** (1 / (n + 1)) * brevity)
    return scores


def rouge_l(response: Tokens, references: Sequence[Tokens]) -> float:
    """F-measure of the longest common subsequence, with the best precision and the best recall over
    the references."""
    common = [_longest_common(response, one) for one in references]
    precision = max(length / len(response) if response else 0.0 for length in common)
    recall = max(
        length / len(one) if one else 0.0 for length, one in zip(common, references, strict=True)
    )
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def cider(responses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """CIDEr-D of each caption, from 0 to 10; the score of a set is their mean.

    Rare n-grams count more. Their rarity is computed from the references themselves: in a set of
    one image, every score is 0.
    """
    counted = [[_all_ngrams(one) for one in its] for its in references]
    images_with = Counter(ngram for its in counted for ngram in set().union(*its))
    all_images = math.log(len(references)) if references else 0.0

    def weighted(ngrams: NGrams) -> dict[tuple[str, ...], float]:
        return {
            ngram: count * (all_images - math.log(max(1, images_with[ngram])))
            for ngram, count in ngrams.items()
        }

    scores = []
    for response, its in zip(responses, counted, strict=True):
        ngrams = _all_ngrams(response)
        given = weighted(ngrams)
        likeness = [_likeness(given, weighted(one), _pairs(ngrams) - _pairs(one)) for one in its]
        scores.append(10 * sum(likeness) / len(likeness))
    return scores


def _likeness(
    given: dict[tuple[str, ...], float], right: dict[tuple[str, ...], float], longer: int
) -> float:
    """Mean over n of the clipped cosine, reduced for a different length."""
    cosines = []
    for n in range(1, N + 1):
        product = sum(
            min(weight, right.get(ngram, 0.0)) * right.get(ngram, 0.0)
            for ngram, weight in given.items()
            if len(ngram) == n
        )
        norms = _norm(given, n) * _norm(right, n)
        cosines.append(product / norms if norms else product)
    return sum(cosines) / N * math.exp(-(longer**2) / (2 * SIGMA**2))


def _norm(weights: dict[tuple[str, ...], float], n: int) -> float:
    return math.sqrt(sum(weight**2 for ngram, weight in weights.items() if len(ngram) == n))


def _pairs(ngrams: NGrams) -> int:
    """The length that pycocoevalcap uses: the number of bigrams."""
    return sum(count for ngram, count in ngrams.items() if len(ngram) == 2)


def _ngrams(words: Tokens, n: int) -> NGrams:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def _all_ngrams(words: Tokens) -> NGrams:
    return sum((_ngrams(words, n) for n in range(1, N + 1)), Counter())


def _longest_common(first: Tokens, second: Tokens) -> int:
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for at, other in enumerate(second, 1):
            diagonal, row[at] = (
                row[at],
                diagonal + 1 if word == other else max(row[at], row[at - 1]),
            )
    return row[-1]
