"""Who holds a lease: what its file says of a process, and whether that still runs."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from internvl_ops.stores.redaction import safe_uri
from pipelines.ledger.shard import Shard
from pipelines.output.processes import may_run as _runs
from pipelines.output.processes import ticks as _ticks


def parse_holder(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:  # its holder has created it and not yet written to it
        return {}
    return value if isinstance(value, dict) else {}


def is_free(text: bytes) -> bool:
    """Whether the holder certainly writes no more: it ended, or its process on this machine is
    gone."""
    lease = parse_holder(text)
    if not lease:
        return False
    if lease.get("ended"):
        return True
    pid, started = lease.get("pid"), lease.get("process_started")
    if (
        lease.get("machine") != _machine()
        or not isinstance(pid, int)
        or not isinstance(started, int | float)
    ):
        return False
    return not _runs(pid, started, lease.get("process_ticks"))


def refusal(uri: str, holder: dict[str, Any], shard: Shard | None, expires_s: float) -> str:
    part = "" if shard is None or not shard.part else f" (part {shard})"
    other = f", run another part of {shard.of}" if shard and part else ""
    return (
        f"--output {safe_uri(uri)}: run {holder.get('run_id')} is writing to it{part}, on"
        f" {holder.get('host')} (process {holder.get('pid')}) since {holder.get('started')}. Give"
        f" another --output{other}, or end that run; this command takes over {expires_s:.0f} s"
        " after it last showed itself."
    )


def this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": process.pid,
        "process_started": process.create_time(),
        "process_ticks": _ticks(process.pid),
    }


def _machine() -> str:
    """Identifies the machine, or the container, since process ids of one container mean nothing in
    another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink(
            "/proc/self/ns/pid"
        )
    except OSError:
        return socket.gethostname()


def awake() -> float:
    """Seconds on a clock that cannot be set and that runs on while the machine is suspended."""
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
