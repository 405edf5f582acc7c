"""Two runs never write one output: the second is refused, a dead one's output is taken over, and it
writes no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.output import lease, lease_holders, processes
from pipelines.output.folder import OutputFolder
from pipelines.output.lease import LEASES, Lease, LeaseLost
from pipelines.output.ownership import mark, parquet_name

ROOT = Path(__file__).parents[3]
OWNER = """
import sys
from pipelines.output import lease, processes
lease.RENEWED_EVERY_S, lease.FRESH_S = 0.1, 0.4
with lease.Lease(lease.OutputFolder(sys.argv[1]), "first"):
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.1)
    monkeypatch.setattr(lease, "FRESH_S", 0.4)
    monkeypatch.setattr(lease, "EXPIRES_S", 2.5)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run is on another machine: whether its process lives cannot be asked."""
    monkeypatch.setattr(lease_holders, "_machine", lambda: "another")


class Owner:
    """A run in a process of its own that holds an output until it is told to end."""

    def __init__(self, uri: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, uri],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "holds\n"

    def __enter__(self) -> Owner:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        assert self.process.communicate("")[0] == ""
        assert self.process.returncode == 0


def silent(line: str) -> None:
    pass


class TestTheSecondRun:
    def test_is_refused_and_told_who_and_what_to_do(self, uri: str, elsewhere: None) -> None:
        with Owner(uri) as owner:
            with (
                pytest.raises(ConfigurationError, match="run first is writing to it") as refused,
                Lease(OutputFolder(uri), "second", silent),
            ):
                pass
            assert f"process {owner.process.pid}" in str(refused.value)
            assert "Give another --output, or end that run" in str(refused.value)
            owner.end()

    def test_goes_on_at_once_when_the_first_has_ended(self, uri: str, elsewhere: None) -> None:
        with Owner(uri) as owner:
            owner.end()
        said: list[str] = []
        with Lease(OutputFolder(uri), "second", said.append):
            assert said == []

    def test_waits_for_one_that_does_not_answer(self, uri: str, elsewhere: None) -> None:
        with Owner(uri) as owner:
            owner.process.kill()
            owner.process.wait()
            said: list[str] = []
            with Lease(OutputFolder(uri), "second", said.append) as held:
                held.hold()
            assert "Run first" in said[0]

    def test_does_not_wait_for_a_process_that_is_gone_from_this_machine(self, uri: str) -> None:
        with Owner(uri) as owner:
            owner.process.kill()
            owner.process.wait()
        said: list[str] = []
        with Lease(OutputFolder(uri), "second", said.append):
            assert said == []

    def test_is_refused_by_one_that_has_created_its_lease_and_not_yet_written_to_it(
        self, tmp_path: Path
    ) -> None:
        output = OutputFolder(str(tmp_path))
        lease_file = tmp_path / LEASES / "00000001.json"
        lease_file.parent.mkdir(parents=True)
        lease_file.touch()

        def write(line: str) -> None:
            lease_file.write_bytes(Lease(output, "first", silent)._text())

        with (
            pytest.raises(ConfigurationError, match="run first is writing to it"),
            Lease(output, "second", write),
        ):
            pass

    def test_takes_over_from_one_that_died_before_it_wrote_to_its_lease(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / LEASES).mkdir(parents=True)
        (tmp_path / LEASES / "00000001.json").touch()
        said: list[str] = []
        with Lease(OutputFolder(str(tmp_path)), "second", said.append) as held:
            held.hold()
        assert "A run that has hardly begun" in said[0]

    def test_is_refused_by_a_live_run_whose_clock_is_wrong(
        self, uri: str, elsewhere: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lease, "now", lambda: "2001-01-01T00:00:00.000+00:00")
        with (
            Lease(OutputFolder(uri), "first", silent),
            pytest.raises(ConfigurationError, match="run first is writing to it"),
            Lease(OutputFolder(uri), "second", silent),
        ):
            pass

    def test_counts_only_time_in_which_it_looked(
        self, tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second run that is stopped while it waits does not take over when it goes on."""
        output = OutputFolder(str(tmp_path))
        with Lease(output, "first", silent) as first:
            monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.5)
            waits = iter([*[0.0] * 3, 100.0])
            clock = lease.time.monotonic
            late = 0.0

            def monotonic() -> float:
                nonlocal late
                late += next(waits, 0.0)
                return clock() + late

            monkeypatch.setattr(lease.time, "monotonic", monotonic)
            with (
                pytest.raises(ConfigurationError, match="run first is writing to it"),
                Lease(OutputFolder(str(tmp_path)), "second", silent),
            ):
                pass
            first.hold()


