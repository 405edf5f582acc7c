"""Detects answers that repeat themselves, during generation and when they are finished.

Both rules require the same of a periodic stretch: it must be longer than a few periods *and* longer
than what people write in that form. Nobody writes "the" thirty times, but a table may well have
eighty rows of "N/A". The limits were chosen on the texts of ``testing/repetition_texts.py`` and on
source files and documentation; ``make bench-repetition`` measures them.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# A tail of m + 2 periods is a loop, with m in tokens or in characters. Loops of signs alone need
# more characters, because rulers, blank lines of a form and rows of empty cells have many
# characters but few tokens.
TAIL_TOKENS = 200
TAIL_CHARACTERS = 600
TAIL_SIGNS = 3000
MOST_CANDIDATES = 32

# A stretch of m + 3 periods in a finished answer, m in characters.
RUNNING_TEXT = 60
ROWS_OR_COUNTING = 400  # the period holds a line break, a cell, or a number that counts up
NO_WORDS = 2000
NO_WORDS_COUNTING = 8000
MARKUP_TAG = re.compile(r"<[^<>]*>|^[^<>]*>|<[^<>]*$")
WINDOW = 16  # characters that must recur before their distance counts as a possible period
MOST_PERIODS = 8

# Sentences that repeat earlier ones, in any order: their maximum number, and their maximum share of
# the text.
MOST_SAID_BEFORE = 10
SHARE_SAID_BEFORE = 0.7
SENTENCE = re.compile(r"[^.!?。！？\n]++[.!?。！？]?")
SHORTEST_SENTENCE = 9  # characters


@dataclass(frozen=True)
class Loop:
    """A stretch at the end of an answer in which every item equals the one a period before.

    Attributes:
        start: Start of the first round; the text before it, and the round itself, may still be
            useful.
        period: Length of a round.
        length: Length of the whole stretch, to the end of the answer.

    All are in tokens if the answer was given as tokens, and in characters if it was given as text.
    """

    start: int
    period: int
    length: int


def find_loop(answer: Sequence[int] | str) -> Loop | None:
    """The loop in which an answer ends; cheap enough to call every few tokens.

    Args:
        answer: All of the answer so far: token ids, or text.

    Returns:
        The loop with the shortest period; None if there is none.
    """
    if isinstance(answer, str):
        loop = _find_loop(answer, TAIL_CHARACTERS)
        if loop and loop.length < TAIL_SIGNS and not _has_words(answer[-loop.period :]):
            return None
        return loop
    if len(answer) <= TAIL_TOKENS:
        return None
    # As text with one character per token: its search and comparison run at the speed of C.
    return _find_loop(array("I", answer).tobytes().decode("utf-32", "surrogatepass"), TAIL_TOKENS)


def _find_loop(items: str, tail: int) -> Loop | None:
    size = len(items)
    anchor = items[-tail:]
    found = size - tail
    for _ in range(MOST_CANDIDATES):
        # The previous place of the last items: the distance to it may be a period.
        found = items.rfind(anchor, 0, found + tail - 1)
        period = size - tail - found
        if found < 0 or 2 * period + tail > size:
            return None
        if items.endswith(items[-period - tail :], 0, size - period):
            tails = range(size - 2 * period)
            start = bisect_left(
                tails, True, key=lambda k: items[k : size - period] == items[k + period :]
            )
            return Loop(start, period, size - start)
    return None


def is_repetitive(text: str) -> bool:
    """Whether a finished answer contains a stretch that repeats more often than people write.

    It finds loops anywhere, with any period, in any script, including those in which a number
    counts up ("Figure 1: a cat. Figure 2: a cat. …"). Repetitions that people write do not count:
    refrains, rules, leaders, columns of equal cells, rows whose numbers differ.

    Args:
        text: The answer, without special tokens.
    """
    return _goes_round(text) or _says_again(text)


def _goes_round(text: str) -> bool:
    codes, numbers = _items(text)
    for period in _likely_periods(codes):
        for start, length, counting in _stretches(codes, numbers, period):
            if length >= 3 * period + _limit(
                "".join(map(chr, codes[start : start + period])), counting
            ):
                return True
    return False


def _says_again(text: str) -> bool:
    parts = [part.strip().lower() for part in SENTENCE.findall(text)]
    sentences = [
        part
        for part in parts
        if part.endswith(tuple(".!?。！？")) and len(part) >= SHORTEST_SENTENCE
    ]
    again = len("".join(sentences)) - len("".join(set(sentences)))
    return len(sentences) - len(
        set(sentences)
    ) >= MOST_SAID_BEFORE and again >= SHARE_SAID_BEFORE * len(text.strip())


def _limit(period: str, counting: bool) -> int:
    if not _has_words(period):
        return NO_WORDS_COUNTING if counting else NO_WORDS
    return ROWS_OR_COUNTING if counting or re.search(r"[\n\t|<]", period) else RUNNING_TEXT


def _has_words(period: str) -> bool:
    """Whether the period contains words, apart from tags and items with a digit (12, 0x00). The
    period may begin anywhere, even inside a tag."""
    words = re.findall(r"\w++", MARKUP_TAG.sub(" ", 2 * period))
    return any(any(map(str.isalpha, word)) and not any(map(str.isdigit, word)) for word in words)


def _items(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Code points int32 and values float64, shape (items,). A number is one item "0" with its
    value; a run of blanks is one blank or line break."""
    text = re.sub(r"\s+", lambda match: "\n" if "\n" in match[0] else " ", text.strip()).lower()
    values = [float(number[-15:]) for number in re.findall(r"\d+", text)]
    codes = np.frombuffer(re.sub(r"\d+", "0", text).encode("utf-32-le", "surrogatepass"), np.int32)
    numbers = np.zeros(len(codes))
    numbers[codes == ord("0")] = values
    return codes, numbers


def _likely_periods(codes: np.ndarray) -> np.ndarray:
    """The most common distances between a window of characters and the previous equal window."""
    if len(codes) <= WINDOW:
        return np.array([], np.int64)
    hashes = np.zeros(len(codes) - WINDOW + 1, np.uint64)
    for offset in range(WINDOW):
        hashes = hashes * np.uint64(1_000_003) + codes[offset : len(hashes) + offset].astype(
            np.uint64
        )
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    distances, counts = np.unique(np.diff(order)[same], return_counts=True)
    return distances[np.argsort(-counts, kind="stable")[:MOST_PERIODS]]


def _stretches(
    codes: np.ndarray, numbers: np.ndarray, period: int
) -> Iterator[tuple[int, int, bool]]:
    """Start and length of each stretch of more than three such periods, and whether a number in it
    counts up."""
    steps = numbers[period:] - numbers[:-period]
    equal = codes[period:] == codes[:-period]
    # a number may count up, by the same step in every round
    equal[period:] &= steps[period:] == steps[:-period]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], equal, [False]))))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start > 2 * period:
            yield int(start), int(end - start + period), bool(steps[start:end].any())
