"""The command that exports an output: validate first, write, say what became of each row."""

from __future__ import annotations

import errno
import logging
import sys
from typing import TYPE_CHECKING, NoReturn

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from pipelines.exports.answers import open_answers
from pipelines.exports.counts import ExportCounts
from pipelines.exports.hub import check_push, push
from pipelines.exports.judged import read_judged
from pipelines.exports.options import ExportOptions
from pipelines.interruption import Interrupted, end, phase, say
from pipelines.options.apart import WRITTEN, check_apart_from_output
from pipelines.options.command_line import Mode, show
from pipelines.output.folder import OutputFolder
from pipelines.ray_address import check_ray_job
from pipelines.report.logs import configure, fail
from pipelines.sources.storage import check_scheme, kind_of

if TYPE_CHECKING:
    from pipelines.exports.run import PlannedExport

logger = logging.getLogger(__name__)


def run(options: ExportOptions, mode: Mode) -> NoReturn:
    """Exports as the options ask, and ends the process.

    Exit status: 0 done; 1 failed or interrupted; 2 wrong configuration, said before anything is
    written.
    """
    configure(as_json=options.log_json)
    try:
        with phase("holding"):
            planned = plan(options)
            if options.dry_run:
                show(planned.describe())
                sys.exit(0)
            counts = planned.write()
            pushed = [f"  hub       {push(options)}"] if options.push_to_hub else []
    except Interrupted:
        say("Interrupted. No half export is visible; the same command goes on from here.")
        end()
    except ConfigurationError as error:
        fail(error, 2, logger, as_json=options.log_json)
    except OSError as error:
        fail(_in_words(error, options), 1, logger, as_json=options.log_json)
    show("\n".join(["Done.", *counts.lines(), f"  export    {safe_uri(options.output)}", *pushed]))
    sys.exit(0)


def export(options: ExportOptions) -> ExportCounts:
    """Exports an output.

    Returns:
        What became of its rows.

    Raises:
        ConfigurationError: As the command line would say it.
        OSError: The store did not take a file.
    """
    return plan(options).write()


def plan(options: ExportOptions) -> PlannedExport:
    """Checks an export; writes nothing.

    Raises:
        ConfigurationError: As the command line would say it.
    """
    check_ray_job(options)
    check_push(options)
    output = _opened(options)
    answers = open_answers(output, media_column=options.media_column, media_root=options.media_root)
    _check_ended(options, output)
    from pipelines.exports.run import plan_export  # imported once the options are checked

    judged = read_judged(
        output,
        answers.schema.names,
        verdicts=options.verdicts,
        reviews=options.reviews,
        take=options.take,
    )
    return plan_export(options, output, answers, judged)


def _opened(options: ExportOptions) -> OutputFolder:
    """The output that is exported, after checking that the export stands apart from it.

    Raises:
        ConfigurationError: It is not there, or the two overlap.
    """
    uri = check_scheme("--input", options.input)
    if kind_of(uri) != "directory":
        raise ConfigurationError(
            f"--input {safe_uri(options.input)}: no such folder. Give the --output of a job that"
            " has written answers."
        )
    target = check_scheme("--output", options.output)
    own = [uri, *(f"{uri}/{name}" for name in WRITTEN)]
    check_apart_from_output(options.input, options.output, target, own)
    return OutputFolder(uri)


def _check_ended(options: ExportOptions, output: OutputFolder) -> None:
    """Refuses an output that a run is writing to.

    Raises:
        ConfigurationError: Naming the run.
    """
    from pipelines.output.lease import running

    run = running(output)
    if run is None:
        return
    if not options.while_running:
        raise ConfigurationError(
            f"--input {safe_uri(options.input)}: run {run} is writing to it. Wait until it ends, or"
            " add --while-running to export the rows that are there."
        )
    note(
        logger,
        "notice",
        f"Note: run {run} is writing to the input; the export has the rows that are there now.",
    )


def _in_words(error: OSError, options: ExportOptions) -> OSError:
    """The error, with what to do about it."""
    cause: BaseException | None = error
    while cause is not None and not (
        isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    ):
        cause = cause.__cause__
    if cause is None:
        return error
    where = safe_uri(options.output)
    return OSError(
        f"--output {where}: no space left for the export. Nothing of it is visible; what was there"
        " before still is. Make room and repeat the command, which goes on from here; or remove"
        f" {where}/.unfinished."
    )
