"""The output is the checkpoint: whatever happens to runs, each unit ends with one row."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from internvl_ops.errors import KINDS, ConfigurationError
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import RUN, SKIP, Ledger, State
from pipelines.ledger.shard import Shard
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.result_columns import ERROR_SCHEMA
from pipelines.output.resume import Retry, drop_superseded_errors, load_output
from pipelines.output.shards import sum_of_parts
from tests.pipelines.runs import Killed, Run, execute, observe, overwriting
from tests.pipelines.runs import State as Observed


def predict(before: Observed, manifest: Sequence[str], run: Run, *, going_on: bool) -> Observed:
    """What a run that is neither killed nor interrupted makes of the output.

    Args:
        before: What counts there; while an overwrite goes on, what its runs wrote.
        manifest: As it is then.
        run: The run.
        going_on: Whether an earlier run's overwrite has not ended.
    """
    anew = run.overwrite and bool(manifest) and not going_on
    state = {} if anew else dict(before)
    seen: Counter[str] = Counter()
    for unit_id in manifest:
        seen[unit_id] += 1
        unit = unit_id, seen[unit_id]
        if state.get(unit) is None or (run.retry_errors and state[unit] == "timeout"):
            state[unit] = run.outcome(unit_id) if seen[unit_id] == 1 else "duplicate_id"
    return state


# Few ids, so that they repeat; x is a corrupt file, capitals fail in an outage.
RUNS = st.builds(
    Run,
    new_ids=st.text("abcxABC", max_size=8),
    outage=st.booleans(),
    retry_errors=st.booleans(),
    overwrite=st.sampled_from([False, False, False, True]),
    delivered_twice=st.booleans(),
    killed_at=st.none() | st.integers(0, 6),
    killed_after=st.booleans(),
    interrupted_after=st.none() | st.integers(0, 3),
)


# Nights in parts: the number of parts, and the runs of the first, the second, … of them; None is a
# run over the whole.
NIGHTS = st.tuples(st.none() | st.integers(1, 4), st.lists(RUNS, min_size=1, max_size=4))


class TestAnySequenceOfRuns:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(RUNS, min_size=1, max_size=7))
    # A retried unit fails for good, and the run dies before it drops the old error.
    @example([Run("AB", outage=True), Run(outage=True, retry_errors=True, killed_at=1), Run()])
    @example([Run("AxA", outage=True), Run(retry_errors=True, killed_at=1), Run(retry_errors=True)])
    @example([Run("aaa", killed_at=1), Run("a", delivered_twice=True), Run()])
    def test_ends_with_one_row_a_unit(self, runs: list[Run]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            manifest: list[str] = []
            state: Observed = {}
            for number, run in enumerate([*runs, Run()]):
                manifest += run.new_ids
                state = self._check(folder, manifest, run, f"run-{number:03d}")
            assert len(state) == len(manifest)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(NIGHTS, min_size=1, max_size=4))
    # Both parts fail in an outage; the next night, in another number of parts, repeats what failed.
    @example([(2, [Run("ABab", outage=True), Run(outage=True)]), (3, [Run(retry_errors=True)] * 3)])
    @example([(None, [Run("Ab"), Run(overwrite=True, killed_at=2)]), (2, [Run()]), (None, [Run()])])
    def test_in_any_number_of_parts_too(self, nights: list[tuple[int | None, list[Run]]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            manifest: list[str] = []
            state: Observed = {}
            number = 0
            for of, runs in [*nights, (None, [Run()])]:
                for place, run in enumerate(runs):
                    manifest += run.new_ids
                    number += 1
                    shard = None if of is None else Shard(1 + place % of, of)
                    state = self._check(folder, manifest, run, f"run-{number:03d}", shard)
            assert len(state) == len(manifest)

    def _check(
        self, uri: str, manifest: list[str], run: Run, run_id: str, shard: Shard | None = None
    ) -> Observed:
        going_on = overwriting(uri)
        if shard is not None:
            run = dataclasses.replace(run, overwrite=False)  # is refused before a part begins
            if going_on and observe(uri, going_on)[0]:
                as_it_was = observe(uri, going_on), self._old(uri, going_on)
                with pytest.raises(ConfigurationError, match="which a part of the job cannot do"):
                    execute(uri, manifest, run, run_id, shard)
                assert (observe(uri, going_on), self._old(uri, going_on)) == as_it_was
                return observe(uri, going_on)[0]
            going_on = ()  # one that wrote nothing counts as none
        everything, _ = observe(uri) if not going_on else ({}, None)
        before, _ = observe(uri, going_on)
        replaced = self._old(uri, going_on) if going_on else everything
        overwrites = bool(going_on) or (run.overwrite and bool(manifest))
        own = (
            manifest
            if shard is None
            else list(compress(manifest, shard.own(pa.array(manifest, pa.string()))))
        )
        whole = predict(before, own, run, going_on=bool(going_on))
        tried = dict(whole)
        if overwrites and "result" not in whole.values():
            whole |= {
                unit: kind
                for unit, kind in replaced.items()
                if kind == "result" or unit not in whole
            }
        try:
            counts = execute(uri, manifest, run, run_id, shard)
        except Killed:
            self._check_killed(uri, before, whole, replaced if overwrites else {}, tried)
            return observe(uri, overwriting(uri))[0]
        still = overwriting(uri)
        after, rows = observe(uri, still)
        # else an old error may stand beside the new row
        if shard is None or sum_of_parts(OutputFolder(uri), shard.of):
            assert set(rows.values()) <= {1}
        assert counts.lost == 0
        if run.interrupted_after is None:
            assert (after, still) == (whole, ())
        else:
            self._check_killed(uri, before, whole, replaced if overwrites else {}, tried)
        return after

    def _old(self, uri: str, runs: Sequence[str]) -> Observed:
        """What the runs before an overwrite left."""
        writers = {**OutputFolder(uri).writers(RESULTS), **OutputFolder(uri).writers(ERRORS)}
        earlier = {run for run in writers.values() if run is not None} - set(runs)
        return observe(uri, earlier)[0] if earlier else {}

    def _check_killed(
        self, uri: str, before: Observed, whole: Observed, replaced: Observed, tried: Observed
    ) -> None:
        """Each unit is as it was or as the whole run would have left it, and an old result is gone
        only when a new row of its unit is there. An overwrite that is under way may also show what
        it wrote and has yet to take back."""
        still = overwriting(uri)
        after, _ = observe(uri, still)
        for unit in {**before, **whole}:
            under_way = {None, tried.get(unit)} if still else set()
            assert after.get(unit) in {whole.get(unit), before.get(unit), *under_way}
        old = self._old(uri, still) if still else {}
        for unit in replaced:
            assert unit in old or unit in after or (unit not in whole)


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(str(tmp_path))


def write(output: OutputFolder, folder: str, run: str, table: pa.Table) -> None:
    """A file as the run writes it."""
    output.write_table(f"{folder}/{parquet_name(run, 0)}", table.replace_schema_metadata(mark(run)))


def write_results(output: OutputFolder, name: str, *ids: str) -> None:
    write(output, RESULTS, name, pa.table({"id": ids, "caption": ids}))


def write_errors(output: OutputFolder, name: str, *errors: tuple[str, str, bool]) -> None:
    rows = [
        {"id": unit_id, "kind": kind, "retriable": retriable} for unit_id, kind, retriable in errors
    ]
    write(output, ERRORS, name, pa.Table.from_pylist(rows, ERROR_SCHEMA))


def errors_in(output: OutputFolder) -> list[tuple[str, str]]:
    tables = [table for _, table in output.read_tables(ERRORS, ["id", "kind"])]
    return [(row["id"], row["kind"]) for table in tables for row in table.to_pylist()]


class TestLoading:
    def test_results_and_errors_need_no_work(self, output: OutputFolder) -> None:
        write_results(output, "1", "a", "b")
        write_errors(output, "1", ("c", "corrupt", False), ("d", "timeout", True))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=False)
        assert ledger.claim("abcde", range(5)) == [SKIP, SKIP, SKIP, SKIP, RUN]

    def test_retrying_takes_up_what_is_called_retriable(self, output: OutputFolder) -> None:
        write_results(output, "1", "a")
        write_errors(output, "1", ("c", "corrupt", False), ("d", "timeout", True))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=True)
        assert ledger.claim("acd", range(3)) == [SKIP, SKIP, RUN]

    @pytest.mark.parametrize(
        ("asked", "again"),
        [
            (False, ""),
            (True, "dfs"),
            (("corrupt",), "c"),
            (("not_found", "refused"), "fr"),
            (KINDS, "cdfrs"),
        ],
    )
    def test_errors_run_again_by_kind(self, output: OutputFolder, asked: Retry, again: str) -> None:
        kinds = {"c": "corrupt", "d": "timeout", "f": "not_found", "r": "refused"}
        # A version before this one called no missing file retriable; another one may have called
        # more so.
        write_errors(
            output, "1", *((unit, kind, kind == "timeout") for unit, kind in kinds.items())
        )
        write_errors(output, "2", ("s", "bad_answer", True))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=asked)
        answers = zip("cdfrs", ledger.claim("cdfrs", range(5)), strict=True)
        assert "".join(unit for unit, answer in answers if answer == RUN) == again

    def test_a_result_outlives_an_old_error_of_the_same_unit(self, output: OutputFolder) -> None:
        write_results(output, "2", "a")
        write_errors(output, "1", ("a", "timeout", True))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=False)
        assert ledger.states([unit_key("a")]) == [State.DONE_BEFORE]

    def test_repeated_ids_are_counted_across_files(self, output: OutputFolder) -> None:
        write_results(output, "1", "a")
        write_errors(output, "1", ("a", "duplicate_id", False))
        write_errors(output, "2", ("a", "duplicate_id", False))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=False)
        assert ledger.claim("aaaa", range(4)) == [SKIP, SKIP, SKIP, 4]

    @pytest.mark.parametrize("folder", [RESULTS, ERRORS])
    @pytest.mark.parametrize(
        "odd", [b"", b"PAR1damaged", pa.table({"x": [1]}), pa.table({"id": [1]})]
    )
    def test_a_file_that_is_no_runs_is_named(
        self, output: OutputFolder, folder: str, odd: bytes | pa.Table
    ) -> None:
        if isinstance(odd, bytes):
            output.write_bytes(f"{folder}/odd.parquet", odd)
        else:
            output.write_table(f"{folder}/odd.parquet", odd)
        with pytest.raises(ConfigurationError, match=rf"{folder}/odd\.parquet .*Move it out"):
            load_output(Ledger(), output, retry_errors=False)

    def test_an_empty_output(self, output: OutputFolder) -> None:
        ledger = Ledger()
        load_output(ledger, output, retry_errors=False)
        assert ledger.claim("a", [0]) == [RUN]


class TestDroppingOldErrors:
    def drop(self, output: OutputFolder, ledger: Ledger) -> list[tuple[str, str]]:
        drop_superseded_errors(ledger, output, output.files(ERRORS))
        return errors_in(output)

    def test_those_of_units_with_a_newer_row_go(self, output: OutputFolder) -> None:
        write_errors(
            output, "1", ("a", "timeout", True), ("b", "timeout", True), ("c", "timeout", True)
        )
        ledger = Ledger()
        ledger.claim("abc", range(3))
        ledger.written([unit_key("a")], State.RESULT)
        ledger.written([unit_key("b")], State.ERROR)
        # interrupted before c: its error still stands
        assert self.drop(output, ledger) == [("c", "timeout")]

    def test_a_file_without_rows_goes_altogether(self, output: OutputFolder) -> None:
        write_errors(output, "1", ("a", "timeout", True))
        ledger = Ledger()
        ledger.preload(unit_key("a"), State.DONE_BEFORE)
        assert self.drop(output, ledger) == []
        assert output.files(ERRORS) == []

    def test_the_error_of_a_document_goes_when_its_pages_are_there(
        self, output: OutputFolder
    ) -> None:
        write_errors(output, "1", ("book", "timeout", True))
        ledger = Ledger()
        ledger.claim(["book"], [0])
        ledger.explode(unit_key("book"), ["book#page=1"], 0)
        assert self.drop(output, ledger) == []

    def test_the_newer_of_two_errors_stays(self, output: OutputFolder) -> None:
        write_errors(output, "1", ("a", "timeout", True), ("b", "timeout", True))
        write_errors(output, "2", ("a", "corrupt", False))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=False)
        assert self.drop(output, ledger) == [("b", "timeout"), ("a", "corrupt")]

    def test_errors_of_rows_that_left_the_manifest_stay(self, output: OutputFolder) -> None:
        write_errors(output, "1", ("gone", "corrupt", False))
        ledger = Ledger()
        load_output(ledger, output, retry_errors=False)
        ledger.claim("a", [0])
        assert self.drop(output, ledger) == [("gone", "corrupt")]
