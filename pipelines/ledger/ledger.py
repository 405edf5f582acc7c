"""The book of one run: every unit of the input and its state.

One Ray actor on the driver's node holds it. The source stage claims units here, and the writer
marks them as written. At the end of the run, a unit that was claimed and not written is a lost row;
its place in the manifest is reported. Units of this run are kept in SQLite, in a file without a
name, so memory does not grow with the input. For units of earlier runs only keys are kept, in
`pipelines.ledger.finished`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Protocol

from internvl_ops.scratch import ScratchFolder
from pipelines.ledger.finished import UNSEEN, FinishedUnits, PartsOfFiles, unit_key
from pipelines.ledger.relay import Mailbox
from pipelines.ledger.shard import RowSum
from pipelines.ledger.wanted import Wanted


class State(IntEnum):
    """The state of a unit."""

    DONE_BEFORE = 0  # an earlier run wrote its result to results/
    FAILED_BEFORE = 1  # an earlier run wrote its error to errors/
    CLAIMED = 2  # read from the manifest in this run, not yet written
    RESULT = 3
    ERROR = 4
    EXPLODED = 5  # not a unit itself: its pages or clips are


SKIP, RUN = 0, 1  # answers of claim(); n >= 2: the n-th occurrence of that id


@dataclass(frozen=True)
class Counts:
    """Counts of the units of one run. Conservation: ``units == results + errors + already_done +
    already_failed``."""

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


@dataclass(frozen=True)
class Tally:
    """How far a run is, counted as it goes; `Counts` are counted anew from the book at the end.

    Args:
        read: Units of the manifest that were met so far.
        already_done: Those of them that have a result of an earlier run.
        already_failed: Those that failed in an earlier run and are not tried again.
        in_flight: Those that this run has to do and has not written.
    """

    read: int
    already_done: int
    already_failed: int
    in_flight: int

    @property
    def skipped(self) -> int:
        """Units that need no work."""
        return self.already_done + self.already_failed


class Claims(Protocol):
    """The part of the ledger that the stages need: it hands out units, and takes what the workers
    report."""

    def claim(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]: ...

    def explode(self, parent: bytes, ids: Sequence[str], position: int) -> list[int]: ...

    def take_events(self) -> None: ...

    def put_decoder(self, worker: str, confinement: str) -> None: ...

    def put_split(self, number: int, rows: RowSum, own: RowSum) -> None: ...


class Book(Claims, Protocol):
    """The ledger's interface: `Ledger` within a process, `pipelines.ledger.actor.RemoteLedger` on a
    cluster."""

    def pending(self, keys: Sequence[bytes]) -> list[bool]: ...

    def written(self, keys: Sequence[bytes], state: State) -> None: ...

    def states(self, keys: Sequence[bytes]) -> list[int | None]: ...

    def tally(self) -> Tally: ...

    def counts(self) -> Counts: ...

    def lost(self, limit: int = 20) -> list[int]: ...

    def events(self, start: int) -> list[tuple[int, dict[str, Any]]]: ...

    def decoders(self) -> list[str]: ...

    def rows_read(self) -> tuple[RowSum, RowSum]: ...


class Ledger:
    """See the module. Every method may be repeated with the same arguments, because Ray retries
    calls.

    This class is not a Ray actor itself, so that it can be tested in a plain process.
    `pipelines.ledger.actor` makes one.
    """

    def __init__(self) -> None:
        self._skipped: Counter[int] = Counter()  # by their state
        self._claimed = self._written = 0
        self._mailbox = Mailbox()
        self._finished = FinishedUnits()
        self._wanted: Wanted | None = None
        self._decoders: dict[str, str] = {}
        self._splits: dict[int, tuple[RowSum, RowSum]] = {}
        # There is one writer and nothing to recover: the ledger is rebuilt from the output, which
        # is the checkpoint. The file is unlinked at once, so nothing of it remains, however the
        # process ends.
        with ScratchFolder() as folder:
            self._db = sqlite3.connect(
                folder / "units.db", isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA cache_size = -65536")
            self._db.execute(
                "CREATE TABLE units (key BLOB PRIMARY KEY, position INTEGER NOT NULL, state INTEGER"
                " NOT NULL) WITHOUT ROWID"
            )

    def put_decoder(self, worker: str, confinement: str) -> None:
        """Books how the decoder of a worker is confined.

        Args:
            worker: Name of the worker.
            confinement: JSON of `internvl_ops.media.sandbox_confinement.Confinement`, as the
                worker's node has it.
        """
        self._decoders[worker] = confinement

    def decoders(self) -> list[str]:
        """What the workers have booked, one value a worker."""
        return list(self._decoders.values())

    def put_split(self, number: int, rows: RowSum, own: RowSum) -> None:
        """Books that a split of the manifest was read to its end.

        Args:
            number: Number of the split.
            rows: All of its rows.
            own: Those that are this part's own.
        """
        self._splits[number] = rows, own

    def rows_read(self) -> tuple[RowSum, RowSum]:
        """The sums of what `put_split` booked."""
        total, own = RowSum(), RowSum()
        for one in self._splits.values():
            total, own = total + one[0], own + one[1]
        return total, own

    def ready(self) -> bool:
        """Returns once the actor runs."""
        return True

    def preload(self, keys: bytes, state: State, files: PartsOfFiles | None = None) -> None:
        """Books units of earlier runs, before any other call.

        Args:
            keys: Keys from `unit_key`, concatenated. A unit booked twice keeps its first state: a
                result outlives an old error.
            state: ``DONE_BEFORE`` or ``FAILED_BEFORE``.
            files: The file that each unit is a part of. A file whose units are all booked is
                skipped as a whole, so it is neither fetched nor split again.
        """
        self._finished.add(keys, int(state), files)

    def restrict(self, wanted: Wanted) -> None:
        """Hands out these units alone. Others that have no row of an earlier run are not counted at
        all."""
        self._wanted = wanted

    def claim(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]:
        """Books manifest rows.

        Args:
            ids: Unit ids.
            positions: Position of each row in the manifest; tells a repeated id from the same row
                read again.

        Returns:
            For each row ``RUN``, ``SKIP`` (it already has a result or an error), or ``n >= 2``: the
            id was seen before, and this is its n-th occurrence.
        """
        with self._transaction():
            return self._claim_all(ids, positions)

    def explode(self, parent: bytes, ids: Sequence[str], position: int) -> list[int]:
        """Books the pages or clips of a claimed file in place of the file.

        Args:
            parent: Key of the file.
            ids: Ids of its units.
            position: Position of the file in the manifest; its units have the same one.

        Returns:
            As `claim`.
        """
        with self._transaction():
            state = int(State.EXPLODED)
            changed = self._db.execute(
                "UPDATE units SET state = ?1 WHERE key = ?2 AND state <> ?1", (state, parent)
            )
            self._claimed -= changed.rowcount
            # the file itself failed before
            all_parts = self._wanted is None or self._wanted.has([parent])[0]
            return self._claim_all(ids, [position] * len(ids), all_wanted=all_parts)

    def _claim_all(
        self, ids: Sequence[str], positions: Sequence[int], *, all_wanted: bool = False
    ) -> list[int]:
        keys = [unit_key(unit_id) for unit_id in ids]
        places, files = (
            found.tolist() for found in (self._finished.find(keys), self._finished.find_whole(keys))
        )
        wanted = (
            [True] * len(keys)
            if all_wanted or self._wanted is None
            else self._wanted.leads_to(keys)
        )
        answers = []
        for unit_id, position, key, place, file, want in zip(
            ids, positions, keys, places, files, wanted, strict=True
        ):
            if file >= 0:
                answers.append(self._claim_whole(unit_id, position, file))
            elif want or place >= 0:
                answers.append(self._claim(unit_id, position, key, place))
            else:
                answers.append(SKIP)
        return answers

    def _claim_whole(self, unit_id: str, position: int, file: int) -> int:
        """Books a file of which earlier runs finished every unit, unless another row of the same id
        was that file."""
        known = self._finished.position_of_whole(file)
        if known == UNSEEN:
            self._skipped += self._finished.meet_whole(file, position)
        if known in (UNSEEN, position):
            return SKIP
        key = unit_key(unit_id, 2)
        (place,) = self._finished.find([key])
        return self._claim(unit_id, position, key, place, occurrence=2)

    def _claim(
        self, unit_id: str, position: int, key: bytes, place: int, occurrence: int = 1
    ) -> int:
        while True:
            known = self._finished.position(place) if place >= 0 else self._position(key)
            if known is None:
                self._db.execute(
                    "INSERT INTO units VALUES (?, ?, ?)", (key, position, int(State.CLAIMED))
                )
                self._claimed += 1
                return occurrence
            if known == UNSEEN:
                self._finished.meet(place, position)
                self._skipped[self._finished.state(place)] += 1
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
        """Which of ``keys`` are not yet written in this run; if a key comes twice, only the
        first."""
        first = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
        return [
            state == State.CLAIMED and first[key] == place
            for place, (key, state) in enumerate(zip(keys, self.states(keys), strict=True))
        ]

    def written(self, keys: Sequence[bytes], state: State) -> None:
        """Books units whose rows are in a finished file."""
        with self._transaction():
            changed = self._db.executemany(
                "UPDATE units SET state = ? WHERE key = ? AND state = ?",
                ((int(state), key, int(State.CLAIMED)) for key in keys),
            )
            self._written += changed.rowcount

    def states(self, keys: Sequence[bytes]) -> list[int | None]:
        """The state of each key, ``None`` for an unknown one."""
        places, files = self._finished.find(keys), self._finished.find_whole(keys)
        states = [
            self._state(key) if place < 0 else self._finished.state(place)
            for key, place in zip(keys, places.tolist(), strict=True)
        ]
        return [
            int(State.EXPLODED) if file >= 0 else state
            for state, file in zip(states, files.tolist(), strict=True)
        ]

    def _state(self, key: bytes) -> int | None:
        row = self._db.execute("SELECT state FROM units WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def counts(self) -> Counts:
        """Number of the manifest's units in each state. Rows of earlier runs outside the manifest
        do not count."""
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

    def tally(self) -> Tally:
        """How far the run is; costs the same for any number of units."""
        return Tally(
            read=self._claimed + self._skipped.total(),
            already_done=self._skipped[State.DONE_BEFORE],
            already_failed=self._skipped[State.FAILED_BEFORE],
            in_flight=self._claimed - self._written,
        )

    def lost(self, limit: int = 20) -> list[int]:
        """Positions of units that were read and never written."""
        rows = self._db.execute(
            "SELECT position FROM units WHERE state = ? ORDER BY position LIMIT ?",
            (int(State.CLAIMED), limit),
        )
        return [position for (position,) in rows]

    def put_event(self, event: dict[str, Any]) -> None:
        """Keeps an event of a worker for the driver; see `internvl_ops.events`."""
        self._mailbox.put(event)

    def events(self, start: int) -> list[tuple[int, dict[str, Any]]]:
        """Events of workers from number ``start`` on, each with its number."""
        return self._mailbox.read(start)

    def take_events(self) -> None:
        """Sends the events of this process to the ledger; does nothing here, since the driver is
        the same process."""

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
