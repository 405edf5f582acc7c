"""What a log shows while a job runs."""

from __future__ import annotations

import io
import json
import logging
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from pipelines import interruption
from pipelines.output.folder import OutputFolder
from pipelines.output.writer import Totals
from pipelines.report.engine_news import EngineNews
from pipelines.report.live import Picture, draw
from pipelines.report.pace import Pace, earlier_pace
from pipelines.report.progress import ProgressLine, duration, error_lines, most_frequent

TIME = "12:34:56"


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        "pipelines.report.progress.time",
        SimpleNamespace(monotonic=clock.monotonic, strftime=lambda form: TIME),
    )
    return clock


class Log:
    """A job's log file."""

    def __init__(self, clock: Clock) -> None:
        self.file, self._clock = io.StringIO(), clock
        self.progress = ProgressLine(self.file)

    def after(self, seconds: float, finished: int, tokens: int = 0, failed: int = 0) -> None:
        """So many seconds later, so many units in all are finished."""
        self._clock.now += seconds
        self.progress.update(finished, tokens, failed)

    @property
    def lines(self) -> list[str]:
        lines = self.file.getvalue().splitlines()
        assert all(line.startswith(f"{TIME} ") for line in lines)
        return [line.removeprefix(f"{TIME} ") for line in lines]


@pytest.fixture
def log(clock: Clock) -> Log:
    return Log(clock)


def test_a_line_every_ten_seconds_and_one_at_the_end(log: Log) -> None:
    with log.progress:
        for number in range(25):
            log.after(1, number * 8)
    assert len(log.lines) == 3
    assert log.lines[-1].startswith("192 units, ")


def test_a_line_says_rate_tokens_time_left_and_failures(log: Log) -> None:
    log.progress.total(10_000)
    log.after(1, 0)
    log.after(10, 1_000, tokens=7_000, failed=12)
    assert log.lines == ["1,000/10,000 units, 100.0 units/s, 700 tokens/s, 1m 30s left, 12 failed"]


def test_units_of_earlier_runs_are_not_waited_for(log: Log) -> None:
    log.progress.total(10_000)
    log.progress.skipped(9_000)
    log.after(1, 0)
    log.after(10, 500)
    assert log.lines == ["500/1,000 units, 50.0 units/s, 0 tokens/s, 10s left, 0 failed"]


def test_without_a_total_no_time_is_promised(log: Log) -> None:
    log.after(1, 0)
    log.after(10, 500)
    assert log.lines == ["500 units, 50.0 units/s, 0 tokens/s, 0 failed"]


def test_the_rate_is_of_the_last_two_minutes(log: Log) -> None:
    log.after(1, 0)
    log.after(1000, 100)  # the warm-up
    log.after(100, 10_100)
    assert "100.0 units/s" in log.lines[-1]


def test_a_phase_is_a_line_of_its_own(log: Log) -> None:
    with log.progress:
        log.progress.say("reading s3://bucket/[red]/[/x]")  # what looks like markup is a name
    # nothing finished, so nothing else to say
    assert log.lines == ["reading s3://bucket/[red]/[/x]"]


def test_the_first_block_has_no_rate_yet(log: Log) -> None:
    with log.progress:
        log.progress.total(5)
        log.after(60, 5)
    assert log.lines == ["5/5 units, 0 failed"] * 2


def test_a_few_units_of_the_first_seconds_are_no_rate(log: Log) -> None:
    with log.progress:
        log.after(9, 8)
        log.after(1.5, 1_000)
    assert log.lines[0] == "1,000 units, 0 failed"


