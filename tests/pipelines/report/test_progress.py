"""What a log shows while a job runs."""

from __future__ import annotations

import io
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.output.writer import Totals
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
        "pipelines.report.progress.time", SimpleNamespace(monotonic=clock.monotonic, strftime=lambda form: TIME)
    )
    return clock


class Log:
    """A job's log file."""

    def __init__(self, clock: Clock) -> None:
        self.file, self._clock = io.StringIO(), clock
        self.progress = ProgressLine(self.file)

    def after(self, seconds: float, finished: int, tokens: int = 0, failed: int = 0) -> None:
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
    assert log.lines == ["reading s3://bucket/[red]/[/x]"]  # nothing finished, so nothing else to say


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
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.0, 1e-9, 5.0, 500.0]), st.integers(0, 9)), min_size=1, max_size=9),
    total=st.none() | st.integers(0, 50),
    skipped=st.integers(0, 60),
)
def test_nothing_divides_by_zero(steps: list[tuple[float, int]], total: int | None, skipped: int) -> None:
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


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        with ProgressLine(terminal) as progress:
            progress.total(10)
            progress.say("reading s3://bucket/[/x]")
            progress.update(0, 0, 0)
            progress.update(4, 100, 1)
    assert "4/10 units" in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0s"), (0, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (725, "12m 05s"), (3599.6, "1h 00m"), (12_000, "3h 20m")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_most_frequent_errors_come_with_their_most_frequent_message() -> None:
    totals = Totals()
    for kind, message in [("corrupt", "rare"), *[("corrupt", "usual")] * 4, *[("timeout", "slow")] * 2]:
        totals.add_error(kind, message)
    totals.kinds += Counter(refused=1, too_large=1)
    assert most_frequent(totals) == [(5, "corrupt", "usual"), (2, "timeout", "slow"), (1, "refused", "")]


def test_what_a_kind_does_not_show_is_counted() -> None:
    totals = Totals()
    for sort in "abcdefgh":
        for _ in range(ord(sort)):
            totals.add_error("unsupported", f"a file of sort {sort}")
    shown = [line for line in error_lines(totals) if line.strip()[0].isdigit()]
    assert [int(line.split()[0]) for line in shown[1:]] == [ord("h"), ord("g"), ord("f"), sum(map(ord, "abcde"))]


def test_a_message_of_several_lines_is_one_in_the_closing_words() -> None:
    totals = Totals()
    totals.add_error("engine_failed", "vLLM says\n  what\tbroke " + "on and " * 1000)
    (line,) = error_lines(totals)
    assert line.startswith("1 × engine_failed: vLLM says what broke on and")
    assert len(line) < 400
