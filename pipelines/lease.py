"""One run at a time on an output: the lease that the running one holds and renews.

Leases are files ``_runs/.lease/00000007.json``, numbered upwards; the highest one counts. To take an output is to
create the next number, which a file system and an object store with conditional PUT (``If-None-Match``) let only one
do. The holder rewrites its file every few seconds. When it has not managed to for `FRESH_S` it writes nothing more
until it has, and nothing at all once there is a higher number. Who wants the output waits until the file has not
changed for the longer `EXPIRES_S`. No clocks are compared, but for a lease that is `ABANDONED_S` old by its own date.

Where a store ignores conditional PUT, two runs that take a lease within the same moment are told apart by reading back
who wrote last, which is no guarantee.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import safe_uri
from pipelines.output import RUNS, OutputFolder
from pipelines.patience import patiently

LEASES = f"{RUNS}/.lease"
RENEWED_EVERY_S = 5.0
FRESH_S = 15.0
EXPIRES_S = 30.0
ABANDONED_S = 300.0
GIVEN_UP_S = 600.0  # without a renewal; longer than the outage that reads and writes wait out


class LeaseLost(PermissionError):
    """Another run has taken over the output."""


class Lease:
    """The right to write one output; a context manager.

    Args:
        output: Asks this lease before each change while it is held.
        run_id: Of this run.
        say: Takes a line for the person who waits; by default it goes to standard error.
    """

    def __init__(self, output: OutputFolder, run_id: str, say: Callable[[str], None] | None = None) -> None:
        self._output, self._run_id = output, run_id
        self._say = say or functools.partial(print, file=sys.stderr)
        self._started = _now()
        self._number = 0
        self._renewed = time.monotonic()
        self._taken_by = ""
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")

    def __enter__(self) -> Lease:
        """Takes the output.

        Raises:
            ConfigurationError: Another run is writing to it.
        """
        while not self._take():
            pass
        self._output.before_change = self.hold
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._output.before_change = None
        if not self._taken_by:
            with contextlib.suppress(OSError):  # it is found out without, in half a minute
                patiently(lambda: self._write(ended=True), LEASES)

    @property
    def token(self) -> int:
        """Number of this lease: a later holder of the output has a higher one."""
        return self._number

    def hold(self) -> None:
        """Returns while this run may write; waits where that is not known, because the store does not answer.

        Raises:
            LeaseLost: Another run has taken over, or the store has not answered for ten minutes.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._taken_by or time.monotonic() - self._renewed < FRESH_S, timeout=GIVEN_UP_S
            )
            if self._taken_by:
                raise LeaseLost(
                    f"{safe_uri(self._output.uri)} was taken over by run {self._taken_by}, because this one did not "
                    f"answer for {EXPIRES_S:.0f} s. What it wrote before is valid and counts."
                )
            if time.monotonic() - self._renewed >= FRESH_S:
                raise LeaseLost(f"{safe_uri(self._output.uri)} does not answer, so that another run may have taken it.")

    def _take(self) -> bool:
        """Whether this run is the holder now; if not, another was quicker."""
        number, text = self._newest()
        if number and not _is_free(text):  # without text it has been created and is about to be written
            self._outwait(number, text)
        self._number = number + 1
        self._renewed = time.monotonic()
        mine = self._text()
        patiently(
            lambda: self._output.create_bytes(_name(self._number), mine), f"{safe_uri(self._output.uri)}: no lease"
        )
        if self._newest() != (self._number, mine):
            return False
        with contextlib.suppress(Exception):  # they are in nobody's way
            for older in self._numbers():
                if older < self._number:
                    self._output.remove_quietly(_name(older))
        return True

    def _outwait(self, number: int, text: bytes) -> None:
        """Returns when the lease is nobody's."""
        holder = _parse(text)
        who = f"Run {holder['run_id']} on {holder['host']}" if holder else "A run that has hardly begun"
        self._say(f"{who} did not end its work on this output; looking for {EXPIRES_S:.0f} s whether it still runs.")
        seen = time.monotonic()
        while time.monotonic() - seen < EXPIRES_S:
            time.sleep(RENEWED_EVERY_S / 5)
            newest, now = self._newest()
            if not newest or _is_free(now):
                return
            if (newest, now) != (number, text):
                raise ConfigurationError(_refusal(self._output.uri, _parse(now)))

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_S):
            began = time.monotonic()
            try:
                newest = max(self._numbers(), default=0)
                if newest > self._number:
                    taken_by = str(_parse(self._read(newest)).get("run_id"))
                    with self._changed:
                        self._taken_by = taken_by
                        self._changed.notify_all()
                    return
                self._write()
            except Exception:  # the store does not answer: `hold` waits, and this tries again
                continue
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
            except FileNotFoundError:  # its holder ended and the next one removed it in between
                continue

    def _numbers(self) -> list[int]:
        stems = (name.removesuffix(".json") for name in self._output.list_names(LEASES))
        return [int(stem) for stem in stems if stem.isdigit()]

    def _read(self, number: int) -> bytes:
        return self._output.read_bytes(_name(number))

    def _write(self, *, ended: bool = False) -> None:
        self._output.replace_bytes(_name(self._number), self._text(ended=ended))

    def _text(self, *, ended: bool = False) -> bytes:
        said = {"run_id": self._run_id, "started": self._started, "renewed": _now(), "ended": ended, **_this_process()}
        return json.dumps(said).encode()


def _name(number: int) -> str:
    return f"{LEASES}/{number:08d}.json"


def _parse(text: bytes) -> dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError:  # its holder has created it and not yet written to it
        return {}


def _is_free(text: bytes) -> bool:
    """Whether the holder surely does not write any more: it ended, its process on this machine is gone, or it has not
    been heard of for minutes."""
    lease = _parse(text)
    if not lease:
        return False
    if lease["ended"] or (lease["machine"] == _machine() and not _runs(lease["pid"], lease["process_started"])):
        return True
    return (datetime.now(UTC) - datetime.fromisoformat(lease["renewed"])).total_seconds() > ABANDONED_S


def _refusal(uri: str, holder: dict[str, Any]) -> str:
    return (
        f"--output {safe_uri(uri)}: run {holder.get('run_id')} is writing to it, on {holder.get('host')} (process "
        f"{holder.get('pid')}) since {holder.get('started')}. Give another --output, or end that run; this command "
        f"takes over {EXPIRES_S:.0f} s after it last showed itself."
    )


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": process.pid,
        "process_started": process.create_time(),
    }


def _machine() -> str:
    """Tells machines apart, and containers on one, whose process ids mean nothing to each other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
