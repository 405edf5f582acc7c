"""Shows the progress of a job: a live display on a terminal, or a plain line every few seconds in a
log."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TextIO

from internvl_ops.events import note
from pipelines.output.sorts import Sorts
from pipelines.output.totals import Totals
from pipelines.report.engine_news import EngineNews
from pipelines.report.live import LiveDisplay, Picture, can_draw, console_for
from pipelines.report.pace import Pace

logger = logging.getLogger(__name__)

LOG_SECONDS = 10.0
LONGEST_SILENCE = 60.0  # seconds between lines of a log while engines start
RATE_SECONDS = 5.0  # after the first finished units; earlier, their number does not yet give a rate
KINDS_SHOWN = 3  # error kinds in the closing summary
SORTS_SHOWN = 3  # sorts of messages per kind
_LONGEST_LINE = 300  # characters of a message in the summary
WINDOW_SECONDS = 120.0  # rates cover the last two minutes: the current speed, without the warm-up


class ProgressLine:
    """Shows how far a job is. ``update`` is cheap; call it for every block.

    Args:
        stream: A terminal gets lines that are drawn anew; anything else gets a line every ten
            seconds.
        as_records: Whether to log these lines with their numbers, and never draw.
        quiet: Whether to show nothing.
        engines: What the engines are doing while they start.
        pace: How fast an earlier run was, for the time left before the first answers.
        shares: Returns the share of each stage's places that is in use; None while that is not
            known.

    Attributes:
        kinds: Failed units by kind, to be kept up to date.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        as_records: bool = False,
        quiet: bool = False,
        engines: EngineNews | None = None,
        pace: Pace | None = None,
        shares: Callable[[], Mapping[str, float] | None] = lambda: None,
    ) -> None:
        self._console = console_for(stream)
        self._as_records, self._quiet = as_records, quiet
        self._engines, self._pace, self._shares = engines or EngineNews(), pace, shares
        self._drawn = LiveDisplay(self._console, self.picture) if self._draws else None
        self.kinds: Counter[str] = Counter()
        self._phase = "starting"
        self._total: int | None = None
        self._skipped = 0
        self._last: tuple[int, int | None, int] | None = None
        self._seen: deque[tuple[float, int, int | None]] = deque()
        self._began = time.monotonic()
        self._next_log = self._began + LOG_SECONDS
        self._waits = LOG_SECONDS

    @property
    def _draws(self) -> bool:
        return can_draw(self._console) and not self._as_records and not self._quiet

    def __enter__(self) -> ProgressLine:
        if self._drawn is not None:
            self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn is not None:
            self._drawn.stop()
        else:
            self._log()

    def say(self, what: str) -> None:
        """Shows the phase of the job, such as "loading the model"."""
        self._phase = what
        if self._drawn is None:
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
        """Updates the numbers of finished units, generated tokens and failed units of this run
        alone.

        ``tokens`` is None if the answers have none.
        """
        now = time.monotonic()
        self._last = finished, tokens, failed
        self._seen.append((now, finished, tokens))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        if self._drawn is None and now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            self._log()

    def look(self) -> None:
        """Writes a line to a log that has none to come, while engines start; less and less
        often."""
        now = time.monotonic()
        if self._drawn is not None or self._last is not None or now < self._next_log:
            return
        self._waits = min(2 * self._waits, LONGEST_SILENCE)
        self._next_log = now + self._waits
        said = [self._engines.line() or self._phase, self._left()]
        self._line(
            ", ".join(filter(None, said)),
            "progress",
            units=0,
            todo=self.todo,
            tokens=None,
            failed=0,
        )

    def picture(self) -> Picture:
        """What the display shows now."""
        finished, tokens, _ = self._last or (0, None, 0)
        elapsed = duration(time.monotonic() - self._began)
        done = finished + self._skipped
        phase = self._phase if self._last is None else "answering"
        rates, left = ", ".join(self._rates(finished, tokens)), self._left()
        shares = self._shares() or {}
        return Picture(
            phase,
            elapsed,
            done,
            self._total,
            left,
            rates,
            shares,
            self._engines.line(),
            dict(self.kinds),
        )

    def _log(self) -> None:
        if self._last is None:
            return
        finished, tokens, failed = self._last
        text = self._said(finished, tokens, failed)
        self._line(text, "progress", units=finished, todo=self.todo, tokens=tokens, failed=failed)

    def _line(self, text: str, event: str, **fields: object) -> None:
        """Writes a line to a log: with the time of day, in full length."""
        if self._quiet:
            return
        if self._as_records:
            note(logger, event, text, level=logging.INFO, **fields)
            return
        self._console.print(f"{time.strftime('%H:%M:%S')} {text}", highlight=False, soft_wrap=True)

    def _said(self, finished: int, tokens: int | None, failed: int) -> str:
        todo = self.todo
        said = [f"{finished:,} units" if todo is None else f"{finished:,}/{todo:,} units"]
        said += self._rates(finished, tokens)
        if todo is not None and (rate := self._rate(finished)):
            said.append(f"{duration((todo - finished) / rate)} left")
        return ", ".join([*said, f"{failed:,} failed"])

    def _rates(self, finished: int, tokens: int | None) -> list[str]:
        rate = self._rate(finished)
        if rate is None:
            return []
        then, _, tokens_then = self._seen[0]
        said = [f"{rate:.1f} units/s"]
        if tokens is not None and tokens_then is not None:
            said.append(f"{(tokens - tokens_then) / (self._seen[-1][0] - then):,.0f} tokens/s")
        return said

    def _rate(self, finished: int) -> float | None:
        """Units per second of late; None while too few are finished to tell."""
        if not self._seen:
            return None
        then, finished_then, _ = self._seen[0]
        seconds = self._seen[-1][0] - then
        return (
            (finished - finished_then) / seconds
            if finished > finished_then and seconds >= RATE_SECONDS
            else None
        )

    def _left(self) -> str:
        """The time left, as text: by the rate of late or, before there is one, by the pace of an
        earlier run."""
        finished, todo = (self._last or (0,))[0], self.todo
        if todo is None:
            return ""
        if (rate := self._rate(finished)) is not None:
            return f"{duration((todo - finished) / rate)} left"
        if self._pace is not None and finished < todo:
            left = self._pace.left(todo - finished, time.monotonic() - self._began)
            return f"about {duration(left)} left, by an earlier run"
        return ""


def duration(seconds: float) -> str:
    """Formats ``seconds`` for a person: 45s, 12m 05s, 3h 20m."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


def most_frequent(totals: Totals, count: int = KINDS_SHOWN) -> list[tuple[int, str, str]]:
    """The most frequent error kinds, each as (count, kind, an example of its most frequent
    sort)."""
    return [
        (number, kind, next((sort.example for sort in _sorts(totals, kind).most_common(1)), ""))
        for kind, number in totals.kinds.most_common(count)
    ]


def error_lines(totals: Totals) -> list[str]:
    """Lines with the most frequent error kinds and, for each, its most frequent sorts of
    message."""
    lines = []
    for number, kind, message in most_frequent(totals):
        sorts = _sorts(totals, kind)
        if len(sorts) < 2 and not sorts.others:
            lines.append(f"{number:,} × {kind}: {_one_line(message)}")
            continue
        lines.append(
            f"{number:,} × {kind}: messages of {len(sorts):,}"
            f" sorts{' and more' if sorts.others else ''}"
        )
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
