"""A model as judge: a number from 0 to 10 for the text of a row, with or without its pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.quality.thoughts import without_thoughts
from internvl_ops.tasks.base import Row, Task, bad_row
from internvl_ops.tasks.conversation import Answered, Conversation, Dialogue
from internvl_ops.tasks.judged_texts import TEXT_COLUMNS, as_data, judged_text

Judge = Literal["quality", "repetition", "agreement"]
Domain = Literal["general", "ocr", "chart", "mathematics", "reasoning"]
Reason = Literal["none", "before", "after"]

SCALE = tuple(str(number) for number in range(11))
NUMBER_TOKENS, REASON_TOKENS = 8, 160
OUTSIDE = 0.01  # share of the probability outside the scale from which a result has a note
COLUMNS = pa.schema(
    [("score", pa.float64()), ("score_mean", pa.float64()), ("reason", pa.string())]
)

DOMAINS: dict[Domain, str] = {
    "general": (
        "Judge how good the text below is as training data for an assistant that sees pictures:"
        " correct, complete, clear, helpful, and in the form that was asked for."
    ),
    "ocr": (
        "Judge how good the text below is as a record of what is written in a picture: complete, in"
        " reading order, without letters that make no words, invented passages or missing lines."
    ),
    "chart": (
        "Judge how good the text below is as training data about charts and tables: names, numbers,"
        " units and comparisons are stated exactly and agree with each other, and each question has"
        " its answer."
    ),
    "mathematics": (
        "Judge how good the text below is as training data for mathematics: the problem can be"
        " solved as it is stated, each step follows from the one before, and the result is right"
        " and has its unit."
    ),
    "reasoning": (
        "Judge how good the text below is as training data for reasoning: the steps lead from what"
        " is given to the answer without gaps or contradictions, and the answer is right."
    ),
}
OTHERS: dict[Judge, str] = {
    "repetition": (
        "Judge whether the text below repeats itself: words, sentences or passages that come again"
        " without need. 0 means that it is nothing but repetition, 10 that nothing is repeated"
        " without need."
    ),
    "agreement": (
        "Judge how well the text below agrees with what you see: what it names is there, with the"
        " right number, colour, place and writing, and nothing is invented. 0 means that it is"
        " about something else."
    ),
}
NUMBER_ALONE = "Answer with one whole number from 0 (worst) to 10 (best) and nothing else."
REASON_FIRST = (
    "First say in one or two sentences what speaks for it and what against it. Give no number yet."
)
THEN_NUMBER = f"Now give your judgement. {NUMBER_ALONE}"
THEN_REASON = "Say in one or two sentences why."

_RANGE = re.compile(r"(?<!\d)0\s*(?:to|–|—|-|~|到|至)\s*10(?!\d)")
_NUMBER = re.compile(r"(?<![A-Za-z\d.])[-−]?\d+(?:\.\d+)?")


def score(
    judge: Judge = "quality",
    domain: Domain = "general",
    *,
    prompt: str | None = None,
    reason: Reason = "none",
    text_column: str | None = None,
    in_manifest: Sequence[str] = TEXT_COLUMNS,
    max_new_tokens: int | None = None,
) -> Task:
    """The judging task. Columns: ``score``, ``score_mean`` and ``reason``.

    Args:
        judge: What is judged.
        domain: What a text of good quality is.
        prompt: Replaces the description of what is judged. The text, and the scale, are added to
            it.
        reason: Ask for a reason before or after the number.
        text_column: Column with the text; by default the first of `TEXT_COLUMNS` in which a row has
            one.
        in_manifest: Columns that the manifest has.
        max_new_tokens: Maximum length of an answer.

    Raises:
        ConfigurationError: The manifest has no such column.
    """
    columns = _columns(text_column, in_manifest)
    asked = prompt or (DOMAINS[domain] if judge == "quality" else OTHERS[judge])
    tokens = max_new_tokens or (NUMBER_TOKENS if reason == "none" else REASON_TOKENS)

    def converse(row: Row) -> list[Conversation]:
        text = next(filter(None, (judged_text(row, column) for column in columns)), None)
        if text is None:
            raise bad_row(f"nothing to judge: {' and '.join(columns)} are null or empty")
        data = f"{asked}\n\n{as_data(text)}\n\n"
        questions: tuple[str, ...] = (data + NUMBER_ALONE,)
        if reason == "before":
            questions = (data + REASON_FIRST, THEN_NUMBER)
        elif reason == "after":
            questions = (data + NUMBER_ALONE, THEN_REASON)
        return [
            Conversation(questions, tokens, candidates=SCALE, candidates_at=int(reason == "before"))
        ]

    return Task(
        name="score",
        prompt=asked,
        columns=COLUMNS,
        converse=converse,
        parse=_parse,
        max_new_tokens=tokens,
        # A result keeps the raw answer of an earlier job under the second name.
        reads=tuple(
            dict.fromkeys((*columns, *(f"manifest_{column}" for column in columns), "question"))
        ),
    )


def _columns(given: str | None, there: Sequence[str]) -> tuple[str, ...]:
    if given is not None and given not in there:
        raise ConfigurationError(
            f"{keyword('text_column', given)}: no such column in the manifest. Columns there:"
            f" {', '.join(there)}."
        )
    found = (given,) if given is not None else tuple(name for name in TEXT_COLUMNS if name in there)
    if not found:
        raise ConfigurationError(
            f"Nothing to judge: the manifest has none of the columns {', '.join(TEXT_COLUMNS)}."
            f" Name the one with the text by {keyword('text_column')}."
        )
    return found


def _parse(answered: Answered) -> dict[str, object]:
    (dialogue,) = answered.dialogues
    at = dialogue.conversation.candidates_at
    others = [text for number, text in enumerate(dialogue.responses) if number != at]
    mean, notes = _mean(dialogue, at)
    return {
        "score": number_in(dialogue.responses[at]),
        "score_mean": mean,
        "reason": others[0].strip() if others else None,
        "notes": notes,
    }


def number_in(answer: str) -> float:
    """The number from 0 to 10 that an answer gives.

    Raises:
        UnitError: ``bad_answer``, with the answer's beginning.
    """
    found = _NUMBER.search(_RANGE.sub("", without_thoughts(answer)))
    if found is None:
        raise UnitError(
            "parse", "bad_answer", f"the answer has no number from 0 to 10: {answer[:300]!r}"
        )
    number = float(found[0].replace("−", "-"))
    if not 0 <= number <= 10:
        raise UnitError(
            "parse",
            "bad_answer",
            f"the answer's number {number:g} is not from 0 to 10: {answer[:300]!r}",
        )
    return number


def _mean(dialogue: Dialogue, at: int) -> tuple[float | None, list[str]]:
    """The mean over the scale, weighted by probability, and a note on what lies outside of it."""
    log_probs = dialogue.replies[at].candidates if dialogue.replies else []
    chances = [math.exp(one) for one in log_probs]
    inside = math.fsum(chances)
    if not inside:
        return None, []
    outside = max(0.0, 1 - inside)
    note = f"{outside:.1%} of the probability of the answers lies outside the scale from 0 to 10"
    mean = math.fsum(number * chance for number, chance in enumerate(chances)) / inside
    return mean, [note] if outside >= OUTSIDE else []
