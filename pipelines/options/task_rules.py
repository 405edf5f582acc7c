"""Rules of the tasks' own options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.options.rules import refuse


def check_tasks(
    options: Any, tasks: Collection[str], by_option: Mapping[str, Collection[str]]
) -> None:
    """Refuses options of tasks that do not run.

    Args:
        options: Options of a command with several tasks.
        tasks: Names of the tasks that run.
        by_option: The tasks that have an option, by the option's name.

    Raises:
        ConfigurationError: The message names the option and its tasks.
    """
    for name, for_tasks in by_option.items():
        if not set(tasks) & set(for_tasks):
            refuse(
                options,
                (name,),
                f"it is an option of the task {' or '.join(for_tasks)}, and this runs"
                f" {', '.join(tasks)}",
            )
    if "ask" not in tasks and "ocr" in tasks:
        check_schema(options)
    if "caption" not in tasks and "ocr" in tasks:
        check_language(options)


def check_ocr(options: Any) -> None:
    """Refuses options that have no effect on the chosen format.

    Raises:
        ConfigurationError: The message says what to add.
    """
    check_schema(options)
    check_language(options)
    if options.ocr_format != "markdown":
        refuse(
            options,
            ("blocks",),
            f"they are read from Markdown, not --ocr-format {options.ocr_format}; add markdown",
        )


def check_classify(options: Any, columns: Collection[str]) -> None:
    """Refuses options of labels that contradict each other, or the columns of the manifest.

    Raises:
        ConfigurationError: The message names the option.
    """
    if not options.labels and options.taxonomy is None:
        raise ConfigurationError("No labels: add --labels A --labels B, or --taxonomy FILE.")
    if options.labels and options.taxonomy is not None:
        raise ConfigurationError(
            f"--labels and --taxonomy {options.taxonomy}: two lists of labels. Leave one out."
        )
    if options.calibrate is not None and options.truth_column is None:
        raise ConfigurationError(
            f"--calibrate {safe_uri(options.calibrate)}: name the column with its true labels by"
            " --truth-column."
        )
    if (
        options.calibrate is None
        and options.truth_column is not None
        and options.truth_column not in columns
    ):
        raise ConfigurationError(
            f"--truth-column {options.truth_column}: no such column in the manifest. "
            f"Columns there: {', '.join(columns)}."
        )
    if options.text_column is None:
        refuse(options, ("pictures",), "without them there is nothing to label; add --text-column")
    if options.n > 1:
        refuse(options, ("n",), "the probabilities are those of every answer already")


def check_score(options: Any) -> None:
    """Refuses options of the judge that have no effect beside the others.

    Raises:
        ConfigurationError: The message names both.
    """
    if options.prompt:
        refuse(options, ("judge", "domain"), "--prompt says what is judged")
    if options.judge != "quality":
        refuse(
            options,
            ("domain",),
            f"it belongs to --judge quality, and this is --judge {options.judge}",
        )
    if options.judge == "agreement":
        refuse(options, ("pictures",), "--judge agreement compares the text with the pictures")
    if options.n > 1:
        refuse(options, ("n",), "a text gets one score")


def check_schema(options: Any) -> None:
    """Refuses a schema for an answer that is not JSON."""
    if options.ocr_format != "json":
        refuse(
            options,
            ("json_schema",),
            f"--ocr-format {options.ocr_format} is not JSON; add --ocr-format json",
        )


def check_language(options: Any) -> None:
    """Refuses a language for boxes, which have only one prompt."""
    if options.ocr_format == "boxes":
        refuse(
            options,
            ("language",),
            "--ocr-format boxes has only the prompt that the family was trained on",
        )
