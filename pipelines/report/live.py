"""The display of a run on a terminal: a few lines that are drawn anew, right at 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipelines import interruption

KINDS_SHOWN = 4  # kinds of error; the others are counted together
REFRESHED = 4  # times a second


def console_for(stream: TextIO | None) -> Console:
    """A console on a stream; the current standard error by default."""
    return Console(file=stream or sys.stderr, markup=False, highlight=False)


def can_draw(console: Console) -> bool:
    """Whether lines can be drawn anew: on a terminal that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


@dataclass
class Picture:
    """What the display shows.

    Args:
        phase: What the run is doing.
        elapsed: For how long, as text.
        done: Units that are through, those of earlier runs included.
        total: All units; None while they are not known.
        left: Time left, as text; empty if nothing is known of it.
        rates: Units and tokens per second, as text.
        shares: Share of each stage's places that is in use.
        engines: A line about engines that are starting.
        kinds: Failed units by kind.
    """

    phase: str
    elapsed: str
    done: int = 0
    total: int | None = None
    left: str = ""
    rates: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    engines: str = ""
    kinds: Mapping[str, int] = field(default_factory=dict)


class LiveDisplay:
    """Draws the lines of a run again and again, below whatever else is written.

    Args:
        console: Where to.
        look: Returns what is shown now.
    """

    def __init__(self, console: Console, look: Callable[[], Picture]) -> None:
        self._look = look
        self._spinner = Spinner("line" if console.options.ascii_only else "dots")
        self._live = Live(self, console=console, refresh_per_second=REFRESHED)

    def start(self) -> None:
        self._live.start(refresh=True)

    def stop(self) -> None:
        interruption.drawn_lines = 0
        self._live.stop()

    def __rich__(self) -> RenderableType:
        lines = draw(self._look(), self._spinner)
        interruption.drawn_lines = len(lines.renderables) if self._live.is_started else 0
        return lines


def draw(picture: Picture, spinner: RenderableType) -> Group:
    """The lines of a picture."""
    head = Table.grid(padding=(0, 1))
    head.add_column(no_wrap=True)
    head.add_column(no_wrap=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_row(spinner, picture.elapsed, _printable(picture.phase))
    lines: list[RenderableType] = [head, _bar(picture)]
    lines += [
        _line(text) for text in (picture.rates, _busy(picture.shares), picture.engines) if text
    ]
    if picture.kinds:
        lines.append(_line(failed(picture.kinds), style="red"))
    return Group(*lines)


def _bar(picture: Picture) -> RenderableType:
    units = (
        f"{picture.done:,}/{picture.total:,} units"
        if picture.total is not None
        else f"{picture.done:,} units"
    )
    share = f"{picture.done / picture.total:.0%}" if picture.total else ""
    bar = Table.grid(padding=(0, 1), expand=False)
    bar.add_row(
        "",
        ProgressBar(total=picture.total, completed=picture.done, width=24),
        units,
        share,
        picture.left,
    )
    for column in bar.columns:
        column.no_wrap = True
    bar.columns[-1].overflow = "ellipsis"
    return bar


def _printable(text: str) -> str:
    """A name of a file may hold control characters, which would break the display."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _line(text: str, style: str = "") -> Text:
    return Text(f"  {_printable(text)}", style=style, no_wrap=True, overflow="ellipsis")


def _busy(shares: Mapping[str, float]) -> str:
    said = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    return f"busy: {said}" if said else ""


def failed(kinds: Mapping[str, int]) -> str:
    """Failed units by kind, the most frequent first: "12 failed: 8 corrupt, 4 timeout"."""
    ordered = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    said = [f"{count:,} {kind}" for kind, count in ordered[:KINDS_SHOWN]]
    if rest := sum(count for _, count in ordered[KINDS_SHOWN:]):
        said.append(f"{rest:,} others")
    return f"{sum(kinds.values()):,} failed: {', '.join(said)}"
