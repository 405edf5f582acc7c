"""Merging small files: whenever it is killed, each unit has the row that it had, once."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from pipelines.commands.compact import CompactOptions, compacted
from pipelines.output.compaction import compact, finish_merge
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.ownership import mark, parquet_name
from tests.pipelines.runs import Killed, Run, execute, observe

LARGE = 1 << 30


class MortalStore(OutputFolder):
    """An output folder whose process dies right before or right after its n-th call of the
    store."""

    def __init__(self, uri: str, killed_at: int | None = None, *, after: bool = False) -> None:
        super().__init__(uri)
        self._left, self._after = killed_at, after

    def replace_bytes(self, name: str, data: bytes) -> None:
        self._call(super().replace_bytes, name, data)

    def remove_quietly(self, name: str) -> None:
        self._call(super().remove_quietly, name)

    def read_bytes(self, name: str) -> bytes:
        return self._call(super().read_bytes, name)

    def read_schema(self, name: str) -> pa.Schema:
        return self._call(super().read_schema, name)

    def list_names(self, folder: str) -> list[str]:
        return self._call(super().list_names, folder)

    def read_table(self, *given: Any, **named: Any) -> pa.Table:
        return self._call(super().read_table, *given, **named)

    def _call(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        dies = self._left == 0
        if self._left is not None:
            self._left -= 1
        if dies and not self._after:
            raise Killed
        try:
            return call(*given, **named)
        finally:
            if dies:
                raise Killed


RUNS = st.lists(
    st.builds(
        Run,
        new_ids=st.text("abcxABC", max_size=8),
        outage=st.booleans(),
        retry_errors=st.booleans(),
        killed_at=st.none() | st.integers(0, 6),
    ),
    min_size=1,
    max_size=5,
)


def nights(folder: str, runs: list[Run]) -> list[str]:
    manifest: list[str] = []
    for number, run in enumerate(runs):
        manifest += run.new_ids
        with contextlib.suppress(Killed):
            execute(folder, manifest, run, f"20260101T00000{number}-abcdef")
    return manifest


def everything(folder: str | Path) -> Counter[str]:
    """The rows of results as any reader finds them in the folder."""
    names = [str(path) for path in (Path(folder) / RESULTS).glob("*.parquet")]
    return (
        Counter(pa.dataset.dataset(names).to_table(columns=["id"])["id"].to_pylist())
        if names
        else Counter()
    )


@settings(max_examples=60, deadline=None)
@given(RUNS, st.integers(0, 60), st.booleans(), st.booleans())
def test_each_unit_keeps_its_row_wherever_a_compaction_dies(
    runs: list[Run], killed_at: int, after: bool, run_next: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = nights(folder, runs)
        # a run that was killed may have left a result beside an older error
        before, rows_before = observe(folder)
        with contextlib.suppress(Killed):
            compact(MortalStore(folder, killed_at, after=after), LARGE)
        state, rows = observe(folder)  # by a reader of this package, at any moment
        assert state == before
        assert all(count <= rows_before[unit] for unit, count in rows.items())
        if run_next:
            execute(folder, manifest, Run(), "20260102T000000-abcdef")
        else:
            compact(OutputFolder(folder), LARGE)
        state, rows = observe(folder)
        assert {unit: state[unit] for unit in before} == before
        assert set(rows.values()) <= {1}
        assert set(everything(folder).values()) <= {1}  # by any reader
        if not run_next:
            output = OutputFolder(folder)
            assert len(output.files(RESULTS)) <= 1
            assert len(output.files(ERRORS)) <= 1


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    nights(str(tmp_path), [Run("abc"), Run("ABx", outage=True), Run("de")])
    return OutputFolder(str(tmp_path))


def test_every_step_dies_once(
    output: OutputFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, _ = observe(output.uri)
    died = 0
    for killed_at in range(500):
        for after in (False, True):
            copy = tmp_path_factory.mktemp("copy") / "out"
            shutil.copytree(output.root, copy)
            try:
                compact(MortalStore(str(copy), killed_at, after=after), LARGE)
            except Killed:
                died += 1
            else:
                assert died > 40
                return
            assert observe(str(copy))[0] == before
            finish_merge(OutputFolder(str(copy)))
            assert everything(copy) == everything(output.root)
    raise AssertionError("it never ended")


def test_rows_settings_and_writers_stay(output: OutputFolder) -> None:
    rows = pa.concat_tables(output.read_table(name) for name in output.files(RESULTS)).to_pylist()
    newest = output.files(RESULTS)[-1]
    known = output.read_schema(newest)
    done = compact(output, LARGE)
    assert output.files(RESULTS) == [newest]
    assert output.read_table(newest).to_pylist() == rows
    kept = {
        key: value for key, value in output.read_schema(newest).metadata.items() if key != b"merge"
    }
    assert kept == known.metadata
    assert output.writer(newest) == newest.partition("/")[2].rpartition("-")[0]
    assert (done.after, done.left) == (2, 0)
    again = compact(output, LARGE)
    assert (again.before, again.after, again.rows) == (2, 2, 0)


def test_what_does_not_belong_together_stays_apart(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))

    def write(number: int, table: pa.Table, **more: str) -> str:
        run = f"20260101T00000{number}-abcdef"
        said = {**mark(run), **{key.encode(): value.encode() for key, value in more.items()}}
        name = f"{RESULTS}/{parquet_name(run, 0)}"
        output.write_table(name, table.replace_schema_metadata(said))
        return name

    write(0, pa.table({"id": ["a"]}), prompt="1")
    one = write(1, pa.table({"id": ["b"]}), prompt="1")
    two = write(2, pa.table({"id": ["c"]}), prompt="2")  # other settings
    three = write(3, pa.table({"id": ["d"], "n": [1]}), prompt="2")  # other columns
    large = write(
        4, pa.table({"id": [f"{n:064x}" for n in range(20_000)], "n": range(20_000)}), prompt="2"
    )
    five = write(5, pa.table({"id": ["e"], "n": [1]}), prompt="2")
    output.write_table(f"{RESULTS}/mine.parquet", pa.table({"id": ["f"], "n": [1]}))
    done = compact(output, 2 * output.size(large))
    assert output.files(RESULTS) == [one, two, three, large, five, f"{RESULTS}/mine.parquet"]
    assert (done.before, done.after, done.left) == (7, 6, 1)


def test_full_files_have_several_row_groups_and_about_the_size_that_is_asked_for(
    tmp_path: Path,
) -> None:
    output = OutputFolder(str(tmp_path))
    for number in range(24):
        run = f"20260101T0000{number:02d}-abcdef"
        rows = pa.table(
            {
                "id": [f"{number}.{n}" for n in range(100)],
                "text": [f"{n * number:040x}"[:40] for n in range(100)],
            }
        )
        output.write_table(
            f"{RESULTS}/{parquet_name(run, 0)}", rows.replace_schema_metadata(mark(run))
        )
    size = output.size(output.files(RESULTS)[0])
    compact(output, 10 * size)
    assert len(output.files(RESULTS)) == 3
    assert sum(pq.read_metadata(tmp_path / name).num_rows for name in output.files(RESULTS)) == 2400


def test_an_unfinished_overwrite_is_finished_first(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        nights_then_killed(str(tmp_path))
    with pytest.raises(
        ConfigurationError, match=r"began to replace everything here \(--overwrite\)"
    ):
        compact(OutputFolder(str(tmp_path)), LARGE)


def nights_then_killed(folder: str) -> None:
    manifest = nights(folder, [Run("abc")])
    execute(folder, manifest, Run(overwrite=True, killed_at=2), "20260102T000000-abcdef")


class TestTheCommand:
    def test_takes_the_lease(self, output: OutputFolder) -> None:
        with (
            Lease(OutputFolder(output.uri), "20260103T000000-abcdef"),
            pytest.raises(ConfigurationError, match="writing"),
        ):
            compacted(CompactOptions(output=output.uri))

    def test_a_dry_run_changes_nothing(self, output: OutputFolder) -> None:
        names = output.files(RESULTS), output.files(ERRORS)
        said = compacted(CompactOptions(output=output.uri, dry_run=True))
        assert (output.files(RESULTS), output.files(ERRORS)) == names
        done = compacted(CompactOptions(output=output.uri))
        assert (said.before, said.after) == (done.before, done.after)

    def test_no_output(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no file in results/ or errors/"):
            compacted(CompactOptions(output=str(tmp_path / "none")))
