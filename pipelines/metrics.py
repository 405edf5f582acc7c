"""The metrics of a run, as Ray's Prometheus endpoints have them: what there is, and what sends it.

The driver sends all of them, every `relay.LOOKS_EVERY_S`; Ray passes them on every ten seconds
(``RAY_metrics_report_interval_ms``), and once more when the driver ends. The numbers come from the
ledger, the totals of the writer and the measures, as those in ``run.json`` do.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray.util.metrics import Counter, Gauge

from internvl_ops.events import note
from pipelines.ledger.ledger import Book
from pipelines.output.lease import Lease
from pipelines.output.writer import Writer
from pipelines.report.record import RunRecord

logger = logging.getLogger(__name__)

PREFIX = "internvl_batch_"
OF_ALL = ("run", "task")  # labels that every metric has
RECENT_S = 10.0  # seconds of engines over which their requests are averaged


@dataclass(frozen=True)
class Metric:
    """One metric.

    Args:
        name: Its name after `PREFIX`.
        kind: A counter only grows. A gauge goes up and down, and ends with the run.
        meaning: What it is, for documentation and for the endpoint.
        labels: Its labels besides `OF_ALL`.
    """

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """Its name at the endpoint and in queries."""
        return f"ray_{PREFIX}{self.name}" + ("_total" if self.kind == "counter" else "")


METRICS = (
    Metric(
        "units_read", "counter", "units of the input that the run has met, whatever became of them"
    ),
    Metric("units_done", "counter", "units with a result in a file that this run has finished"),
    Metric(
        "units_failed",
        "counter",
        "units with an error in a file that this run has finished, by kind",
        ("kind",),
    ),
    Metric("units_already_done", "counter", "units that have a result of an earlier run"),
    Metric(
        "units_already_failed",
        "counter",
        "units that failed in an earlier run and are not tried again",
    ),
    Metric(
        "units_in_flight", "gauge", "units that were read and have no row in a finished file yet"
    ),
    Metric(
        "units_unaccounted",
        "gauge",
        "conservation: read, less done, failed, already done, already failed and in flight."
        " Anything but 0 is a lost or a doubled row; when a run is done, nothing is in flight, so"
        " units without a row count here",
    ),
    Metric("units_expected", "gauge", "units of the whole input, once they are known"),
    Metric(
        "prompt_tokens",
        "counter",
        "tokens of the prompts of finished units, those of images included",
    ),
    Metric("completion_tokens", "counter", "tokens of the answers of finished units"),
    Metric("tiles", "counter", "tiles of the images, pages and frames of finished units"),
    Metric(
        "stage_busy_share",
        "gauge",
        "share of the places of a stage (prepare, engine, write) that was in use since the first"
        " request; the fullest stage is what the others wait for",
        ("stage",),
    ),
    Metric(
        "engine_requests", "gauge", "requests that all engines held of late, running and queued"
    ),
    Metric(
        "engine_idle_share",
        "gauge",
        "share of the time since the first request in which engines had no request",
    ),
    Metric("gpu_idle_share", "gauge", "share of that time in which GPUs ran nothing"),
    Metric("engines_at_work", "gauge", "engines that have answered a request"),
    Metric(
        "events",
        "counter",
        "decisions and incidents, by event as in run.json: engine_restarted and actor_restarted are"
        " restarts, store_away and server_away waits for a store or a server",
        ("event",),
    ),
    Metric(
        "lease_age_seconds",
        "gauge",
        "seconds since the lease on the output was renewed; usually below 6",
    ),
    Metric("run_seconds", "gauge", "seconds since the run began"),
)

# by name and the values of the metric's own labels
Values = dict[tuple[str, tuple[str, ...]], float]


class RunMetrics:
    """Sends the metrics of one run.

    Args:
        record: Gives measures and events.
        ledger: Gives what is read and in flight.
        writer: Gives what is written.
        lease: Gives its age.
    """

    def __init__(self, record: RunRecord, ledger: Book, writer: Writer, lease: Lease) -> None:
        self._record, self._ledger, self._writer, self._lease = record, ledger, writer, lease
        self._labels = {"run": record.run_id, "task": record.task.name}
        self._began = time.monotonic()
        self._engines = (0.0, 0.0)
        self._requests: float | None = None
        self._sent: Values = {}
        self._said = False
        self.expected: int | None = None

    def look(self) -> None:
        """Sends what has changed. A metric that cannot be sent costs the run a notice."""
        self._send_safely()

    def finish(self) -> None:
        """Sends the last values, after the writer has closed."""
        self._send_safely(ended=self._record.ended == "done")

    def _send_safely(self, *, ended: bool = False) -> None:
        try:
            self.send(self.values(ended=ended))
        except Exception as error:
            if not self._said:
                self._said = True
                note(
                    logger,
                    "metrics_not_sent",
                    f"Metrics cannot be sent: {type(error).__name__}: {error}",
                )

    def values(self, *, ended: bool = False) -> Values:
        """The value of every metric that has one now.

        Args:
            ended: Whether the graph has run to its end, so that nothing is in flight any more.
        """
        found: Values = dict(self._units(ended))
        found |= {
            (name, ()): value for name, value in self._measured().items() if value is not None
        }
        shares = self._record.measures.stages() or {}
        found |= {("stage_busy_share", (stage,)): share for stage, share in shares.items()}
        found |= {
            ("events", (str(one["event"]),)): float(str(one["count"]))
            for one in self._record.events.as_list()
        }
        return found

    def _units(self, ended: bool) -> Iterator[tuple[tuple[str, tuple[str, ...]], float]]:
        with self._writer.counting:
            tally, totals = self._ledger.tally(), self._writer.totals
            kinds, done = dict(totals.kinds), totals.results
            written = {
                name: getattr(totals, name)
                for name in ("prompt_tokens", "completion_tokens", "tiles")
            }
        in_flight = 0 if ended else tally.in_flight
        accounted = done + sum(kinds.values()) + tally.skipped + in_flight
        sums = {
            "units_read": tally.read,
            "units_done": done,
            "units_already_done": tally.already_done,
            "units_already_failed": tally.already_failed,
            "units_in_flight": in_flight,
            "units_unaccounted": tally.read - accounted,
            **written,
        }
        yield from (((name, ()), value) for name, value in sums.items())
        yield from ((("units_failed", (kind,)), count) for kind, count in kinds.items())

    def _measured(self) -> Mapping[str, float | None]:
        measures = self._record.measures
        device = measures.device()
        return {
            "units_expected": self.expected,
            "engine_requests": self._engine_requests(),
            "engine_idle_share": device["engine_idle_share"],
            "gpu_idle_share": device["gpu_idle_share"],
            "engines_at_work": device["engines_at_work"],
            "lease_age_seconds": round(self._lease.age, 1),
            "run_seconds": round(time.monotonic() - self._began, 1),
        }

    def _engine_requests(self) -> float | None:
        """Average number of requests in all engines since the last reading that is some seconds
        old."""
        watched, held = self._record.measures.engine_seconds()
        watched_then, held_then = self._engines
        at_work = self._record.measures.engines_at_work
        if watched - watched_then >= RECENT_S:
            self._requests = round(at_work * (held - held_then) / (watched - watched_then), 1)
            self._engines = watched, held
        return self._requests

    def send(self, values: Values) -> None:
        """Gives Ray these values; of counters, what is more than before."""
        for (name, own), value in values.items():
            metric, instrument = _instrument(name)
            given = self._labels | dict(zip(metric.labels, own, strict=True))
            labels = {
                label: text.encode("ascii", "backslashreplace").decode()
                for label, text in given.items()
            }
            if metric.kind == "gauge":
                instrument.set(value, labels)
            elif (more := value - self._sent.get((name, own), 0)) > 0:
                instrument.inc(more, labels)
                self._sent[name, own] = value


@functools.cache
def _instrument(name: str) -> tuple[Metric, Any]:
    """A metric and Ray's object for it; Ray has one for each process."""
    (metric,) = (metric for metric in METRICS if metric.name == name)
    kind: Any = Counter if metric.kind == "counter" else Gauge
    return metric, kind(PREFIX + name, metric.meaning, (*OF_ALL, *metric.labels))


def metrics_table() -> str:
    """All metrics as a Markdown table."""
    lines = ["| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.exported}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(lines)
