"""Which blocks of an answer say which blocks of a page, as OmniDocBench matches them.

An answer may split a block of the page, or write several as one. So neighbours in the answer are
tried as one block, and a block that is left over may be a part of one of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from internvl_ops.metrics.assignment import cheapest_pairs
from internvl_ops.metrics.near_matches import least_edits

SURE = 0.25  # share of edits below which two blocks are the same
_WORST = 0.7  # above it they are not
_WORST_PART = 0.4  # of a block within another
_WORST_PIECE = 0.6  # of a piece of a block that the answer splits


class Match(NamedTuple):
    """Blocks of a page, and those of the answer that say the same, by number; of one of the two
    there may be several, and of the answer none."""

    truths: tuple[int, ...]
    answers: tuple[int, ...]


def edit_shares(truths: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Edits over the length of the longer text: float (truths, answers), from 0 to 1."""
    return cdist(truths, answers, scorer=Levenshtein.normalized_distance, dtype=np.float64)


def match_blocks(truths: Sequence[str], answers: Sequence[str]) -> list[Match]:
    """Matches the texts of blocks, in the order of reading. Each block of the page is in one match;
    blocks of the answer that say none of them are in none.

    Blocks with fewer edits than a quarter of their length stay as they are. For each other block of
    the page, neighbours in the answer become one block as long as this makes fewer edits; of those
    that overlap, the cheapest counts. Then each block gets the one of the answer with which all
    together cost least, but none with more edits than 0.7 of their length. What is left over joins
    the first block of the answer in which it stands with fewer edits than 0.4 of its length.
    """
    if not truths or not answers:
        return [Match((number,), ()) for number in range(len(truths))]
    costs = edit_shares(truths, answers)
    runs = _runs(costs, truths, answers)
    joined = [" ".join(answers[number] for number in run) for run in runs]
    costs = edit_shares(truths, joined)
    of_answers: dict[tuple[int, ...], list[int]] = {}
    left = set(range(len(truths)))
    for truth, place in cheapest_pairs(costs):
        if costs[truth, place] <= _WORST:
            of_answers[runs[place]] = [truth]
            left.discard(truth)
    for run, text in zip(runs, joined, strict=True):
        for truth in sorted(left):
            if _is_part(truths[truth], text, _WORST_PART):
                of_answers.setdefault(run, []).append(truth)
                left.discard(truth)
    found = [Match(tuple(sorted(numbers)), run) for run, numbers in of_answers.items()]
    return sorted(found + [Match((number,), ()) for number in left])


def _runs(
    costs: np.ndarray, truths: Sequence[str], answers: Sequence[str]
) -> list[tuple[int, ...]]:
    """The blocks of the answer, with neighbours joined."""
    free = set(np.flatnonzero(costs.min(axis=0) >= SURE).tolist())
    candidates = []
    for truth in np.flatnonzero(costs.min(axis=1) >= SURE):
        for first in sorted(free):
            run, cost = _longest_run(truths[truth], answers, first, free)
            if len(run) > 1:
                candidates.append((cost, run))
    taken: dict[int, tuple[int, ...]] = {}
    for _, run in sorted(candidates):
        if not any(number in taken for number in run):
            taken |= dict.fromkeys(run, run)
    return list(dict.fromkeys(taken.get(number, (number,)) for number in range(len(answers))))


def _longest_run(
    truth: str, answers: Sequence[str], first: int, free: set[int]
) -> tuple[tuple[int, ...], float]:
    """The neighbours from ``first`` that say a block together, and their share of edits."""
    run, text = [first], answers[first]
    cost = Levenshtein.normalized_distance(truth, text)
    while _is_part(answers[run[-1]], truth, _WORST_PIECE) and len(text) <= len(truth):
        following = run[-1] + 1
        if following not in free:
            break
        longer = f"{text} {answers[following]}"
        now = Levenshtein.normalized_distance(truth, longer)
        if now > cost or not _is_part(answers[following], truth, _WORST_PIECE):
            break
        run, text, cost = [*run, following], longer, now
    return tuple(run), cost


def _is_part(part: str, text: str, worst: float) -> bool:
    """Whether a part of ``text`` is ``part`` with fewer edits than a share of its length."""
    return 0 < len(part) <= len(text) and least_edits(part, text) < worst * len(part)