def test_a_long_line_is_one_line(log: Log) -> None:
    with log.progress:
        log.progress.say("reading " + "a folder/" * 30)
    assert len(log.lines) == 1


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 1e-9, 5.0, 500.0]), st.integers(0, 9)),
        min_size=1,
        max_size=9,
    ),
    total=st.none() | st.integers(0, 50),
    skipped=st.integers(0, 60),
)
def test_nothing_divides_by_zero(
    steps: list[tuple[float, int]], total: int | None, skipped: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        time = SimpleNamespace(monotonic=clock.monotonic, strftime=lambda form: TIME)
        patch.setattr("pipelines.report.progress.time", time)
        log, finished = Log(clock), 0
        with log.progress:
            log.progress.total(total)
            log.progress.skipped(skipped)
            for seconds, units in steps:
                finished += units
                log.after(seconds, finished)
    assert log.lines
    assert not any(wrong in line for line in log.lines for wrong in ("inf", "nan"))


class Terminal(io.StringIO):
    """A terminal of 80 columns that keeps all that is written to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


def test_a_terminal_gets_stages_rates_failures_by_kind_and_the_time_left(
    terminal: Terminal, clock: Clock
) -> None:
    with ProgressLine(
        terminal, shares=lambda: {"prepare": 0.94, "engine": 0.4, "write": 0.01}
    ) as progress:
        progress.total(10_000)
        progress.say("reading s3://bucket/[/x]")
        assert "reading s3://bucket/[/x]" in text_of(progress)
        progress.update(0, 0, 0)
        clock.now += 10
        progress.kinds.update(corrupt=8, timeout=4)
        progress.update(1_000, 7_000, 12)
        shown = text_of(progress)
    assert "1,000/10,000 units 10% 1m 30s left" in shown
    assert "100.0 units/s, 700 tokens/s" in shown
    assert "busy: prepare 94%, engine 40%, write 1%" in shown
    assert "12 failed: 8 corrupt, 4 timeout" in shown
    assert "1,000/10,000" in terminal.getvalue()


def text_of(progress: ProgressLine, width: int = 80) -> str:
    """What the display shows on a terminal so wide, with runs of spaces as one."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, markup=False)
    console.print(draw(progress.picture(), ""))
    return re.sub(" +", " ", console.file.getvalue())  # type: ignore[attr-defined]


@given(
    phase=st.text(max_size=200),
    kinds=st.dictionaries(
        st.sampled_from(["corrupt", "timeout", "unsupported", "decoder_crashed", "refused"]),
        st.integers(1, 10**9),
    ),
    done=st.integers(0, 10**9),
    width=st.integers(20, 120),
)
def test_no_line_is_wider_than_the_terminal(
    phase: str, kinds: dict[str, int], done: int, width: int
) -> None:
    picture = Picture(
        phase,
        "1h 02m",
        done,
        10**9,
        "about 100h 00m left, by an earlier run",
        "x" * 99,
        {"a": 1.0},
        "e" * 99,
        kinds,
    )
    console = Console(
        file=io.StringIO(), width=width, force_terminal=False, markup=False, legacy_windows=False
    )
    console.print(draw(picture, "*"))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) == 5 + bool(kinds)


def test_the_time_left_before_the_first_answer_is_that_of_an_earlier_run(
    terminal: Terminal, clock: Clock
) -> None:
    progress = ProgressLine(terminal, pace=Pace(start_s=60, rate=10))
    assert "left" not in text_of(progress)  # how many units there are is not known yet
    progress.total(1_000)
    clock.now += 20
    assert "about 2m 20s left, by an earlier run" in text_of(progress)
    clock.now += 100
    assert "about 1m 40s left" in text_of(progress)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with ProgressLine(terminal) as progress:
        progress.say("reading")
        progress.update(3, 10, 1)
    assert terminal.getvalue() == f"{TIME} reading\n{TIME} 3 units, 1 failed\n"


def test_the_word_of_a_signal_is_not_drawn_over(
    terminal: Terminal, capfd: pytest.CaptureFixture[str]
) -> None:
    with ProgressLine(terminal) as progress:
        progress.total(5)
        interruption.say("Stopping.")
        lines = terminal.getvalue().count("\n") + 1  # of the first drawing
    interruption.say("Closing.")
    assert capfd.readouterr().err == "\nStopping." + lines * "\n" + "Closing.\n"


def test_quiet_shows_nothing(terminal: Terminal) -> None:
    for stream in (terminal, file := io.StringIO()):
        with ProgressLine(stream, quiet=True) as progress:
            progress.say("reading")
            progress.update(3, 10, 1)
            progress.look()
    assert terminal.getvalue() + file.getvalue() == ""


