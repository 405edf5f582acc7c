"""Compares what a model read from a page with the page's text layer, and names what only one of
them has.

Both texts are first made alike: compatibility forms, Markdown, HTML tags, bullets, quotes, hyphens
and case are no differences. What is left are words; the letters of scripts without blanks are words
of their own. Words are aligned by their longest common sequence, so what is only in one text is a
run of words between common ones. A run whose letters resemble those of the other text at the same
place is a misreading, and a run that the other text has elsewhere is a matter of order: neither is
an invention or an omission.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rapidfuzz.distance import Indel, Levenshtein

INVENTION, OMISSION, NUMBER = "invention", "omission", "number"
FLAGS: dict[str, str] = {
    INVENTION: (
        "the answer has words that the text layer lacks, though the layer has all writing on the"
        " page"
    ),
    OMISSION: "the text layer has words, drawn on the page, that the answer lacks",
    NUMBER: "a number differs",
}
# similarity of letters from which a word, or a whole run, is a misreading of the other
_ALIKE, _SAME = 0.5, 0.8
_MOST_PAIRS = 40_000  # words of a run times those of the other
_RUN, _LONG = 3, 8  # words, letters of a run in place of another from which it is one text's own
_MOVED = 0.75  # share of the words of a run that the other text has elsewhere
_WORD = 4  # letters of a run without any counterpart; a digit is enough
_MOST_SPANS, _LONGEST_SPAN = 50, 300  # kept of a page; characters of one

_TAG = re.compile(
    r"</?(?:table|thead|tbody|tr|t[dh]|br|sup|sub|b|i|u|p|em|strong|h[1-6])\b[^<>]{0,200}>",
    re.IGNORECASE,
)
_RULE = re.compile(r"^[ |:+=*_-]*$", re.MULTILINE)  # lines of tables and rules
_MARKS = re.compile(r"^[ \t]*(?:[-+*•◦▪‣]|#{1,6})[ \t]+|[*_`|#~$•·]|\\(?=\W)", re.MULTILINE)
_HYPHENATED = re.compile(r"(?<=\w)-[ \t]*\n[ \t]*(?=\w)")
_LEADERS = re.compile(r"(?:\.[ \t]?){4,}|…")
_ALONE = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"
)
_EDGES = re.compile(r"^\W+|\W+$")
_TYPED = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "−": "-", "\u00ad": None}
)


@dataclass(frozen=True)
class Comparison:
    """How an answer and a text layer differ.

    Args:
        similarity: 1 minus the edits of characters over the length of the longer text, without
            blanks.
        word_similarity: The same of words.
        only_in_answer: Runs of words that only the answer has.
        only_in_layer: Runs of words that only the layer has.
        flags: Codes of `FLAGS`.
    """

    similarity: float
    word_similarity: float
    only_in_answer: list[str]
    only_in_layer: list[str]
    flags: list[str]


class _Run(NamedTuple):
    """Words of the answer, and those of the layer at the same place."""

    answer: list[str]
    layer: list[str]


def compare(answer: str, layer: str, *, covers: bool) -> Comparison:
    """Compares the two.

    Args:
        answer: Text or Markdown from a model.
        layer: Text of the layer.
        covers: Whether the layer has all writing that the page shows. Otherwise nothing is called
            an invention.
    """
    said, stored = words(answer), words(layer)
    runs, numbers = [], False
    for run in _runs(said, stored):
        misread, rest = _paired(run)
        numbers |= any(map(_differ_in_numbers, misread))
        runs.append(rest)
    inventions = [run.answer for run in runs if _is_own(run.answer, run.layer)]
    omissions = [run.layer for run in runs if _is_own(run.layer, run.answer)]
    moved = _Elsewhere(runs)
    inventions = [span for span in inventions if not moved.has(span, 1)]
    omissions = [span for span in omissions if not moved.has(span, 0)]
    flags = [INVENTION] if inventions and covers else []
    flags += [OMISSION] if omissions else []
    flags += [NUMBER] if numbers else []
    return Comparison(
        round(Levenshtein.normalized_similarity("".join(said), "".join(stored)), 4),
        round(Levenshtein.normalized_similarity(said, stored), 4),
        _shown(inventions),
        _shown(omissions),
        flags,
    )


def words(text: str) -> list[str]:
    """The words of a text, made alike."""
    text = unicodedata.normalize("NFKC", text.translate(_TYPED))
    text = _LEADERS.sub(" ", _MARKS.sub(" ", _RULE.sub("", _TAG.sub(" ", text))))
    text = _ALONE.sub(r" \1 ", _HYPHENATED.sub("", text)).casefold()
    found = (_EDGES.sub("", word).replace("-", "") for word in text.split())
    return [word for word in found if word]


def _runs(said: Sequence[str], stored: Sequence[str]) -> list[_Run]:
    """The places where the two differ. A single common word between two long differences belongs to
    them."""
    runs: list[tuple[int, int, int, int]] = []
    for step in Indel.opcodes(said, stored):
        if step.tag == "equal":
            continue
        place = (step.src_start, step.src_end, step.dest_start, step.dest_end)
        if runs and _joins(runs[-1], place):
            runs[-1] = (runs[-1][0], place[1], runs[-1][2], place[3])
        else:
            runs.append(place)
    return [_Run(list(said[a:b]), list(stored[c:d])) for a, b, c, d in runs]


def _joins(before: tuple[int, int, int, int], now: tuple[int, int, int, int]) -> bool:
    between = now[0] - before[1]
    long = min(_size(before), _size(now)) >= _RUN
    return between == 0 or (between == 1 and long)


def _size(place: tuple[int, int, int, int]) -> int:
    return max(place[1] - place[0], place[3] - place[2])


def _paired(run: _Run) -> tuple[list[_Run], _Run]:
    """The parts of a run that are misreadings of each other, and what is left of both texts."""
    if not run.answer or not run.layer:
        return [], run
    if _similarity("".join(run.answer), "".join(run.layer)) >= _SAME:
        return [run], _Run([], [])
    if len(run.answer) * len(run.layer) > _MOST_PAIRS:
        return [], run
    pairs = _pairs(run)
    answers, layers = {one for one, _ in pairs}, {other for _, other in pairs}
    return [_Run([run.answer[one]], [run.layer[other]]) for one, other in pairs], _Run(
        [word for place, word in enumerate(run.answer) if place not in answers],
        [word for place, word in enumerate(run.layer) if place not in layers],
    )


def _pairs(run: _Run) -> list[tuple[int, int]]:
    """The places of words that resemble each other, as many as there are in the same order."""
    alike = [[_similarity(one, other) >= _ALIKE for other in run.layer] for one in run.answer]
    rows, columns = len(run.answer), len(run.layer)
    most = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            skipped = max(most[row + 1][column], most[row][column + 1])
            most[row][column] = max(skipped, most[row + 1][column + 1] + alike[row][column])
    pairs, row, column = [], 0, 0
    while row < rows and column < columns:
        if alike[row][column] and most[row][column] == most[row + 1][column + 1] + 1:
            pairs.append((row, column))
            row, column = row + 1, column + 1
        elif most[row + 1][column] >= most[row][column + 1]:
            row += 1
        else:
            column += 1
    return pairs


def _similarity(one: str, other: str) -> float:
    return float(Levenshtein.normalized_similarity(one, other))


def _is_own(span: Sequence[str], other: Sequence[str]) -> bool:
    """Whether a run is more than noise at the place of ``other``."""
    letters = sum(map(len, span))
    if not other:
        return letters >= _WORD or any(one.isdigit() for word in span for one in word)
    return len(span) >= len(other) + _RUN or (
        letters >= _LONG and letters * 3 >= sum(map(len, other))
    )


def _differ_in_numbers(run: _Run) -> bool:
    """Whether both have digits, and not the same; a letter that is read as a digit makes no
    number."""
    answer, layer = _digits(run.answer), _digits(run.layer)
    return bool(answer and layer) and answer != layer


def _digits(span: Sequence[str]) -> str:
    return "".join(one for word in span for one in word if one.isdigit())


class _Elsewhere:
    """Finds a run among the words that the other text has without a counterpart, wherever they
    stand."""

    def __init__(self, runs: Sequence[_Run]) -> None:
        self._left = [Counter(word for run in runs for word in run[side]) for side in (0, 1)]

    def has(self, span: Sequence[str], side: int) -> bool:
        """Whether most words of ``span`` are among those of the answer (0) or of the layer (1)."""
        # Single words, because small ones that both texts have cut a moved run into pieces.
        common = Counter(span) & self._left[side]
        return common.total() >= _MOVED * len(span)


def _shown(spans: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(span)[:_LONGEST_SPAN] for span in spans[:_MOST_SPANS]]
