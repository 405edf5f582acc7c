"""Answers of several tries side by side, on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.preview_answers import Answer, Tried, Unit
from pipelines.commands.preview_tries import Try
from pipelines.commands.preview_words import printable

# columns of the terminal that an answer has at least, where several stand side by side
NARROWEST = 24
_MOST_LABELS = 4  # in a summary


def described(tries: Sequence[Try]) -> list[str]:
    """What tells each try from the others; its prompt if there is only one."""
    named: Mapping[str, Sequence[str]] = {
        "model": [safe_uri(one.options.model) for one in tries],
        "lora": [safe_uri(one.options.lora or "none") for one in tries],
        "prompt": [one.options.prompt or f"{one.task.prompt} (the task's own)" for one in tries],
    }
    telling = [name for name, texts in named.items() if len(set(texts)) > 1] or ["prompt"]
    return ["; ".join(f"{name}: {named[name][at]}" for name in telling) for at in range(len(tries))]


def show_answers(console: Console, units: Sequence[Unit], tried: Sequence[Tried]) -> None:
    """Prints the answers of each unit in columns, as many side by side as there is room for, and a
    line a try.

    Args:
        console: Where to.
        units: The units.
        tried: The tries; each has an answer to every unit.
    """
    beside = max(1, console.width // NARROWEST)
    for at, unit in enumerate(units):
        size = f"  {unit.width}x{unit.height}" if unit.width else ""
        console.print(Text(printable(f"\n── {unit.name}{size}"), "bold"))
        if unit.asked:
            console.print(Text(printable(unit.asked), "dim"))
        for start in range(0, len(tried), beside):
            console.print(_side_by_side(tried[start : start + beside], at))
    console.print()
    for one, text in zip(tried, described([one.attempt for one in tried]), strict=True):
        console.print(Text.assemble((f"{one.attempt.number}  ", "bold"), printable(text)))
        console.print(Text(f"   {summary(one)}", "dim"))
    if len(tried) > 1:
        same = sum(_agree(answers) for answers in zip(*(one.answers for one in tried), strict=True))
        console.print(f"The same answer by all: {same} of {len(units)} units.")


def _agree(answers: Sequence[Answer]) -> bool:
    return len({answer.text for answer in answers}) == 1 and all(
        answer.error is None for answer in answers
    )


def _side_by_side(tried: Sequence[Tried], at: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), show_header=False)
    for _ in tried:
        table.add_column(ratio=1, overflow="fold")
    table.add_row(*(_cell(one, one.answers[at]) for one in tried))
    return table


def _cell(one: Tried, answer: Answer) -> Text:
    number = (f"{one.attempt.number}  ", "bold")
    if answer.error is not None:
        return Text.assemble(number, (printable(answer.error), "red"))
    text = printable(answer.text.strip()) or "(an empty answer)"
    return Text.assemble(number, text, (f"\n{footer(answer)}", "dim"))


def footer(answer: Answer) -> str:
    """How an answer ended."""
    return ", ".join(
        [f"{answer.completion_tokens} tokens"]
        + ([answer.finish_reason] if answer.finish_reason else [])
    )


def summary(one: Tried) -> str:
    """A line about all answers of a try."""
    good = [answer for answer in one.answers if answer.error is None]
    parts = [f"{len(good)} answers in {one.seconds:.1f} s"]
    if failed := len(one.answers) - len(good):
        parts.append(f"{failed} failed")
    if good:
        parts.append(f"{fmean(answer.completion_tokens for answer in good):.0f} tokens on average")
    scores = [answer.score for answer in good if answer.score is not None]
    if scores:
        parts.append(f"mean score {fmean(scores):.2f}")
    labels = Counter(answer.label for answer in good if answer.label is not None)
    parts += [f"{count} × {printable(label)}" for label, count in labels.most_common(_MOST_LABELS)]
    ends = Counter(
        answer.finish_reason for answer in good if answer.finish_reason not in ("", "stop")
    )
    parts += [f"{count} ended by {reason}" for reason, count in sorted(ends.items())]
    return ", ".join(parts)
