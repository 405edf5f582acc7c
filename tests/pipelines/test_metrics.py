"""What Prometheus gets of a run, at any moment of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import RUN, SKIP, Ledger, State
from pipelines.metrics import METRICS, RunMetrics
from pipelines.output.folder import OutputFolder
from pipelines.output.result_columns import result_schema
from pipelines.output.writer import Writer
from pipelines.report.event_counts import EventCounts
from pipelines.report.measures import Measures
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table
from tests.pipelines.runs import OneCallAtATime

LEASE = SimpleNamespace(age=2.5)


def record(ended: str = "done") -> SimpleNamespace:
    return SimpleNamespace(
        run_id="r1", task=CAPTION, measures=Measures(), events=EventCounts(), ended=ended
    )


def kind_of(unit_id: str, answer: int) -> str | None:
    """What becomes of a unit that was claimed with this answer."""
    if answer > RUN:
        return "duplicate_id"
    return "corrupt" if "x" in unit_id else None


def units(metrics: RunMetrics, **options: bool) -> dict[str, float]:
    found = metrics.values(**options)
    failed = sum(value for (name, _), value in found.items() if name == "units_failed")
    return {
        name.removeprefix("units_"): value for (name, own), value in found.items() if not own
    } | {"failed": failed}


@settings(deadline=None, max_examples=50)  # of files and a thread
@given(
    ids=st.lists(st.text("abcdefx", min_size=1, max_size=2), max_size=20),
    done=st.sets(st.text("abcdefx", min_size=1, max_size=2), max_size=5),
    failed_before=st.sets(st.text("abcdefx", min_size=1, max_size=2), max_size=5),
    batch=st.integers(1, 6),
    twice=st.booleans(),
)
def test_read_is_done_and_failed_and_in_flight_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory,
    ids: list[str],
    done: set[str],
    failed_before: set[str],
    batch: int,
    twice: bool,
) -> None:
    book = Ledger()
    book.preload(b"".join(map(unit_key, done)), State.DONE_BEFORE)
    book.preload(b"".join(map(unit_key, failed_before)), State.FAILED_BEFORE)
    ledger = OneCallAtATime(book)
    output = OutputFolder(str(tmp_path_factory.mktemp("out")))
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    with Writer(output, ledger, schema, run_id="r1", model="tiny", rows_per_file=2) as writer:
        metrics = RunMetrics(record(), ledger, writer, LEASE)
        for start in range(0, len(ids), batch):
            part = ids[start : start + batch]
            for _ in range(1 + twice):  # Ray repeats calls
                answers = ledger.claim(part, range(start, start + len(part)))
            finished = [
                row(
                    unit_id,
                    kind="duplicate_id" if answer > RUN else "corrupt" if "x" in unit_id else None,
                    occurrence=answer,
                )
                for unit_id, answer in zip(part, answers, strict=True)
                if answer != SKIP
            ]
            if finished:
                writer.add(table(finished))
                if twice:
                    writer.add(table(finished))
            assert units(metrics)["unaccounted"] == 0
    said, counts = units(metrics, ended=True), ledger.counts()
    assert (said["unaccounted"], said["in_flight"]) == (0, 0)
    assert said["read"] == counts.units
    assert (said["done"], said["failed"]) == (counts.results, counts.errors)
    assert (said["already_done"], said["already_failed"]) == (
        counts.already_done,
        counts.already_failed,
    )


def test_a_lost_row_is_in_flight_until_the_end_and_unaccounted_then(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.claim(["a", "b"], [0, 1])
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    with Writer(
        OutputFolder(str(tmp_path)), ledger, schema, run_id="r1", model="tiny", rows_per_file=1
    ) as writer:
        metrics = RunMetrics(record(), ledger, writer, LEASE)
        writer.add(table([row("a")]))
    assert (units(metrics)["in_flight"], units(metrics)["unaccounted"]) == (1, 0)
    assert (units(metrics, ended=True)["in_flight"], units(metrics, ended=True)["unaccounted"]) == (
        0,
        1,
    )


def test_a_file_in_place_of_pages_is_no_unit(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.claim(["a.pdf"], [0])
    for _ in range(2):
        ledger.explode(unit_key("a.pdf"), ["a.pdf#page=1", "a.pdf#page=2"], 0)
    tally = ledger.tally()
    assert (tally.read, tally.in_flight) == (2, 2)


def test_every_value_has_the_labels_of_its_metric(tmp_path: Path) -> None:
    made = record()
    made.events.add("engine_restarted", "again", count=3)
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    with Writer(OutputFolder(str(tmp_path)), Ledger(), schema, run_id="r1", model="tiny") as writer:
        values = RunMetrics(made, Ledger(), writer, LEASE).values()
    known = {metric.name: metric for metric in METRICS}
    assert all(len(own) == len(known[name].labels) for name, own in values)
    assert values["events", ("engine_restarted",)] == 3
    assert values["lease_age_seconds", ()] == 2.5


def test_ray_takes_every_metric_and_of_a_counter_what_is_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added: list[float] = []
    monkeypatch.setattr(
        "ray.util.metrics.Counter.inc", lambda self, value, tags: added.append(value)
    )
    for metric in METRICS:
        metrics = RunMetrics(record(), Ledger(), SimpleNamespace(), LEASE)
        for value in (3, 3, 4.5):
            metrics.send({(metric.name, tuple("Größe" for _ in metric.labels)): value})
        assert added == ([3, 1.5] if metric.kind == "counter" else [])
        added.clear()
