"""The marks of one output while it is looked at: in its files, and in the database for conditions
and orders."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.output.reviews import (
    REVIEWED,
    Mark,
    ReviewSession,
    answered_since,
    latest_marks,
    read_marks,
    reviews_of,
)
from pipelines.viewer import statistics
from pipelines.viewer.database import Database
from pipelines.viewer.outputs import ViewedOutput


class Reviewing:
    """Reads and writes the marks of one output. Safe to use from several threads.

    Args:
        output: The output.
        number: Its number in the database.
        database: Gets the reviews, so that they are columns of the output's tables.
        reviewer: Name under which marks are written.
    """

    def __init__(
        self, output: ViewedOutput, number: int, database: Database, reviewer: str
    ) -> None:
        self._output, self._number, self._database = output, number, database
        self._lock = threading.Lock()
        self._marks: dict[str, dict[str, Mark]] = {}  # by unit and reviewer, the ones that count
        # when units with older marks were answered again
        self._answered: Mapping[str, datetime] = {}
        self.read_again()
        self._session = ReviewSession(
            output.folder, reviewer, [m for of in self._marks.values() for m in of.values()]
        )

    def read_again(self) -> None:
        """Takes over the marks of other reviewers that came since."""
        with self._lock:
            self._marks = {}
            for (id, reviewer), mark in latest_marks(read_marks(self._output.folder)).items():
                self._marks.setdefault(id, {})[reviewer] = mark
            marks = [mark for of in self._marks.values() for mark in of.values()]
            self._answered = answered_since(self._output.folder, marks)
            self._database.put_reviews(self._number, self._reviews(self._marks), all_of_them=True)

    def add(self, id: str, **said: str | None) -> dict[str, Any]:
        """Says something of a unit; in the output when this returns."""
        with self._lock:
            return self._take(self._session.add(id, **said))

    def undo(self) -> dict[str, Any]:
        """Takes back the last mark of this session."""
        with self._lock:
            mark = self._session.undo()
            return {"id": None} if mark is None else self._take(mark)

    def of(self, id: str) -> list[dict[str, Any]]:
        """What each reviewer says of a unit."""
        return [vars(mark) for mark in self._marks.get(id, {}).values()]

    @property
    def count(self) -> int:
        """Number of units with marks."""
        return len(self._marks)

    def summary(self, ids: Collection[str] | None) -> dict[str, Any]:
        """Shares and agreement; see `statistics.summary`."""
        marks = {
            (id, reviewer): mark
            for id, of in list(self._marks.items())
            for reviewer, mark in of.items()
        }
        return statistics.summary(marks, ids)

    def _take(self, mark: Mark) -> dict[str, Any]:
        of = self._marks.setdefault(mark.id, {})
        of.pop(mark.reviewer, None)
        if mark.says_something:
            of[mark.reviewer] = mark
        if not of:
            del self._marks[mark.id]
        reviews = self._reviews({mark.id: of})
        shown = (
            reviews
            if len(reviews)
            else pa.Table.from_pylist([{"id": mark.id, "reviewers": 0}], REVIEWED)
        )
        self._database.put_reviews(self._number, shown, all_of_them=False)
        return {
            "id": mark.id,
            "marks": [vars(one) for one in of.values()],
            "review": shown.to_pylist()[0],
        }

    def _reviews(self, marks: dict[str, dict[str, Mark]]) -> pa.Table:
        return reviews_of((mark for of in marks.values() for mark in of.values()), self._answered)
