"""A run over some units of an earlier output, as its options say it: ``--only``, ``--only-in``,
``--join``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines.ledger.wanted import Wanted
from pipelines.options.job_options import JobOptions
from pipelines.output.choosing import Choice
from pipelines.output.folder import OutputFolder
from pipelines.output.overwrite import overwrite_id, overwriting_run
from pipelines.output.redo import FOLDERS, KEEPS_HISTORY, Replaced, finish_redo
from pipelines.output.redo_note import begin, earlier
from pipelines.output.settings import settings
from pipelines.sources.storage import check_scheme


@dataclass
class Again:
    """The units that a run goes over.

    Args:
        output: Output of the run.
        wanted: The chosen units.
        in_place: Whether their new rows replace rows of the same output.
        keep_history: Whether replaced rows are kept.
        replaced: What became of them, once the run has ended.
    """

    output: OutputFolder
    wanted: Wanted
    in_place: bool
    keep_history: bool = False
    replaced: Replaced | None = None

    @property
    def folders(self) -> Mapping[str, str] | None:
        """Where the run writes its rows; None for the folders of every run."""
        return FOLDERS if self.in_place else None

    @property
    def said(self) -> Mapping[bytes, bytes]:
        """For the metadata of these files."""
        return {KEEPS_HISTORY: b"yes"} if self.keep_history else {}

    def end(self) -> None:
        """Puts the new rows into their places."""
        if self.in_place:
            self.replaced = finish_redo(self.output)

    def summary(self, counted: int) -> dict[str, int]:
        """For the record of the run.

        Args:
            counted: Chosen units that the run has done, or failed to do.
        """
        said = {"chosen": len(self.wanted), "not_in_input": max(0, len(self.wanted) - counted)}
        return said | ({} if self.replaced is None else vars(self.replaced))


def choice_of(options: JobOptions) -> Choice:
    """The units that ``--only`` chooses.

    Raises:
        ConfigurationError: An option cannot be read.
    """
    assert options.only is not None, "only jobs with --only choose"
    joined = {}
    for text in options.join:
        name, equals, uri = text.partition("=")
        if not (equals and uri and name.isidentifier()) or name.casefold() in (
            "own",
            "units",
            "results",
            "reviews",
        ):
            raise ConfigurationError(
                f"--join {safe_uri(text)}: give a name and a URI, as in scores=/data/scores."
            )
        joined[name] = OutputFolder(check_scheme("--join", uri))
    source = check_scheme("--only-in", options.only_in) if options.only_in else options.output
    if options.only_in and _place(source) == _place(check_scheme("--output", options.output)):
        raise ConfigurationError(
            f"--only-in {safe_uri(options.only_in)} is --output itself. Leave it out to replace"
            " rows there, or give a new --output."
        )
    return Choice(options.only, OutputFolder(source), joined, replaced=not options.only_in)


def _place(uri: str) -> str:
    return uri.rstrip("/") if "://" in uri else os.path.realpath(uri)


def check_choice(options: JobOptions) -> None:
    """Refuses a condition that cannot be evaluated; reads no row.

    Raises:
        ConfigurationError: With DuckDB's reason.
    """
    if options.only is not None:
        choice_of(options).check()


def again_of(
    options: JobOptions, output: OutputFolder, task: Task, weights: str, run_id: str
) -> Again | None:
    """The units that a run goes over, for a run that holds its output; None if it does all of its
    input.

    Raises:
        ConfigurationError: The condition cannot be evaluated, or an overwrite has not ended.
    """
    if options.only is None:
        return None
    choice = choice_of(options)
    if options.only_in is not None:
        return Again(output, choice.units(), in_place=False)
    if run := overwriting_run(output):
        raise ConfigurationError(
            f"--only: run {run} began to replace everything in {safe_uri(output.uri)}"
            " (--overwrite), and did not end. Repeat its command first."
        )
    kind = overwrite_id(
        options.only, settings(options, task, weights) | {"join": sorted(options.join)}
    )
    wanted = choice.units(earlier(output, kind, options.retry_errors))
    if len(wanted):
        begin(output, run_id, kind)
    return Again(output, wanted, in_place=True, keep_history=options.keep_history)
