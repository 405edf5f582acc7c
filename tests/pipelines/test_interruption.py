"""Signals to a process: what it says, how it ends, and that nothing of it stays."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from testing.cluster import wait_for

# Ray replaces the handler of SIGTERM while it starts; its own exits without a word.
TAKEN = """
import signal, subprocess, sys
from pipelines import interruption
interruption.install()

def start():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
    print("starting", flush=True)
    sys.stdin.readline()

try:
    with interruption.phase("holding"):
        try:
            start()
        except SystemExit:
            interruption.asked()
        interruption.take_back()
        print("started", flush=True)
        sys.stdin.readline()
except interruption.Interrupted:
    interruption.say("Interrupted.")
    interruption.end()
"""
# A child that starts children, as Ray's does.
TREE = """
import signal, subprocess, sys
from pipelines import interruption
interruption.install()
child = "import subprocess, sys, time\\n" \\
    "print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True)
print(process.pid, process.stdout.readline().strip(), flush=True)
sys.stdin.readline()
"""


def run(program: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("line", ["starting", "started"])
def test_a_library_that_takes_the_signals_does_not_keep_them(
    line: str, number: signal.Signals
) -> None:
    process = run(TAKEN)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "starting\n"
    if line == "started":
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "Interrupted.\n")


def test_its_processes_end_with_it(tmp_path: object) -> None:
    process = run(TREE)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 1

    def gone(pid: int) -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    wait_for("its processes to end", lambda: all(map(gone, pids)), 30)
