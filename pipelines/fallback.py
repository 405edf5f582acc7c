"""``--fallback``: once a model has done all it can, units that failed, looped or were cut are done
by another one.

The second model starts when the engines of the first have ended, so it has all GPUs. It is a run of
its own over the same output, like one with ``--only``: its rows replace those of the first, file by
file.
"""

from __future__ import annotations

from dataclasses import dataclass

from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines.annotate import annotate
from pipelines.options.job_options import JobOptions
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.report.record import RunRecord, exceeds
from pipelines.sources import SourcePlan
from pipelines.wiring.engines import Model
from pipelines.wiring.fallbacks import Fallback

# What another model may do better; a file that cannot be read is the same for each.
_FAILED = "errors.stage IN ('generate', 'parse') OR errors.kind = 'prompt_too_long'"
_LOOPED_OR_CUT = "finish_reason IN ('repetition', 'length')"


@dataclass(frozen=True)
class Runs:
    """The run of a job, and that of its fallback.

    Args:
        first: The run with ``--model``.
        second: The run with ``--fallback``; None if there is none, or the first did not end.
        max_error_rate: As the option, for both together.
    """

    first: RunRecord
    second: RunRecord | None = None
    max_error_rate: float = 1.0

    @property
    def last(self) -> RunRecord:
        """The one that says how the job ended."""
        return self.second or self.first

    @property
    def mended(self) -> int:
        """Units of the first run that failed there and have a result of the second."""
        return self.second.again.get("errors", 0) if self.second else 0

    @property
    def all_done(self) -> bool:
        return self.last.all_done

    @property
    def status(self) -> str:
        """As `RunRecord.status`, of both together."""
        if self.second is None:
            return self.first.status
        if not self.second.all_done:
            return self.second.status
        totals = self.first.totals
        if exceeds(
            totals.errors - self.mended, totals.results + totals.errors, self.max_error_rate
        ):
            return "too many errors"
        return "nothing succeeded" if self.first.nothing_succeeded and not self.mended else "done"

    @property
    def exit_status(self) -> int:
        return {"done": 0, "too many errors": 3, "nothing succeeded": 3}.get(self.status, 1)

    def summary(self) -> str:
        """The closing summary of a job."""
        if self.second is None:
            return self.first.summary()
        model = safe_uri(self.second.options.model)
        lines = [self.first.summary(), f"Fallback {model}:", self.second.summary()]
        if self.status == "too many errors":
            left = self.first.totals.errors - self.mended
            lines.append(
                f"{left:,} units still failed, more than --max-error-rate"
                f" {self.max_error_rate:.1%}."
            )
        return "\n".join(lines)


def annotate_all(
    options: JobOptions,
    plan: SourcePlan,
    checkpoint: Model | None,
    task: Task,
    second: Fallback | None,
) -> Runs:
    """Runs a job, and its fallback.

    Args:
        options: Of the job.
        plan: Plan of the input.
        checkpoint: As `annotate` takes it.
        task: As `annotate` takes it.
        second: The fallback; None for none.

    Raises:
        ConfigurationError: As `annotate`.
        OSError: As `annotate`.
    """
    if second is None:
        return Runs(annotate(options, plan, checkpoint, task))
    # Which units failed is known only after the fallback, so the first run does not end for too
    # many errors.
    first = annotate(options.model_copy(update={"max_error_rate": 1.0}), plan, checkpoint, task)
    if not first.all_done:
        return Runs(first)
    condition = _condition(OutputFolder(options.output))
    again = second.options.model_copy(update={"only": condition, "max_error_rate": 1.0})
    return Runs(
        first, annotate(again, plan, second.checkpoint, second.task), options.max_error_rate
    )


def _condition(output: OutputFolder) -> str:
    """Which units are done again."""
    results = output.files(RESULTS)
    has_reasons = bool(results) and "finish_reason" in output.read_schema(results[-1]).names
    return f"{_LOOPED_OR_CUT} OR {_FAILED}" if has_reasons else _FAILED
