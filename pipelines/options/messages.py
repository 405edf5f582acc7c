"""Messages about a wrong option: what its value must be, the name that was probably meant, which
job has it."""

from __future__ import annotations

import difflib
import importlib.metadata
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from internvl_ops.events import note

logger = logging.getLogger(__name__)

_WORDS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number that is not infinite",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "tuple_type": "must be a text, or a list of texts",
    "dict_type": "must be a JSON object, such as {\"name\": value}",
}  # fmt: skip
_LIMITS = {
    "ge": "greater than or equal to",
    "gt": "greater than",
    "le": "less than or equal to",
    "lt": "less than",
}


def in_words(detail: Any) -> str:
    """What a value must be, in words that do not need the validation library's."""
    known = _WORDS.get(detail["type"])
    if known is not None:
        return known
    context = detail.get("ctx") or {}
    for limit, words in _LIMITS.items():
        if limit in context:
            return f"must be {words} {context[limit]}"
    if detail["type"] == "literal_error":
        return f"must be {context['expected']}"
    return str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")


def version() -> str:
    """Name and version of this package."""
    try:
        return f"internvl-batch {importlib.metadata.version('internvl-batch')}"
    except importlib.metadata.PackageNotFoundError:
        return "internvl-batch, not installed"


def nearest(given: str, known: Iterable[str]) -> str:
    """A sentence that suggests the most similar name; empty if no name is similar."""
    close = difflib.get_close_matches(given, list(known), 1)
    return f" Did you mean {close[0]}?" if close else ""


def whose_option(given: str, own: Sequence[str]) -> str:
    """A sentence with the commands that have an option which this one lacks; empty if none has
    it."""
    from pipelines.options.benchmark_options import EvaluateOptions
    from pipelines.options.job_options import JobOptions
    from pipelines.options.tasks import TASKS

    name = given.lstrip("-").replace("-", "_")
    if name in own:
        return ""
    having = [task.name for task in TASKS.values() if name in task.options.model_fields]
    if name in EvaluateOptions.model_fields:
        having.append("evaluate")
    if name == "tasks":
        having = ["annotate"]
    if name in ("task", "drawings", "inputs"):
        having = ["preview"]
    if name in JobOptions.model_fields or name in ("dry_run", "estimate"):
        return " It is an option of the commands that write a dataset."
    if not having:
        return ""
    *others, last = having
    return (
        " It is an option of the"
        f" {'commands ' + ', '.join(others) + ' and' if others else 'command'} {last}."
    )


def say_now(what: str) -> None:
    """Logs the current phase of a job, so that a waiting user sees progress."""
    note(logger, "phase", what, level=logging.INFO)
