"""Shows the progress of a job: one live line on a terminal, or a plain line every few seconds in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from internvl_ops.events import note
from pipelines.output.sorts import Sorts
from pipelines.output.totals import Totals

logger = logging.getLogger(__name__)

LOG_SECONDS = 10.0
RATE_SECONDS = 5.0  # after the first finished units; earlier, their number does not yet give a rate
KINDS_SHOWN = 3  # error kinds in the closing summary
SORTS_SHOWN = 3  # sorts of messages per kind
_LONGEST_LINE = 300  # characters of a message in the summary
WINDOW_SECONDS = 120.0  # rates cover the last two minutes: the current speed, without the warm-up


class ProgressLine:
    """Shows how far a job is. ``update`` is cheap; call it for every block.

    Args:
        stream: A terminal gets a bar that redraws itself; anything else gets a line every ten seconds.
        as_records: Whether to log these lines with their numbers, and never show a bar.
    """

    def __init__(self, stream: TextIO | None = None, *, as_records: bool = False) -> None:
        self._console = Console(file=stream or sys.stderr, markup=False)
        self._as_records = as_records
        self._live = self._console.is_terminal and not as_records
        self._total: int | None = None
        self._skipped = 0
        self._last: tuple[int, int | None, int] | None = None
        self._seen: deque[tuple[float, int, int | None]] = deque()
        self._next_log = time.monotonic() + LOG_SECONDS
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            _Said(),
            console=self._console,
        )
        self._task = self._bar.add_task("starting", total=None, said="")

    def __enter__(self) -> ProgressLine:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()
        else:
            self._log()

    def say(self, what: str) -> None:
        """Shows the phase of the job, such as "loading the model"."""
        if self._live:
            self._bar.update(self._task, description=what)
        else:
            self._line(what, "phase")

    def total(self, units: int | None) -> None:
        """Sets the total number of units, once it is known."""
        self._total = units

    def skipped(self, units: int) -> None:
        """Sets the number of units that need no work, among those read so far."""
        self._skipped = units

    @property
    def todo(self) -> int | None:
        """Largest number of units that this run has to do; None while it is not known."""
        return None if self._total is None else self._total - self._skipped

    def update(self, finished: int, tokens: int | None, failed: int) -> None:
        """Updates the numbers of finished units, generated tokens and failed units of this run alone.

        ``tokens`` is None if the answers have none.
        """
        now = time.monotonic()
        self._last = finished, tokens, failed
        self._seen.append((now, finished, tokens))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        if self._live:
            said = self._said(finished, tokens, failed)
            self._bar.update(
                self._task, description="units", completed=finished + self._skipped, total=self._total, said=said
            )
        elif now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            self._log()

    def _log(self) -> None:
        if self._last is None:
            return
        finished, tokens, failed = self._last
        text = self._said(finished, tokens, failed)
        self._line(text, "progress", units=finished, todo=self.todo, tokens=tokens, failed=failed)

    def _line(self, text: str, event: str, **fields: object) -> None:
        """Writes a line to a log: with the time of day, in full length."""
        if self._as_records:
            note(logger, event, text, level=logging.INFO, **fields)
            return
        self._console.print(f"{time.strftime('%H:%M:%S')} {text}", highlight=False, soft_wrap=True)

    def _said(self, finished: int, tokens: int | None, failed: int) -> str:
        then, finished_then, tokens_then = self._seen[0]
        seconds = self._seen[-1][0] - then
        todo = self.todo
        said = [f"{finished:,} units" if todo is None else f"{finished:,}/{todo:,} units"]
        if finished > finished_then and seconds >= RATE_SECONDS:
            rate = (finished - finished_then) / seconds
            said.append(f"{rate:.1f} units/s")
            if tokens is not None and tokens_then is not None:
                said.append(f"{(tokens - tokens_then) / seconds:,.0f} tokens/s")
            if todo is not None:
                said.append(f"{duration((todo - finished) / rate)} left")
        return ", ".join([*said, f"{failed:,} failed"])


class _Said(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields.get("said", ""))


def duration(seconds: float) -> str:
    """Formats ``seconds`` for a person: 45s, 12m 05s, 3h 20m."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


def most_frequent(totals: Totals, count: int = KINDS_SHOWN) -> list[tuple[int, str, str]]:
    """The most frequent error kinds, each as (count, kind, an example of its most frequent sort)."""
    return [
        (number, kind, next((sort.example for sort in _sorts(totals, kind).most_common(1)), ""))
        for kind, number in totals.kinds.most_common(count)
    ]


def error_lines(totals: Totals) -> list[str]:
    """Lines with the most frequent error kinds and, for each, its most frequent sorts of message."""
    lines = []
    for number, kind, message in most_frequent(totals):
        sorts = _sorts(totals, kind)
        if len(sorts) < 2 and not sorts.others:
            lines.append(f"{number:,} × {kind}: {_one_line(message)}")
            continue
        lines.append(f"{number:,} × {kind}: messages of {len(sorts):,} sorts{' and more' if sorts.others else ''}")
        shown = sorts.most_common(SORTS_SHOWN)
        lines += [f"  {sort.units:>6,}  {_one_line(sort.example)}" for sort in shown]
        if rest := number - sum(sort.units for sort in shown):
            lines.append(f"  {rest:>6,}  of other sorts: see the report")
    if (others := len(totals.kinds) - KINDS_SHOWN) > 0:
        lines.append(f"and {others} other {'kind' if others == 1 else 'kinds'}: see the report")
    return lines


def _sorts(totals: Totals, kind: str) -> Sorts:
    return totals.messages.get(kind) or Sorts()


def _one_line(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}…"
