"""Labels with probabilities."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task, classify
from pipelines.options.job_options import InputNeeds
from pipelines.options.label_files import calibration_of, read_labels
from pipelines.options.registered_task import Example, RegisteredTask
from pipelines.options.rules import check_column, refuse
from pipelines.sources.options import PROMPT_COLUMNS


class ClassifyOptions(BaseModel):
    """Classify"""

    labels: tuple[str, ...] = Field((), description="A label. Repeat for more.")
    taxonomy: str | None = Field(None, description="YAML or JSON file with the labels: a list, or "
        "nested mappings whose labels become paths, animal/cat.")  # fmt: skip
    multi: bool = Field(False, description="Several labels may apply: ask for each by itself.")
    calibrate: str | None = Field(None, description="Correct the probabilities by rows whose truth "
        "is known: the output of an earlier run, or a Parquet or CSV file with its "
        "columns.")  # fmt: skip
    truth_column: str | None = Field(None, description="Column with the true label, or labels: for "
        "the figures at the end, and for --calibrate.")  # fmt: skip
    text_column: str | None = Field(None, description="Column with a text to label, with the "
        "pictures if there are any. Default: the pictures alone.")  # fmt: skip
    pictures: bool = Field(True, description="Show the row's pictures to the model.")


def make_classify(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    check_classify(options, columns)
    labels = read_labels(options.labels, options.taxonomy)
    return classify(
        labels,
        several=options.multi,
        prompt=options.prompt,
        text_column=options.text_column,
        in_manifest=columns,
        calibration=calibration_of(options, labels),
        max_new_tokens=options.max_new_tokens,
    )


def classify_needs(options: Any) -> InputNeeds:
    texts = () if options.text_column is None else (options.text_column,)
    return InputNeeds(
        media_optional=bool(texts),
        without_media=not options.pictures,
        prompt_columns=tuple(dict.fromkeys((*PROMPT_COLUMNS, *texts))),
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
    if options.calibrate is None:
        check_column(options, "truth_column", columns)
    if options.text_column is None:
        refuse(options, ("pictures",), "without them there is nothing to label; add --text-column")
    if options.n > 1:
        refuse(options, ("n",), "the probabilities are those of every answer already")


TASK = RegisteredTask(
    "classify",
    ClassifyOptions,
    make_classify,
    tiles=6,  # as for captions
    media=("image", "document", "video"),
    needs=classify_needs,
    examples=(
        Example(
            "`--labels A --labels B`",
            {"labels": ("A", "B")},
            reads="images, pages, videos; texts",
        ),
        Example(
            "`--multi`",
            {"labels": ("A", "B"), "multi": True},
            "images, pages, videos; texts",
        ),
    ),
)
