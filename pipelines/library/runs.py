"""From URIs to an output folder: the same run as a job's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from internvl_ops.errors import ConfigurationError, keyword
from pipelines.library.keywords import in_python, options_from
from pipelines.options.job_options import JobOptions

if TYPE_CHECKING:
    from pipelines.fallback import Runs


@dataclass(frozen=True)
class Result:
    """What a run did.

    Args:
        status: ``done``; ``too many errors`` if more units failed than ``max_error_rate`` allows;
            ``nothing succeeded`` if all of them failed.
        output: The output folder.
        run_id: Name of the run in ``_runs/``.
        results: Units that have a result since this run.
        errors: Units that failed in this run.
        already_done: Units that had a result before.
        already_failed: Units that failed in an earlier run, and were not tried again.
        seconds: Duration of the run.
    """

    status: str
    output: str
    run_id: str
    results: int
    errors: int
    already_done: int
    already_failed: int
    seconds: float

    @property
    def results_path(self) -> str:
        """Folder of the Parquet files with one row per finished unit, of all runs."""
        return f"{self.output.rstrip('/')}/results"

    @property
    def errors_path(self) -> str:
        """Folder of the Parquet files with one row per failed unit."""
        return f"{self.output.rstrip('/')}/errors"

    @property
    def report_path(self) -> str:
        """The report of the run."""
        return f"{self.output.rstrip('/')}/_runs/{self.run_id}/report.html"


class RunFailed(RuntimeError):
    """A run ended early. What it wrote is valid, and the same call goes on from there."""


def run_to_folder(
    cls: type[JobOptions],
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    values: Mapping[str, Any],
) -> Result:
    """Runs a task over a manifest, a folder or a glob, and writes the output folder.

    Args:
        cls: Options of the task's job.
        source: As ``--input``.
        output: As ``--output``.
        values: The other options.

    Raises:
        ConfigurationError: An option is wrong, or the cluster is too small; nothing was read.
        RunFailed: The pipeline failed.
        KeyboardInterrupt: The run was interrupted, after it wrote what was finished.
        OSError: The output could not be written.
    """
    from pipelines.commands.job import check_job, fallback_of

    with in_python():
        options = options_from(
            cls, {**values, "input": os.fspath(source), "output": os.fspath(output)}
        )
        if options.shards > 1:
            raise ConfigurationError(
                f"{keyword('shards', options.shards)}: parts are processes of the command "
                "internvl-batch; a call runs one of them, by shard."
            )
        plan, checkpoint, task = check_job(options, cls.make_task)
        # Ray takes seconds to import; what is wrong is said before.
        second = fallback_of(options, plan, cls.make_task)
        from pipelines.fallback import annotate_all
        from pipelines.wiring.engines import check_endpoint

        for one in (options, second.options) if second else (options,):
            check_endpoint(one)
        runs = annotate_all(options, plan, checkpoint, task, second)
    record = runs.last
    if record.status == "interrupted":
        raise KeyboardInterrupt
    if runs.exit_status == 1:
        raise RunFailed(
            f"{record.status}: {record.ended}" if record.ended != "done" else record.summary()
        )
    return _result(options, runs)


def _result(options: JobOptions, runs: Runs) -> Result:
    counts = runs.first.counts
    assert counts is not None, "annotate has finished the record"
    return Result(
        status=runs.status,
        output=options.output,
        run_id=runs.first.run_id,
        results=counts.results + runs.mended,
        errors=max(0, counts.errors - runs.mended),
        already_done=counts.already_done,
        already_failed=counts.already_failed,
        seconds=runs.first.seconds + (runs.second.seconds if runs.second else 0),
    )
