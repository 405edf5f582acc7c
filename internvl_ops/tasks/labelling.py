"""Labels for a unit, each with its probability: one of several, or every one that applies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.tasks.base import Row, Task, bad_row
from internvl_ops.tasks.calibration import Calibration
from internvl_ops.tasks.conversation import Answered, Conversation, Dialogue
from internvl_ops.tasks.judged_texts import as_data, judged_text
from internvl_ops.tasks.judging import OUTSIDE

LABELS = pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float64())]))
COLUMNS = pa.schema([("label", pa.string()), ("labels", LABELS)])
LABEL_TOKENS, WORD_TOKENS = 48, 8
YES, NO = ("Yes", "yes"), ("No", "no")
APPLIES = 0.5  # probability from which a label applies, where several may

ONE = "Which one of the labels below fits best?"
EACH = "Does the label below apply?"
ONE_ALONE = "Answer with one of the labels, exactly as it is written here, and nothing else."
EACH_ALONE = "Answer with yes or no and nothing else."


def classify(
    labels: Sequence[str] | Mapping[str, str],
    *,
    several: bool = False,
    prompt: str | None = None,
    text_column: str | None = None,
    in_manifest: Sequence[str] = (),
    calibration: Calibration | None = None,
    max_new_tokens: int | None = None,
) -> Task:
    """The labelling task. Columns: ``label``, the likeliest, and ``labels``, all of them, likeliest
    first.

    Args:
        labels: At least two, or one with `several`; a mapping has a description for each, which may
            be empty.
        several: Ask for each label by itself whether it applies. ``label`` is then null if none
            applies.
        prompt: Replaces the question; the labels are added to it.
        text_column: Column with a text to label, with the pictures if there are any; None labels
            the pictures alone.
        in_manifest: Columns that the manifest has.
        calibration: Corrects the probabilities.
        max_new_tokens: Maximum length of an answer.

    Raises:
        ConfigurationError: The labels cannot be used, or the manifest has no such column.
    """
    described = dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels, "")
    names = tuple(described)
    if len(names) < (1 if several else 2):
        raise ConfigurationError(f"{keyword('labels', ' '.join(names))}: give at least two labels.")
    if text_column is not None and text_column not in in_manifest:
        raise ConfigurationError(
            f"{keyword('text_column', text_column)}: no such column in the manifest. Columns there:"
            f" {', '.join(in_manifest)}."
        )
    asked = prompt or (EACH if several else ONE)
    tokens = max_new_tokens or (WORD_TOKENS if several else LABEL_TOKENS)

    def converse(row: Row) -> list[Conversation]:
        data = ""
        if text_column is not None:
            text = judged_text(row, text_column)
            if text is None:
                raise bad_row(f"nothing to label: column '{text_column}' is null or empty")
            data = f"{as_data(text)}\n\n"
        if several:
            return [
                Conversation(
                    (f"{data}{asked}\n{line}\n{EACH_ALONE}",), tokens, candidates=(*YES, *NO)
                )
                for line in map(line_of, names)
            ]
        lines = "\n".join(map(line_of, names))
        return [Conversation((f"{data}{asked}\n{lines}\n{ONE_ALONE}",), tokens, candidates=names)]

    def line_of(name: str) -> str:
        return f"- {name}: {described[name]}" if described[name] else f"- {name}"

    def parse(answered: Answered) -> dict[str, object]:
        found, notes = (_each if several else _one)(answered.dialogues)
        if calibration is not None:
            found = calibration.applied(found, several=several)
        order = np.argsort(-found, kind="stable")
        best = int(order[0])
        return {
            "label": names[best] if not several or found[best] >= APPLIES else None,
            "labels": [{"label": names[at], "probability": float(found[at])} for at in order],
            "notes": notes,
        }

    return Task(
        name="classify",
        prompt=asked,
        columns=COLUMNS,
        converse=converse,
        parse=parse,
        max_new_tokens=tokens,
        reads=() if text_column is None else (text_column, f"manifest_{text_column}", "question"),
        details={"labels": described}
        | ({} if calibration is None else {"calibrate": calibration.described(names)}),
    )


def _one(dialogues: Sequence[Dialogue]) -> tuple[np.ndarray, list[str]]:
    (dialogue,) = dialogues
    chances = _chances(dialogue)
    return chances / chances.sum(), _notes(1 - float(chances.sum()))


def _each(dialogues: Sequence[Dialogue]) -> tuple[np.ndarray, list[str]]:
    every = np.array([_chances(dialogue) for dialogue in dialogues])
    inside = every.sum(1)
    return every[:, : len(YES)].sum(1) / inside, _notes(1 - float(inside.min()))


def _chances(dialogue: Dialogue) -> np.ndarray:
    """The probability of each candidate.

    Raises:
        UnitError: ``bad_answer`` if none of them has any.
    """
    found = np.array([math.exp(one) for one in dialogue.replies[-1].candidates])
    if not found.sum():
        said = dialogue.responses[-1][:300]
        raise UnitError(
            "parse", "bad_answer", f"no label has any probability; the model says {said!r}"
        )
    return found


def _notes(outside: float) -> list[str]:
    return (
        [f"{outside:.1%} of the probability of the answers lies outside the labels"]
        if outside >= OUTSIDE
        else []
    )


def labels_of(taxonomy: Any) -> dict[str, str]:
    """The labels of a taxonomy, with the description of each.

    Args:
        taxonomy: As read from YAML or JSON: a list of labels, or a mapping of labels to more of
            them. Deeper labels become paths, ``animal/cat``. A text below a label describes it.

    Raises:
        ConfigurationError: It is something else, or a label occurs twice.
    """
    found: dict[str, str] = {}

    def walk(node: Any, path: tuple[str, ...], depth: int = 0) -> None:
        if depth > 50:
            raise ConfigurationError(f"{keyword('taxonomy')}: nested deeper than 50.")
        if isinstance(node, Mapping) and node:
            for name, below in node.items():
                walk(below, (*path, _name(name, path)), depth + 1)
        elif isinstance(node, list) and node:
            for item in node:
                if isinstance(item, Mapping):
                    walk(item, path, depth + 1)
                else:
                    walk(None, (*path, _name(item, path)), depth + 1)
        elif path:
            label = "/".join(path)
            if label in found:
                raise ConfigurationError(
                    f"{keyword('taxonomy')}: the label {label!r} occurs twice. Leave one out."
                )
            found[label] = " ".join(node.split()) if isinstance(node, str) else ""
        else:
            raise ConfigurationError(f"{keyword('taxonomy')}: {node!r:.80} holds no labels.")

    def _name(given: Any, path: tuple[str, ...]) -> str:
        if (
            isinstance(given, str | int | float)
            and str(given).strip()
            and not isinstance(given, bool)
        ):
            return " ".join(str(given).split())
        place = "/".join(path) or "the top"
        raise ConfigurationError(
            f"{keyword('taxonomy')}: {given!r:.80} at {place} is no label. Write texts; in YAML,"
            " quote yes, no, on and off."
        )

    walk(taxonomy, ())
    return found
