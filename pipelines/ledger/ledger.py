"""The book of one run: every unit of the input, and what became of it.

One Ray actor on the driver's node holds it. The source stage claims units here, the writer marks them written, and at
the end of the run a unit that was claimed and not written is a lost row, named by its place in the manifest. Units of
this run are kept in SQLite in a file without a name, so that memory does not grow with the input; those of earlier
runs, of which only a key is known, as `pipelines.ledger.finished`.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from pipelines.ledger.events import Mailbox
from pipelines.ledger.finished import UNSEEN, FinishedUnits, unit_key


class State(IntEnum):
    """What is known of a unit."""

    DONE_BEFORE = 0  # a result of an earlier run stands in results/
    FAILED_BEFORE = 1  # an error of an earlier run stands in errors/
    CLAIMED = 2  # read from the manifest in this run, not yet written
    RESULT = 3
    ERROR = 4
    EXPLODED = 5  # no unit itself: its pages or clips are


SKIP, RUN = 0, 1  # what claim() answers; n >= 2: the n-th occurrence of that id


@dataclass(frozen=True)
class Counts:
    """Units of one run. Conservation: ``units == results + errors + already_done + already_failed``."""

    units: int
    results: int
    errors: int
    already_done: int
    already_failed: int

    @property
    def lost(self) -> int:
        return self.units - self.results - self.errors - self.already_done - self.already_failed

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Book(Protocol):
    """What a run asks of its ledger: `Ledger` in a process, `pipelines.ledger.actor.RemoteLedger` on a cluster."""

    def claim(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]: ...

    def explode(self, parent: bytes, ids: Sequence[str], position: int) -> list[int]: ...

    def pending(self, keys: Sequence[bytes]) -> list[bool]: ...

    def written(self, keys: Sequence[bytes], state: State) -> None: ...

    def states(self, keys: Sequence[bytes]) -> list[int | None]: ...

    def skipped(self) -> int: ...

    def counts(self) -> Counts: ...

    def lost(self, limit: int = 20) -> list[int]: ...

    def events(self, start: int) -> list[tuple[int, dict[str, Any]]]: ...

    def take_events(self) -> None: ...


class Ledger:
    """See the module. Every method may be repeated with the same arguments: Ray retries calls.

    Not a Ray actor itself, so that it can be tested in a plain process; ``pipelines.annotate`` makes it one.
    """

    def __init__(self) -> None:
        self._skipped = 0
        self._mailbox = Mailbox()
        self._finished = FinishedUnits()
        # One writer and nothing to recover: the output is the checkpoint, the ledger is rebuilt from it. Its file loses
        # its name at once, so that however the process ends, nothing of it stays.
        with tempfile.TemporaryDirectory(prefix="internvl-ledger-") as folder:
            self._db = sqlite3.connect(Path(folder) / "units.db", isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA cache_size = -65536")
            self._db.execute(
                "CREATE TABLE units (key BLOB PRIMARY KEY, position INTEGER NOT NULL, state INTEGER NOT NULL) "
                "WITHOUT ROWID"
            )

    def ready(self) -> bool:
        """Answers once the actor runs."""
        return True

    def preload(self, keys: bytes, state: State) -> None:
        """Books units of earlier runs, before any other call.

        Args:
            keys: As `unit_key` makes them, one behind the other. A unit booked twice keeps its first state: a result
                outlives an old error.
            state: ``DONE_BEFORE`` or ``FAILED_BEFORE``.
        """
        self._finished.add(keys, int(state))

    def claim(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]:
        """Books manifest rows.

        Args:
            ids: Unit ids.
            positions: Where each stands in the manifest; tells a repeated id from the same row read again.

        Returns:
            For each row ``RUN``, ``SKIP`` (its result or its error stands already), or ``n >= 2``: the id was seen
            before, this is its n-th occurrence.
        """
        with self._transaction():
            return self._claim_all(ids, positions)

    def explode(self, parent: bytes, ids: Sequence[str], position: int) -> list[int]:
        """Books the pages or clips of a claimed file in its place.

        Args:
            parent: The file's key.
            ids: Of its units.
            position: Of the file in the manifest; that of its units, too.

        Returns:
            As `claim`.
        """
        with self._transaction():
            self._db.execute("UPDATE units SET state = ? WHERE key = ?", (int(State.EXPLODED), parent))
            return self._claim_all(ids, [position] * len(ids))

    def _claim_all(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]:
        keys = [unit_key(unit_id) for unit_id in ids]
        places = self._finished.find(keys).tolist()
        return [
            self._claim(unit_id, position, key, place)
            for unit_id, position, key, place in zip(ids, positions, keys, places, strict=True)
        ]

    def _claim(self, unit_id: str, position: int, key: bytes, place: int) -> int:
        occurrence = 1
        while True:
            known = self._finished.position(place) if place >= 0 else self._position(key)
            if known is None:
                self._db.execute("INSERT INTO units VALUES (?, ?, ?)", (key, position, int(State.CLAIMED)))
                return occurrence
            if known == UNSEEN:
                self._finished.meet(place, position)
                self._skipped += 1
                return SKIP
            if known == position:
                return SKIP if place >= 0 else occurrence
            occurrence += 1
            key = unit_key(unit_id, occurrence)
            (place,) = self._finished.find([key])

    def _position(self, key: bytes) -> int | None:
        row = self._db.execute("SELECT position FROM units WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def pending(self, keys: Sequence[bytes]) -> list[bool]:
        """Which of ``keys`` are not yet written in this run; of a key that comes twice, only the first."""
        first = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
        return [
            state == State.CLAIMED and first[key] == place
            for place, (key, state) in enumerate(zip(keys, self.states(keys), strict=True))
        ]

    def written(self, keys: Sequence[bytes], state: State) -> None:
        """Books units whose rows stand in a finished file."""
        with self._transaction():
            self._db.executemany("UPDATE units SET state = ? WHERE key = ?", ((int(state), key) for key in keys))

    def states(self, keys: Sequence[bytes]) -> list[int | None]:
        """The state of each key, ``None`` for an unknown one."""
        return [
            self._state(key) if place < 0 else self._finished.state(place)
            for key, place in zip(keys, self._finished.find(keys).tolist(), strict=True)
        ]

    def _state(self, key: bytes) -> int | None:
        row = self._db.execute("SELECT state FROM units WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def counts(self) -> Counts:
        """Units of the manifest by what became of them; rows of earlier runs that are not in it do not count."""
        by_state = self._finished.met() | dict(
            self._db.execute("SELECT state, COUNT(*) FROM units GROUP BY state").fetchall()
        )
        by_state.pop(State.EXPLODED, None)
        return Counts(
            units=sum(by_state.values()),
            results=by_state.get(State.RESULT, 0),
            errors=by_state.get(State.ERROR, 0),
            already_done=by_state.get(State.DONE_BEFORE, 0),
            already_failed=by_state.get(State.FAILED_BEFORE, 0),
        )

    def skipped(self) -> int:
        """Units of this run's manifest that needed no work, so far."""
        return self._skipped

    def lost(self, limit: int = 20) -> list[int]:
        """Positions of units that were read and never written."""
        rows = self._db.execute(
            "SELECT position FROM units WHERE state = ? ORDER BY position LIMIT ?", (int(State.CLAIMED), limit)
        )
        return [position for (position,) in rows]

    def put_event(self, event: dict[str, Any]) -> None:
        """Keeps an event of a worker for the driver; see `internvl_ops.events`."""
        self._mailbox.put(event)

    def events(self, start: int) -> list[tuple[int, dict[str, Any]]]:
        """Events of workers from number ``start`` on, each with its number."""
        return self._mailbox.read(start)

    def take_events(self) -> None:
        """Sends the events of this process here; nothing to do where the driver is the same process."""

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """BEGIN … COMMIT: a thousand inserts at once cost as much as one."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT")
