"""Allows one run at a time on an output: the running one holds a lease and renews it.

Leases are files ``_runs/.lease/00000007.json``, numbered upwards; the highest one counts. A run
takes an output by creating the next number. A file system, or an object store with conditional PUT
(``If-None-Match``), lets only one run do that. The number is a fencing token: it is in the metadata
of every Parquet file that the holder writes. Before each change of the output the holder checks
whether there is a higher number.

The holder rewrites its file every few seconds. If it has not succeeded for `FRESH_S`, time in
suspension included, it writes nothing until it succeeds, and nothing at all once there is a higher
number. A run that wants the output watches the file until the file has not changed for the longer
time `EXPIRES_S`. The clocks of two machines are never compared. A delayed request of the old holder
may still write a file after that. Such a file is recognised and removed: see
`pipelines.output.fences`.

Each part of a job that runs apart (``--shard 3/16``) has leases of its own,
``3-of-16.00000007.json``. Two runs exclude each other unless they are different parts of equally
many. A run takes its own lease first and then looks at the others, so of two runs that start
together at least one sees the other. A lease of theirs whose holder died is taken over and ended,
so that the holder, should it wake up, writes nothing.

If a store ignores conditional PUT, two runs that take a lease at the same moment read the file
back, and the last writer wins. That is no guarantee.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from pipelines.ledger.shard import Shard
from pipelines.output.fences import FENCED, MAX_FENCES, count_files, is_late, parse_fences
from pipelines.output.folder import LEASES, OutputFolder
from pipelines.output.lease_holders import (
    awake,
    is_free,
    now,
    parse_holder,
    refusal,
    this_process,
)
from pipelines.output.lease_names import lease_name, newest_leases, parse_lease_name
from pipelines.patience import patiently, reason

logger = logging.getLogger(__name__)

RENEWED_EVERY_S = 5.0
FRESH_S = 15.0
EXPIRES_S = 30.0
# seconds without a renewal; longer than the outage that reads and writes wait out
GIVEN_UP_S = 600.0


class LeaseLost(PermissionError):
    """Another run has taken over the output."""


class Lease:
    """The right to write to one output; a context manager.

    Args:
        output: The output. While the lease is held, it checks the lease before each change.
        run_id: Id of this run.
        say: Called with a line for the user who waits; by default the line is logged.
        shard: The part of the job that the run is; None: it is all of it.
    """

    def __init__(
        self,
        output: OutputFolder,
        run_id: str,
        say: Callable[[str], None] | None = None,
        shard: Shard | None = None,
    ) -> None:
        self._output, self._run_id, self._shard = output, run_id, shard
        self._say = say or functools.partial(note, logger, "lease_held")
        self._started = now()
        self._renewals = itertools.count()
        self._number = 0
        self._fences: dict[str, Mapping[str, int] | None] = {}
        self._renewed = awake()
        self._taken_by = ""
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")

    def __enter__(self) -> Lease:
        """Takes the output.

        Raises:
            ConfigurationError: Another run is writing to it.
        """
        self._begin()
        try:
            self._end_others()
        except BaseException:
            self.__exit__()
            raise
        self._output.fences = None  # read again when needed, with those of all leases
        return self

    def _begin(self) -> None:
        while not self._take():
            pass
        self._output.before_change = self.hold
        self._thread.start()
        self._fence()

    def _end_others(self) -> None:
        """Ends what runs left behind that this run excludes.

        Raises:
            ConfigurationError: One of them is writing to the output.
        """
        for shard, number in newest_leases(self._output.list_names(LEASES)).items():
            if not _exclude(shard, self._shard):
                continue
            other = Lease(OutputFolder(self._output.uri), self._run_id, self._say, shard)
            with contextlib.suppress(FileNotFoundError):
                if not parse_holder(other._read(number)).get("ended"):
                    other._begin()
                    other.__exit__()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._output.before_change = None
        if not self._taken_by:
            with contextlib.suppress(Exception):  # the next run does it
                self._sweep()
            # without it, another run detects the end in half a minute
            with contextlib.suppress(OSError):
                patiently(lambda: self._write(ended=True), LEASES)

    @property
    def token(self) -> int:
        """Number of this lease: a later holder of the output has a higher one."""
        return self._number

    @property
    def age(self) -> float:
        """Seconds since the lease was last renewed, time in suspension included."""
        return awake() - self._renewed

    def hold(self) -> None:
        """Returns when this run may write; waits while that is unknown because the store does not
        answer.

        Raises:
            LeaseLost: Another run has taken over, or the store has not answered for ten minutes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._taken_by or self._is_fresh(), timeout=GIVEN_UP_S)
            if not self._taken_by and not self._is_fresh():
                raise LeaseLost(
                    f"{safe_uri(self._output.uri)} does not answer, so that another run may have"
                    " taken it."
                )
        self._look_for_a_later_one()
        if self._taken_by:
            raise LeaseLost(
                f"{safe_uri(self._output.uri)} was taken over by run {self._taken_by}, because this"
                f" one did not answer for {EXPIRES_S:.0f} s. What it wrote before is valid and"
                " counts."
            )

    def _is_fresh(self) -> bool:
        return self.age < FRESH_S

    def _look_for_a_later_one(self) -> None:
        """Records which run has taken over, if one has."""
        newest = max(self._numbers(), default=0)
        if newest <= self._number or self._taken_by:
            return
        taken_by = "another"
        # that run has ended, and a third one holds the lease
        with contextlib.suppress(FileNotFoundError):
            taken_by = str(parse_holder(self._read(newest)).get("run_id"))
        message = (
            f"Run {taken_by} has taken over {safe_uri(self._output.uri)}; this run writes nothing"
            " more."
        )
        note(logger, "lease_lost", message, level=logging.ERROR, run=taken_by)
        with self._changed:
            self._taken_by = taken_by
            self._changed.notify_all()

    def _take(self) -> bool:
        """Tries to take the lease. False if another run was faster."""
        number, text = self._newest()
        # an empty file was just created, and its content is about to be written
        if number and not is_free(text):
            number, text = self._outwait(number, text)
        before = parse_holder(text)
        self._fences = parse_fences(text)
        if before and not before.get("ended"):
            # one of its files may still be on the way
            self._fences[str(before.get("run_id"))] = None
        self._fences = dict(list(self._fences.items())[-MAX_FENCES:])
        self._number = number + 1
        self._renewed = awake()
        mine = self._text()
        patiently(
            lambda: self._output.create_bytes(self._name(self._number), mine),
            f"{safe_uri(self._output.uri)}: no lease",
        )
        if self._newest() != (self._number, mine):
            return False
        if before and not before.get("ended"):
            run = before.get("run_id")
            message = (
                f"Took {safe_uri(self._output.uri)} over from run {run}, which did not end its work"
                " on it."
            )
            note(logger, "lease_taken_over", message, run=run)
        with contextlib.suppress(Exception):  # old leases do no harm
            for older in self._numbers():
                if older < self._number and parse_holder(self._read(older)).get("run_id"):
                    self._output.remove_quietly(self._name(older))
        return True

    def _outwait(self, number: int, text: bytes) -> tuple[int, bytes]:
        """Waits until the newest lease is free or has not changed for `EXPIRES_S`, and returns
        it."""
        holder = parse_holder(text)
        who = (
            f"Run {holder.get('run_id')} on {holder.get('host')}"
            if holder
            else "A run that has hardly begun"
        )
        self._say(
            f"{who} did not end its work on this output; looking for {EXPIRES_S:.0f} s whether it"
            " still runs."
        )
        watched, looked = 0.0, time.monotonic()
        # Only time spent watching counts, because this process, too, may be suspended for a while.
        while watched < EXPIRES_S:
            time.sleep(RENEWED_EVERY_S / 5)
            newest, now = self._newest()
            if not newest or is_free(now):
                return newest, now
            if (newest, now) != (number, text):
                raise ConfigurationError(
                    refusal(self._output.uri, parse_holder(now), self._shard, EXPIRES_S)
                )
            before, looked = looked, time.monotonic()
            watched += min(looked - before, RENEWED_EVERY_S)
        return number, text

    def _fence(self) -> None:
        """Notes which files of runs that were taken over count, and removes the others."""
        counted = (
            {folder: self._list(folder) for folder in FENCED}
            if None in self._fences.values()
            else {}
        )
        for run, fence in self._fences.items():
            if fence is None:
                self._fences[run] = {
                    folder: count_files(run, names) for folder, names in counted.items()
                }
        if counted:
            patiently(self._write, f"{safe_uri(self._output.uri)}/{LEASES} could not be written")
        self._sweep()

    def _sweep(self) -> None:
        for folder in FENCED if self._fences else ():
            for name in self._list(folder):
                if is_late(self._fences, f"{folder}/{name}") and self._output.writer(
                    f"{folder}/{name}"
                ):
                    self._output.remove(f"{folder}/{name}")

    def _list(self, folder: str) -> list[str]:
        return patiently(
            lambda: self._output.list_names(folder),
            f"{safe_uri(self._output.uri)}/{folder} could not be listed",
        )

    def _keep(self) -> None:
        failed = False
        while not self._ended.wait(RENEWED_EVERY_S):
            began = awake()
            try:
                self._look_for_a_later_one()
                if self._taken_by:
                    return
                self._write()
            # the store does not answer: `hold` waits, and this loop tries again
            except Exception as error:
                if not failed:
                    message = (
                        f"The lease on {safe_uri(self._output.uri)} could not be renewed:"
                        f" {reason(error)}"
                    )
                    note(logger, "lease_not_renewed", message)
                failed = True
                continue
            if failed:
                note(
                    logger,
                    "lease_renewed",
                    f"The lease on {safe_uri(self._output.uri)} is renewed again.",
                )
                failed = False
            with self._changed:
                self._renewed = began
                self._changed.notify_all()

    def _newest(self) -> tuple[int, bytes]:
        def look() -> tuple[int, bytes]:
            number = max(self._numbers(), default=0)
            return number, self._read(number) if number else b""

        while True:
            try:
                return patiently(look, f"{safe_uri(self._output.uri)}/{LEASES} could not be read")
            except FileNotFoundError:  # its holder ended, and the next holder has removed it
                continue

    def _numbers(self) -> list[int]:
        found = map(parse_lease_name, self._output.list_names(LEASES))
        return [one[1] for one in found if one is not None and one[0] == self._shard]

    def _read(self, number: int) -> bytes:
        return self._output.read_bytes(self._name(number))

    def _write(self, *, ended: bool = False) -> None:
        self._output.replace_bytes(self._name(self._number), self._text(ended=ended))

    def _name(self, number: int) -> str:
        return f"{LEASES}/{lease_name(self._shard, number)}"

    def _text(self, *, ended: bool = False) -> bytes:
        said = {
            "run_id": self._run_id,
            "started": self._started,
            "renewed": now(),  # for a person; no run compares it with its own clock
            "renewals": next(self._renewals),  # makes the file change even if the clock does not
            "ended": ended,
            "fences": self._fences,
            **this_process(),
        }
        return json.dumps(said).encode()


def running(output: OutputFolder) -> str | None:
    """Describes the run that is writing to an output: its id and machine. None if none is.

    It changes nothing. If the holder of the lease may have died, it watches the lease, for
    `EXPIRES_S` at most.
    """
    watchers = [
        Lease(output, "", shard=shard) for shard in newest_leases(output.list_names(LEASES))
    ]
    watched = {watcher: watcher._newest() for watcher in watchers}
    ends = time.monotonic() + EXPIRES_S
    while watched := {
        one: seen for one, seen in watched.items() if seen[0] and not is_free(seen[1])
    }:
        if time.monotonic() >= ends:
            return None
        time.sleep(RENEWED_EVERY_S / 5)
        for watcher, seen in list(watched.items()):
            watched[watcher] = now = watcher._newest()
            if now != seen and now[0] and not is_free(now[1]):
                holder = parse_holder(now[1])
                return f"{holder.get('run_id')}, on {holder.get('host')}"
    return None


def _exclude(one: Shard | None, other: Shard | None) -> bool:
    """Whether two runs with different leases exclude each other: all but parts of equally many."""
    if one == other:
        return False  # the same lease
    return one is None or other is None or one.of != other.of
