"""Reads a rules file, and fits its rules to the columns of an output."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from internvl_ops.errors import ConfigurationError
from pipelines import columns as c
from pipelines.filtering.rules import ExactDuplicates, NearTexts, Rule, TextRule, parse_rule

DEFAULT = "card"  # the rules of the InternVL 2.5 card, in card.yaml beside this module


def read_rules(path: str) -> tuple[Rule, ...]:
    """The rules of a YAML file, in its order.

    Args:
        path: A file, or ``card`` for the rules of the InternVL 2.5 card.

    Raises:
        ConfigurationError: The file cannot be read, or a rule in it is wrong; all wrong rules are
            named.
    """
    try:
        if path == DEFAULT:
            text = (
                resources.files("pipelines.filtering")
                .joinpath("card.yaml")
                .read_text(encoding="utf-8")
            )
        else:
            text = Path(path).expanduser().read_text(encoding="utf-8-sig")
        content = yaml.safe_load(text)
    except OSError as error:
        raise ConfigurationError(f"--rules {path}: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--rules {path}: not YAML: {error}") from None
    entries = content.get("rules") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries or set(content) != {"rules"}:
        raise ConfigurationError(
            f"--rules {path}: the file must hold one list, `rules:`, with at least one rule."
        )
    return _parsed(path, entries)


def _parsed(path: str, entries: list[Any]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    wrong = []
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, dict):
                raise ValueError(
                    f"{entry!r} is no mapping, as in `- {{rule: repetition, verdict: drop}}`"
                )
            rule = parse_rule(entry)
            if rule.title in {other.title for other in rules}:
                raise ValueError(f"the name {rule.title!r} is taken; give this rule another `name`")
            rules.append(rule)
        except ValidationError as error:
            wrong += [f"rule {number}: {_said(detail)}" for detail in error.errors()]
        except ValueError as error:
            wrong.append(f"rule {number}: {error}")
    if wrong:
        raise ConfigurationError("\n".join(f"--rules {path}: {line}." for line in wrong))
    return tuple(rules)


def _said(detail: Any) -> str:
    place = ".".join(map(str, detail["loc"]))
    message = detail["msg"].removeprefix("Value error, ")
    value = f" {detail['input']!r}" if place and detail["type"] != "missing" else ""
    return f"{place}{value}: {message}" if place else message


def fit_rules(
    rules: tuple[Rule, ...], there: Collection[str]
) -> tuple[tuple[Rule, ...], list[str]]:
    """Fits rules to the columns that an output has.

    Args:
        rules: As the file has them.
        there: Columns of the output.

    Returns:
        The rules with their default columns filled in, without those that are left out, and a note
        for each of these.

    Raises:
        ConfigurationError: A rule names a column that is not there.
    """
    fitted, notes = [], []
    for rule in (with_default_column(rule, there) for rule in rules):
        lacking = [column for column in rule.columns() if column not in there]
        if not lacking:
            fitted.append(rule)
        elif rule.if_missing == "skip":
            notes.append(
                f"rule {rule.title} is left out: the output has no column {', '.join(lacking)}"
            )
        else:
            close = difflib.get_close_matches(lacking[0], there, 1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise ConfigurationError(
                f"rule {rule.title}: the output has no column {lacking[0]!r}. {hint}It has:"
                f" {', '.join(there)}. Set `if_missing: skip` to leave the rule out."
            )
    return tuple(fitted), notes


def with_default_column(rule: Rule, there: Collection[str]) -> Rule:
    """The rule about the task's answer, if it names no column itself."""
    answer = c.answer_column(there) or c.ANSWERS[0]
    if isinstance(rule, TextRule | NearTexts) and not rule.column:
        return rule.model_copy(update={"column": answer})
    if isinstance(rule, ExactDuplicates) and not rule.of:
        return rule.model_copy(update={"of": (answer,)})
    return rule
