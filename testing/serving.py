"""A real server of a checkpoint, as `python -m internvl_ops.serve` starts it, in a process of its
own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOADS_S = 150


@contextmanager
def served(model: Path, log: Path, *options: str) -> Iterator[str]:
    """Serves `model` in float32; yields the address up to and with ``/v1``."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "internvl_ops.serve",
        str(model),
        "--dtype",
        "float32",
        "--host",
        "127.0.0.1",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), *options],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            # its children end with it, also where it does not end them itself
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(port, process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_it_answers(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + LOADS_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