class TestWhetherAProcessRuns:
    def test_one_that_is_gone_does_not(self) -> None:
        process = subprocess.Popen(["true"])
        process.wait()
        assert not processes.may_run(process.pid, 0.0)

    def test_one_that_has_the_number_of_another_does_not(self) -> None:
        ticks = processes.ticks(os.getpid())
        assert ticks is not None
        assert processes.may_run(os.getpid(), 0.0, ticks)  # the clock was set since it started
        assert not processes.may_run(os.getpid(), 0.0, ticks - 1)

    def test_one_that_proc_does_not_show_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hidden(pid: int) -> psutil.Process:
            raise psutil.NoSuchProcess(pid)

        monkeypatch.setattr(processes.psutil, "Process", hidden)
        assert processes.may_run(1, 0.0)


class TestTheFirstRun:
    def test_that_was_stopped_and_taken_over_writes_no_more(
        self, tmp_path: Path, elsewhere: None
    ) -> None:
        output = OutputFolder(str(tmp_path))
        taken, over = threading.Event(), threading.Event()

        def take_over() -> None:
            with Lease(OutputFolder(str(tmp_path)), "second", silent):
                taken.set()
                over.wait()

        with Lease(output, "first", silent) as first:
            output.write_bytes("results/a.parquet", b"1")
            # As a machine that is suspended: it renews nothing, and does not know.
            first._ended.set()
            first._thread.join()
            other = threading.Thread(target=take_over)
            other.start()
            taken.wait()
            first._ended.clear()
            first._keep()
            for change in (
                lambda: output.write_bytes("results/b.parquet", b"1"),
                lambda: output.remove("results/a.parquet"),
                output.clear,
            ):
                with pytest.raises(LeaseLost, match="taken over by run second"):
                    change()
        over.set()
        other.join()
        assert output.files("results") == ["results/a.parquet"]
        (left,) = output.list_names(LEASES)
        assert json.loads(output.read_bytes(f"{LEASES}/{left}"))["run_id"] == "second"

    def test_that_wakes_from_suspension_looks_before_it_writes(
        self, tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its own renewal thread has not run yet, and its clock does not say that time has
        passed."""
        output = OutputFolder(str(tmp_path))
        with Lease(output, "first", silent) as first:
            first._ended.set()
            first._thread.join()
            with Lease(OutputFolder(str(tmp_path)), "second", silent):
                first._renewed = lease.awake()
                with pytest.raises(LeaseLost, match="taken over by run second"):
                    output.write_bytes("results/a.parquet", b"1")
        assert output.files("results") == []

    def test_waits_with_its_writes_while_it_cannot_renew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = OutputFolder(str(tmp_path))
        up = threading.Event()
        replace = OutputFolder.replace_bytes

        def failing(self: OutputFolder, name: str, data: bytes) -> None:
            if name.startswith(LEASES) and not up.is_set():
                raise ConnectionError("the store is down")
            replace(self, name, data)

        with Lease(output, "first", silent) as held:
            monkeypatch.setattr(OutputFolder, "replace_bytes", failing)
            held._renewed -= 10
            writer = threading.Thread(target=output.write_bytes, args=("results/a.parquet", b"1"))
            writer.start()
            writer.join(0.5)
            assert writer.is_alive()
            assert output.files("results") == []
            up.set()
            writer.join()
            assert output.files("results") == ["results/a.parquet"]

    def test_is_let_go_when_it_fails(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError), Lease(OutputFolder(str(tmp_path)), "first", silent):
            raise RuntimeError
        with Lease(OutputFolder(str(tmp_path)), "second", silent):
            pass


class TestLateFiles:
    """A file of a run that was taken over, which arrives after that."""

    def put(self, uri: str, run: str, number: int) -> str:
        name = f"results/{parquet_name(run, number)}"
        table = pa.table({"id": [f"{run}-{number}"]}, metadata=mark(run))
        OutputFolder(uri).write_table(name, table)
        return name

    def test_do_not_count_and_are_swept(self, uri: str, elsewhere: None) -> None:
        with Owner(uri) as owner:
            owner.process.kill()
            owner.process.wait()
        before = self.put(uri, "first", 0)
        with Lease(OutputFolder(uri), "second", silent) as held:
            late = self.put(uri, "first", 1)
            assert held._output.files("results") == [before]
            assert OutputFolder(uri).files("results") == [before]  # of whoever reads meanwhile
        assert OutputFolder(uri).list_names("results") == [before.removeprefix("results/")]
        self.put(uri, "first", 2)
        with Lease(OutputFolder(uri), "third", silent):
            assert OutputFolder(uri).list_names("results") == [before.removeprefix("results/")]
        assert late != before

    def test_are_told_even_where_the_next_run_died_right_after_it_took_over(
        self, tmp_path: Path
    ) -> None:
        uri = str(tmp_path)
        output = OutputFolder(uri)
        first, second = Lease(output, "first", silent), Lease(output, "second", silent)
        for number, held in enumerate((first, second)):
            held._number = number + 1
            held._fences = {"first": None} if number else {}
            dead = json.loads(held._text()) | {"pid": 1 << 30}
            output.create_bytes(f"{LEASES}/{number + 1:08d}.json", json.dumps(dead).encode())
        before = self.put(uri, "first", 0)
        with Lease(OutputFolder(uri), "third", silent) as third:
            self.put(uri, "first", 1)
            self.put(uri, "second", 0)
            assert third._output.files("results") == [before]

    def test_of_a_run_that_ended_there_are_none(self, uri: str) -> None:
        with Lease(OutputFolder(uri), "first", silent):
            pass
        with Lease(OutputFolder(uri), "second", silent) as held:
            name = self.put(uri, "first", 0)
            assert held._output.files("results") == [name]


def test_leases_are_numbered_and_a_foreign_file_among_them_stays(tmp_path: Path) -> None:
    (tmp_path / LEASES).mkdir(parents=True)
    (tmp_path / LEASES / "00000003.json").write_text('{"mine": true}')
    (tmp_path / LEASES / "notes.txt").write_text("mine")
    lease_of_another_form = tmp_path / LEASES / "00000003.json"
    with Lease(OutputFolder(str(tmp_path)), "first", silent) as held:
        assert held.token == 4
    assert lease_of_another_form.read_text() == '{"mine": true}'


def test_of_many_that_want_it_at_once_one_gets_it(uri: str) -> None:
    barrier, done = threading.Barrier(6), threading.Event()
    outcomes: list[str] = []

    def want(number: int) -> None:
        output = OutputFolder(uri)
        barrier.wait()
        try:
            with Lease(output, str(number), silent):
                outcomes.append("got it")
                done.wait()
        except ConfigurationError:
            outcomes.append("refused")
        finally:
            if len(outcomes) == 6:
                done.set()

    threads = [threading.Thread(target=want, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads[:]:
        while thread.is_alive() and len(outcomes) < 6:
            thread.join(0.1)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["got it"] + ["refused"] * 5


def test_a_suspended_process_loses_it(tmp_path: Path, elsewhere: None) -> None:
    with Owner(str(tmp_path)) as owner:
        os.kill(owner.process.pid, signal.SIGSTOP)
        with Lease(OutputFolder(str(tmp_path)), "second", silent):
            os.kill(owner.process.pid, signal.SIGCONT)
            owner.end()
        # Stopped in the middle of a renewal it writes its own file once more; the one with the
        # highest number counts.
        newest = max(OutputFolder(str(tmp_path)).list_names(LEASES))
        assert b'"second"' in OutputFolder(str(tmp_path)).read_bytes(f"{LEASES}/{newest}")
