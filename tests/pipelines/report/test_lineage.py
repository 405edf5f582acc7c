"""What a lineage service is told of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import caption
from pipelines.interruption import Interrupted
from pipelines.ledger.ledger import Counts
from pipelines.options.tasks import job_options
from pipelines.output.folder import OutputFolder
from pipelines.report.lineage import check_lineage, lineage
from pipelines.report.record import RunRecord


@pytest.fixture
def events_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the library's own file transport writes."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(path))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    return path


def record(tmp_path: Path, **options: Any) -> RunRecord:
    given = {
        "input": "s3://photos:pass@in/day.jsonl",
        "output": str(tmp_path / "out"),
        "model": "m",
        "openlineage": True,
    }
    made = job_options("caption")(**given | options)
    return RunRecord(made, caption(), OutputFolder(made.output))


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_event_at_the_start_and_one_at_the_end_with_the_counts(
    tmp_path: Path, events_at: Path
) -> None:
    run = record(tmp_path)
    with lineage(run):
        run.ended, run.counts = (
            "done",
            Counts(units=12, results=9, errors=1, already_done=2, already_failed=0),
        )
    start, end = events(events_at)
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == end["run"]["runId"]
    assert end["job"] == {
        **end["job"],
        "namespace": "internvl-batch",
        "name": f"caption {tmp_path}/out",
    }
    (read,) = end["inputs"]
    assert (read["namespace"], read["name"]) == ("s3://in", "day.jsonl")
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 12
    written = {
        place["name"]: place["outputFacets"]["outputStatistics"]["rowCount"]
        for place in end["outputs"]
    }
    assert written == {f"{tmp_path}/out/results": 9, f"{tmp_path}/out/errors": 1}
    parameters = {
        one["key"]: one["value"]
        for one in start["run"]["facets"]["executionParameters"]["parameters"]
    }
    assert parameters["max_tiles"] == str(run.options.max_tiles)
    assert "pass" not in events_at.read_text()


@pytest.mark.parametrize(
    ("ended", "said"), [("interrupted", "ABORT"), ("vLLM did not start", "FAIL")]
)
def test_how_a_run_ended_is_said(tmp_path: Path, events_at: Path, ended: str, said: str) -> None:
    run = record(tmp_path)
    with lineage(run):
        run.ended, run.counts = ended, Counts(2, 1, 0, 0, 0)
    end = events(events_at)[-1]
    assert end["eventType"] == said
    if said == "FAIL":
        assert end["run"]["facets"]["errorMessage"]["message"] == ended


@pytest.mark.parametrize(
    ("error", "said"), [(OSError("disk full"), "FAIL"), (Interrupted(), "ABORT")]
)
def test_an_exception_is_the_end_and_goes_on(
    tmp_path: Path, events_at: Path, error: Exception, said: str
) -> None:
    with pytest.raises(type(error)), lineage(record(tmp_path)):
        raise error
    assert [event["eventType"] for event in events(events_at)] == ["START", said]


def test_nothing_is_sent_unasked(tmp_path: Path, events_at: Path) -> None:
    with lineage(record(tmp_path, openlineage=False)):
        pass
    assert not events_at.exists()


def test_a_service_that_is_away_costs_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__RETRY", '{"total": 0}')
    run = record(tmp_path)
    with lineage(run):
        run.ended, run.counts = "done", Counts(1, 1, 0, 0, 0)
    assert [one.event for one in caplog.records if hasattr(one, "event")] == [
        "lineage_not_sent"
    ] * 2


def test_without_a_destination_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    check_lineage(False)
    with pytest.raises(ConfigurationError, match="--openlineage: nothing says where events go"):
        check_lineage(True)
