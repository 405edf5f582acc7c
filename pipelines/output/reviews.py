"""Marks that people give to units: ``reviews/*.parquet``, one row per mark, never changed and never
removed.

Each reviewing session writes files of its own, so several people may mark at the same time. A mark
holds all that its reviewer says of the unit from then on, so the latest mark of a reviewer counts
and the earlier ones are history.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from pipelines.output.folder import RESULTS, REVIEWS, OutputFolder
from pipelines.output.ownership import named_run
from pipelines.output.redo_note import redo_runs

Opinion = Literal["good", "bad"]
OPINIONS: tuple[Opinion, ...] = ("good", "bad")
DISPUTED = "disputed"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("mark", pa.string()),  # good or bad; null for a text or a note alone
        ("text", pa.string()),  # the answer as the reviewer edited it
        ("note", pa.string()),
        ("reviewer", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
REVIEWED = pa.schema(
    [
        ("id", pa.string()),
        ("review", pa.string()),
        ("review_text", pa.string()),
        ("review_note", pa.string()),
        ("reviewers", pa.int32()),
        ("reviewed_at", pa.timestamp("us", "UTC")),
    ]
)
# a session's current file is written again with each mark; this bounds what that costs
_ROWS_A_FILE = 100


@dataclass(frozen=True)
class Mark:
    """What a reviewer says of a unit; one that says nothing withdraws the earlier ones.

    Args:
        id: The unit.
        reviewer: Who says it.
        at: When.
        mark: "good", "bad", or None for a text or a note alone.
        text: The answer as it should be; None if it was not edited.
        note: A remark.
    """

    id: str
    reviewer: str
    at: datetime
    mark: str | None = None
    text: str | None = None
    note: str | None = None

    @property
    def says_something(self) -> bool:
        return self.mark is not None or self.text is not None or self.note is not None


class ReviewSession:
    """One reviewer's marks in one session; each is in the output before `add` returns. Safe from
    several threads.

    Args:
        output: The output that is reviewed.
        reviewer: Name of the reviewer.
        earlier: Marks that are in the output already.
    """

    def __init__(self, output: OutputFolder, reviewer: str, earlier: Iterable[Mark] = ()) -> None:
        self.reviewer = reviewer
        self._output, self._lock = output, threading.Lock()
        self._name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        self._file: list[Mark] = []
        self._files = 0
        self._undo: list[tuple[str, Mark | None]] = []
        self._latest = latest_marks(mark for mark in earlier if mark.reviewer == reviewer)

    def add(
        self, id: str, mark: str | None = None, text: str | None = None, note: str | None = None
    ) -> Mark:
        """Says something of a unit, in place of what this reviewer said of it before.

        Raises:
            ConfigurationError: ``mark`` is neither good nor bad.
            OSError: The store refused, or did not recover in about four minutes.
        """
        if mark is not None and mark not in OPINIONS:
            raise ConfigurationError(f"mark {mark!r} is not allowed: {' or '.join(OPINIONS)}.")
        with self._lock:
            before = self._latest.get((id, self.reviewer))
            added = self._write(
                Mark(id, self.reviewer, datetime.now(UTC), mark, text or None, note or None)
            )
            self._undo.append((id, before))
            return added

    def undo(self) -> Mark | None:
        """Says again what was said before the last mark of this session; None if there is none left
        to undo."""
        with self._lock:
            if not self._undo:
                return None
            id, before = self._undo[-1]
            said = (before.mark, before.text, before.note) if before else (None, None, None)
            added = self._write(Mark(id, self.reviewer, datetime.now(UTC), *said))
            self._undo.pop()
            return added

    def _write(self, mark: Mark) -> Mark:
        rows = [*self._file, mark]
        self._output.write_table(
            f"{REVIEWS}/{self._name}-{self._files:04d}.parquet", as_table(rows)
        )
        self._file = rows
        if len(rows) >= _ROWS_A_FILE:
            self._file, self._files = [], self._files + 1
        self._latest[mark.id, mark.reviewer] = mark
        return mark


def as_table(marks: Iterable[Mark]) -> pa.Table:
    return pa.Table.from_pylist(
        [{name: getattr(mark, name) for name in SCHEMA.names} for mark in marks], SCHEMA
    )


def read_marks(output: OutputFolder) -> list[Mark]:
    """Every mark in the output, the earliest first."""
    marks: list[Mark] = []
    for _, table in output.read_tables(REVIEWS, SCHEMA.names):
        marks.extend(Mark(**row) for row in table.cast(SCHEMA).to_pylist())
    return sorted(marks, key=lambda mark: mark.at)


def latest_marks(marks: Iterable[Mark]) -> dict[tuple[str, str], Mark]:
    """The mark that counts, for each unit and reviewer; withdrawn ones are left out."""
    latest: dict[tuple[str, str], Mark] = {}
    for mark in marks:
        known = latest.get((mark.id, mark.reviewer))
        if known is None or known.at <= mark.at:
            latest[mark.id, mark.reviewer] = mark
    return {key: mark for key, mark in latest.items() if mark.says_something}


def read_reviews(output: OutputFolder) -> pa.Table:
    """What is said of each reviewed unit, one row a unit, in the columns of `REVIEWED`.

    ``review`` is what most of its reviewers marked, and ``disputed`` if as many say good as bad. A
    mark is about the answer that was there: if the unit was answered again since, it does not
    count. ``review_text`` and ``review_note`` are the latest ones; a text that a person wrote
    counts whatever a model answers later.
    """
    marks = read_marks(output)
    return reviews_of(marks, answered_since(output, marks))


def reviews_of(marks: Iterable[Mark], answered: Mapping[str, datetime] | None = None) -> pa.Table:
    """The same for marks that are read already.

    Args:
        marks: The marks.
        answered: As from `answered_since`.
    """
    units: dict[str, list[Mark]] = {}
    for mark in sorted(latest_marks(marks).values(), key=lambda mark: mark.at):
        units.setdefault(mark.id, []).append(mark)
    since = answered or {}
    return pa.Table.from_pylist(
        [_review(id, said, since.get(id)) for id, said in units.items()], REVIEWED
    )


def answered_since(output: OutputFolder, marks: Collection[Mark]) -> dict[str, datetime]:
    """When units that have older marks were answered again: from when on a mark is about the answer
    that is there."""
    if not marks:
        return {}
    oldest = min(mark.at for mark in marks)
    named = [run[0] for name in output.files(RESULTS) if (run := named_run(name))]
    if all((at := _started(run)) is None or at <= oldest for run in (*named, *redo_runs(output))):
        return {}
    ids = pa.array({mark.id for mark in marks}, pa.string())
    found: dict[str, datetime] = {}
    for _, table in output.read_tables(RESULTS, ["id"], optional=["run_id"]):
        if "run_id" in table.column_names:
            rows = table.filter(pc.is_in(table["id"], value_set=ids)).to_pylist()
            found |= {
                row["id"]: at
                for row in rows
                if (at := _started(row["run_id"] or "")) and at > oldest
            }
    return found


def _started(run_id: str) -> datetime | None:
    """When a run began, rounded up to a second: no answer of it can have been seen before."""
    try:
        return datetime.strptime(run_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) + timedelta(
            seconds=1
        )
    except ValueError:
        return None


def _review(id: str, said: list[Mark], answered: datetime | None) -> dict[str, object]:
    """One unit's review, from the marks that count, the latest last."""
    return {
        "id": id,
        "review": _verdict([mark for mark in said if answered is None or mark.at >= answered]),
        "review_text": next((mark.text for mark in reversed(said) if mark.text is not None), None),
        "review_note": next((mark.note for mark in reversed(said) if mark.note is not None), None),
        "reviewers": len(said),
        "reviewed_at": said[-1].at,
    }


def _verdict(said: list[Mark]) -> str | None:
    counts = Counter(mark.mark for mark in said if mark.mark is not None).most_common()
    if not counts:
        return None
    return DISPUTED if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]
