"""The command that merges the small files of an output."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from pipelines.interruption import Interrupted, end, phase, say
from pipelines.options.command_line import Mode, show
from pipelines.options.numbers import MebiBytes
from pipelines.output.compaction import Compacted, compact, groups
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.ownership import new_run_id
from pipelines.report.logs import configure, fail

logger = logging.getLogger(__name__)


class CompactOptions(BaseModel):
    """Output"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: str = Field(
        description="The --output of jobs: the folder that holds results/ and errors/."
    )
    file_mb: MebiBytes = Field(128, description="Size of a full file, in MiB. Files of at "
        "least half of it stay as they are.")  # fmt: skip
    dry_run: bool = Field(False, description="Say what would be merged, and change nothing.")
    log_json: bool = Field(
        False, description="Write the log to standard error as JSON, one object per line."
    )


def run(options: CompactOptions, mode: Mode) -> NoReturn:
    """Merges the small files of an output, and ends the process.

    Exit status: 0 done; 1 failed or interrupted; 2 wrong configuration, said before anything is
    changed.
    """
    configure(as_json=options.log_json)
    try:
        with phase("holding"):
            done = compacted(options)
    except Interrupted:
        say("Interrupted. Every row is there; the same command goes on.")
        end()
    except ConfigurationError as error:
        fail(error, 2, logger, as_json=options.log_json)
    except OSError as error:
        fail(error, 1, logger, as_json=options.log_json)
    show(_summary(options, done))
    sys.exit(0)


def compacted(options: CompactOptions) -> Compacted:
    """Merges the small files, or counts what would be merged.

    Raises:
        ConfigurationError: There is no output, a run is writing to it, or an overwrite has not
            ended.
        OSError: The store did not take a file.
    """
    output = OutputFolder(options.output)
    output.check_listable()
    if not output.files(RESULTS) and not output.files(ERRORS):
        raise ConfigurationError(
            f"--output {safe_uri(options.output)}: no file in results/ or errors/. Give the"
            " --output of a job."
        )
    if options.dry_run:
        found = Compacted()
        for folder in (RESULTS, ERRORS):
            for _ in groups(output, folder, options.file_mb << 20, found):
                pass
        return found
    output.check_writable()
    with Lease(output, new_run_id(datetime.now(UTC))):
        return compact(
            output, options.file_mb << 20, told=lambda line: note(logger, "merged", line)
        )


def _summary(options: CompactOptions, done: Compacted) -> str:
    did = "would be" if options.dry_run else "are now"
    lines = [f"{safe_uri(options.output)}: {done.before:,} files {did} {done.after:,}"]
    if done.left:
        lines.append(f"  left      {done.left:,} files that no run of this program wrote")
    return "\n".join(lines)
