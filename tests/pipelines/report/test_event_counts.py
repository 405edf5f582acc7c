"""The events of a run, counted: bounded, with the first and the last time, and an example."""

from __future__ import annotations

import logging

import pytest

from internvl_ops.errors import keyword
from internvl_ops.events import listening, note
from pipelines import patience
from pipelines.ledger.relay import MAX_WAITING as WAITING
from pipelines.ledger.relay import Mailbox, Relay
from pipelines.report.event_counts import MAX_SORTS, EventCounts

logger = logging.getLogger("pipelines.somewhere")


def worker_event(number: int) -> dict[str, object]:
    return {"logger": "internvl_ops.x", "level": logging.WARNING, "event": "engine_died",
            "message": f"death {number}", "fields": {}, "at": 1000.0 + number}  # fmt: skip


class Ledger(Mailbox):
    def events(self, start: int) -> list[tuple[int, dict[str, object]]]:
        return self.read(start)


def test_count_first_last_and_example() -> None:
    counts = EventCounts()
    for at, example in [(1000.0, "first"), (3000.0, "last"), (2000.0, "between")]:
        counts.add("engine_died", example, at=at)
    assert counts.as_list() == [
        {
            "event": "engine_died",
            "count": 3,
            "first": "1970-01-01T00:16:40+00:00",
            "last": "1970-01-01T00:50:00+00:00",
            "example": "first",
        }
    ]


def test_the_example_names_options() -> None:
    counts = EventCounts()
    with listening(counts):
        note(logger, "engine_not_started", f"Lower {keyword('max_tiles')}.")
    assert counts.as_list()[0]["example"] == "Lower --max-tiles."


def test_events_are_counted_while_it_listens_and_other_records_never() -> None:
    counts = EventCounts()
    with listening(counts):
        note(logger, "store_away", "away")
        note(logger, "progress", "10 units", level=logging.INFO)
        logger.warning("no event")
    note(logger, "store_away", "after the run")
    assert [(one["event"], one["count"]) for one in counts.as_list()] == [("store_away", 1)]


def test_any_number_of_sorts_takes_bounded_room() -> None:
    counts = EventCounts()
    for number in range(1000):
        counts.add(f"sort-{number}", "x" * 10_000)
    found = counts.as_list()
    assert len(found) == MAX_SORTS + 1
    assert sum(int(str(one["count"])) for one in found) == 1000
    assert max(len(str(one["example"])) for one in found) <= 300


def test_events_of_workers_are_counted_once_however_often_they_are_read() -> None:
    ledger, counts = Ledger(), EventCounts()
    relay = Relay(ledger)
    with listening(counts):
        for number in range(5):
            ledger.put(worker_event(number))
            relay.look()
            relay.look()
    (found,) = counts.as_list()
    assert (found["count"], found["example"]) == (5, "death 0")


def test_what_came_too_fast_is_said() -> None:
    ledger, counts = Ledger(), EventCounts()
    for number in range(WAITING + 7):
        ledger.put(worker_event(number))
    with listening(counts):
        Relay(ledger).look()
    found = {one["event"]: one for one in counts.as_list()}
    assert found["engine_died"]["count"] == WAITING
    assert str(found["events_left_out"]["example"]).startswith("7 events")


def test_what_came_last_is_logged_before_the_relay_ends() -> None:
    ledger, counts = Ledger(), EventCounts()
    with listening(counts), Relay(ledger):
        ledger.put(worker_event(1))
    assert [one["count"] for one in counts.as_list()] == [1]


def test_a_store_that_fails_is_away_once_and_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: None)
    answers = [OSError("https://u:s3cret@host/ is down")] * 3
    counts = EventCounts()
    with listening(counts):

        def work() -> str:
            if answers:
                raise answers.pop()
            return "done"

        assert patience.patiently(work, "s3://b/out could not be listed") == "done"
        assert patience.patiently(work, "s3://b/out could not be listed") == "done"
    assert [(one["event"], one["count"]) for one in counts.as_list()] == [
        ("store_away", 1),
        ("store_back", 1),
    ]
    assert "s3cret" not in str(counts.as_list())
