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

_SIMILAR = 0.65  # of two names, as difflib measures it; less suggests names at random

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


# What other tools call it.
_ELSEWHERE = {
    "batch_size": "in_flight",
    "batch": "in_flight",
    "concurrency": "in_flight",
    "max_num_seqs": "in_flight",
    "gpus": "gpus_per_engine",
    "num_gpus": "gpus_per_engine",
    "tensor_parallel_size": "gpus_per_engine",
    "tp": "gpus_per_engine",
    "workers": "prepare_actors",
    "num_workers": "prepare_actors",
    "question": "prompt",
    "query": "prompt",
    "instruction": "prompt",
    "system": "system_message",
    "system_prompt": "system_message",
    "max_tokens": "max_new_tokens",
    "max_length": "max_new_tokens",
    "frames": "num_frames",
    "num_tiles": "max_tiles",
    "checkpoint": "model",
    "model_path": "model",
    "api_base": "base_url",
    "url": "base_url",
    "manifest": "input",
    "data": "input",
    "out": "output",
    "output_dir": "output",
    "filter": "where",
    "schema": "json_schema",
    "classes": "labels",
}


def nearest(given: str, known: Iterable[str]) -> str:
    """A sentence that suggests the option that other tools call so, or the most similar name; empty
    if there is none."""
    # without the dashes, which would make short names similar
    names = {name.lstrip("-"): name for name in known}
    word = given.lstrip("-")
    elsewhere = _ELSEWHERE.get(word.replace("-", "_"), "").replace("_", "-")
    close = (
        [elsewhere] if elsewhere in names else difflib.get_close_matches(word, names, 1, _SIMILAR)
    )
    return f" Did you mean {names[close[0]]}?" if close else ""


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
