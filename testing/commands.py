"""The commands as their users run them: each in a process of its own, or in this one."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from internvl_ops.events import LOGGERS
from pipelines import interruption
from pipelines.commands.registry import COMMANDS

ROOT = Path(__file__).parents[1]
LIMIT_S = 900  # after which a command hangs, also on a busy machine

Done = subprocess.CompletedProcess[str]


def start(
    *command: object, environment: Mapping[str, str] | None = None, both: bool = False
) -> subprocess.Popen[str]:
    """Starts ``python COMMAND…`` in the root of the repository.

    Args:
        command: A script, or ``-m`` and a module, and the arguments.
        environment: Besides that of this process.
        both: Whether standard error goes where standard output goes.
    """
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        text=True,
    )


def run(*command: object, environment: Mapping[str, str] | None = None) -> Done:
    """As `start`, and waits for the end."""
    with start(*command, environment=environment) as process:
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_here(script: str, *arguments: object) -> Done:
    """Runs the command of a script in this process, which saves the seconds in which an interpreter
    imports what is imported here already.

    A job uses the Ray session of this process; a test that runs one asks for `ray_session`. An
    exception that the command would end with as a traceback is raised.

    Args:
        script: Name of a file in ``jobs/``.
        arguments: Of the command.
    """
    (command,) = (row for row in COMMANDS.values() if row.script == script)
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _process_as_it_was(),
    ):
        try:
            status = command.execute(script, list(map(str, arguments))) or 0
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess([script], status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Takes back what a command sets for the process that it is alone in."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(log.level, log.propagate, log.handlers[:]) for log in loggers]
    form, path = interruption.form, sys.path[:]
    try:
        yield
    finally:
        for log, (level, propagate, handlers) in zip(loggers, before, strict=True):
            log.setLevel(level)
            log.propagate, log.handlers = propagate, handlers
        interruption.form, sys.path[:] = form, path