def test_a_log_says_what_engines_do_while_they_start_less_and_less_often(clock: Clock) -> None:
    file, news = io.StringIO(), EngineNews(engines=2, clock=lambda: clock.now)
    progress = ProgressLine(file, engines=news)
    note_step(news, "host-1", "loading the weights", at=clock.now)
    for _ in range(300):
        clock.now += 1
        progress.look()
    lines = file.getvalue().splitlines()
    assert lines[0] == f"{TIME} 0 of 2 engines ready; engine: loading the weights, 10 s so far"
    assert len(lines) == 6  # the waits double up to a minute


def note_step(news: EngineNews, worker: str, step: str | None, at: float) -> None:
    """An event of an engine; ``step`` None: it is ready."""
    event = "engine_step" if step else "engine_ready"
    news.handle(
        logging.makeLogRecord(
            {"event": event, "created": at, "fields": {"step": step, "worker": worker}}
        )
    )


def test_the_slowest_engine_is_the_one_that_is_told_of() -> None:
    news = EngineNews(engines=2, clock=lambda: 100.0)
    assert news.line() == ""
    note_step(news, "host-1", "importing vLLM", at=40)
    note_step(news, "host-2", "importing vLLM", at=50)
    note_step(news, "host-1", "loading the weights", at=60)
    assert news.line() == "0 of 2 engines ready; engine: loading the weights, 60 s so far"
    note_step(news, "host-1", None, at=90)
    assert news.line() == "1 of 2 engines ready; engine: importing vLLM, 50 s so far"
    note_step(news, "host-2", None, at=95)
    assert news.line() == ""


def test_the_pace_is_of_the_newest_run_that_has_one(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    assert earlier_pace(output) is None
    rates = {"units_per_second": 5.0, "seconds": 40.0}
    runs = {
        "20260101T000000-aaaaaa": {"seconds": 100.0, "rates": {**rates, "units_per_second": 1.0}},
        "20260102T000000-aaaaaa": {"seconds": 100.0, "rates": rates},
        "20260103T000000-aaaaaa": {
            "seconds": 3.0,
            "rates": {"units_per_second": None, "seconds": 0.0},
        },
    }
    for run, record in runs.items():
        output.write_bytes(f"_runs/{run}/run.json", json.dumps(record).encode())
    (tmp_path / "_runs" / "20260104T000000-aaaaaa").mkdir()  # one that has not ended
    assert earlier_pace(output) == Pace(start_s=60.0, rate=5.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (725, "12m 05s"),
        (3599.6, "1h 00m"),
        (12_000, "3h 20m"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_most_frequent_errors_come_with_their_most_frequent_message() -> None:
    totals = Totals()
    for kind, message in [
        ("corrupt", "rare"),
        *[("corrupt", "usual")] * 4,
        *[("timeout", "slow")] * 2,
    ]:
        totals.add_error(kind, message)
    totals.kinds += Counter(refused=1, too_large=1)
    assert most_frequent(totals) == [
        (5, "corrupt", "usual"),
        (2, "timeout", "slow"),
        (1, "refused", ""),
    ]


def test_what_a_kind_does_not_show_is_counted() -> None:
    totals = Totals()
    for sort in "abcdefgh":
        for _ in range(ord(sort)):
            totals.add_error("unsupported", f"a file of sort {sort}")
    shown = [line for line in error_lines(totals) if line.strip()[0].isdigit()]
    assert [int(line.split()[0]) for line in shown[1:]] == [
        ord("h"),
        ord("g"),
        ord("f"),
        sum(map(ord, "abcde")),
    ]


def test_a_message_of_several_lines_is_one_in_the_closing_words() -> None:
    totals = Totals()
    totals.add_error("engine_failed", "vLLM says\n  what\tbroke " + "on and " * 1000)
    (line,) = error_lines(totals)
    assert line.startswith("1 × engine_failed: vLLM says what broke on and")
    assert len(line) < 400
