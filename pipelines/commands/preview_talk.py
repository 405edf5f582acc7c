"""Typing prompts while the engine stays up."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Protocol

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_text
from pipelines.flags import in_flags

HELP = """\
Type a prompt to ask it of every unit.
  :all              show the answers to all prompts side by side
  :write N [FILE]   write the settings of number N for a job's --config; FILE is job.yaml by default
  :page FILE        write all answers, with their pictures, as a page
  :quit             end; so does Ctrl-D"""
_ASKS = "prompt> "


class Shown(Protocol):
    """What can be done with the answers so far."""

    def show_all(self) -> None: ...

    def write_page(self, path: str) -> None: ...

    def write_job(self, number: int, path: str) -> None: ...


class Talk:
    """The loop of ``--interactive``.

    Args:
        shown: The answers so far.
        ask: Asks a prompt of every unit and shows the answers.
        job: File of ``:write`` without a name.
    """

    def __init__(self, shown: Shown, ask: Callable[[str], None], job: str = "job.yaml") -> None:
        self._shown, self._ask, self._job = shown, ask, job

    def run(self) -> None:
        """Reads lines until their end. What is wrong with one is said, and the next is read."""
        if sys.stdin.isatty():
            # lines can be edited and called back where Python has it
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401
            print(HELP)
        while (line := self._line()) is not None:
            try:
                if not self._do(line.strip()):
                    return
            except ConfigurationError as error:
                print(in_flags(safe_text(str(error))), file=sys.stderr)

    def _line(self) -> str | None:
        try:
            return input(_ASKS if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return None

    def _do(self, line: str) -> bool:
        """Does what a line asks for; returns whether to go on."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word in (":quit", ":q"):
            return False
        if word == ":all":
            self._shown.show_all()
        elif word == ":write":
            number, _, path = rest.partition(" ")
            self._shown.write_job(int(number) if number.isdigit() else 0, path.strip() or self._job)
        elif word == ":page" and rest:
            self._shown.write_page(rest)
        elif line.startswith(":"):
            print(HELP)
        elif line:
            self._ask(line)
        return True
