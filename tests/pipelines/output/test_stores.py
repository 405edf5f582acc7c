"""What is promised of an output holds in every store: one run at a time, and one row a unit
whatever is killed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.compact import CompactOptions, compacted
from pipelines.output import lease
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.lease import Lease
from testing.stores import Emulators, NoEmulator
from tests.pipelines.manifests import plan_of

ROOT = Path(__file__).parents[3]
UNITS = 12
RUN = """
import sys
import pyarrow as pa
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.ownership import mark, parquet_name

uri, run, units = sys.argv[1], sys.argv[2], int(sys.argv[3])
output = OutputFolder(uri)
with Lease(output, run):
    tables = [table for _, table in output.read_tables(RESULTS, ["id"])]
    done = {unit for table in tables for unit in table["id"].to_pylist()}
    left = [unit for unit in map(str, range(units)) if unit not in done]
    for number, unit in enumerate(left):
        table = pa.table({"id": [unit]}, metadata=mark(run))
        output.write_table(f"{RESULTS}/{parquet_name(run, number)}", table)
        print(unit, flush=True)
"""


def run(uri: str, run_id: str, *, killed_after: int | None = None) -> None:
    command = [sys.executable, "-c", RUN, uri, run_id, str(UNITS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, start=1):
            if number == killed_after:
                process.kill()
    assert process.returncode == (-9 if killed_after else 0)


def test_a_killed_run_is_resumed_with_one_row_a_unit(place: str) -> None:
    run(place, "first", killed_after=5)
    run(place, "second")
    output = OutputFolder(place)
    units = [
        unit for _, table in output.read_tables(RESULTS, ["id"]) for unit in table["id"].to_pylist()
    ]
    assert sorted(map(int, units)) == list(range(UNITS))
    assert 5 <= sum("/first-" in name for name in output.files(RESULTS)) < UNITS
    done = compacted(CompactOptions(output=place))
    assert (done.before, done.after) == (UNITS, 1)
    merged = [
        unit for _, table in output.read_tables(RESULTS, ["id"]) for unit in table["id"].to_pylist()
    ]
    assert merged == units


def test_of_two_drivers_that_start_at_once_one_runs(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.1)
    start, over = threading.Barrier(2), threading.Event()
    held: list[str] = []
    refused: list[str] = []

    def drive(name: str) -> None:
        output = OutputFolder(place)
        start.wait()
        try:
            with Lease(output, name, lambda line: None):
                held.append(name)
                output.write_bytes("results/a.parquet", name.encode())
                over.wait(60)
        except ConfigurationError as error:
            refused.append(str(error))
            over.set()

    drivers = [threading.Thread(target=drive, args=(name,)) for name in ("one", "two")]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert (len(held), len(refused)) == (1, 1)
    assert f"run {held[0]} is writing to it" in refused[0]
    assert OutputFolder(place).read_bytes("results/a.parquet") == held[0].encode()


def test_another_process_opens_it_anew(place: str) -> None:
    OutputFolder(place).write_bytes("results/a.parquet", b"1")
    assert pickle.loads(pickle.dumps(OutputFolder(place))).read_bytes("results/a.parquet") == b"1"


def test_wrong_credentials_are_said_in_a_line_without_them(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        environment = emulators.environment("az")
    except NoEmulator as error:
        pytest.skip(str(error))
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("Eby8", "hunter2a"))
    for use in (
        OutputFolder("az://store-tests/out").check_writable,
        lambda: plan_of("az://store-tests/m.jsonl"),
    ):
        with pytest.raises(ConfigurationError, match="az://store-tests/") as caught:
            use()
        assert "hunter2" not in str(caught.value)
        assert str(caught.value).count("\n") == 0


def test_an_output_that_cannot_be_written_is_said(remote_place: str) -> None:
    scheme = remote_place.partition(":")[0]
    with pytest.raises(
        ConfigurationError, match=rf"--output {scheme}://no-such-bucket/out: not writable: "
    ):
        OutputFolder(f"{scheme}://no-such-bucket/out").check_writable()
