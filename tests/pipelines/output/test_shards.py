"""Parts of a job: side by side on one output, killed, with another number each night; one row a
unit."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from pipelines.ledger.ledger import Counts
from pipelines.ledger.shard import RowSum, Shard, hashes
from pipelines.output import lease, lease_holders
from pipelines.output.folder import OutputFolder
from pipelines.output.lease import Lease, LeaseLost, running
from pipelines.output.shards import (
    PartDone,
    close_parts,
    forget_parts,
    note_part,
    parts_done,
    sum_of_parts,
)
from tests.pipelines.runs import Killed, Run, execute, observe


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.1)
    monkeypatch.setattr(lease, "FRESH_S", 0.4)
    monkeypatch.setattr(lease, "EXPIRES_S", 2.5)


def hold(uri: str, name: str, shard: Shard | None) -> Lease:
    return Lease(OutputFolder(uri), name, lambda line: None, shard)


class TestLeases:
    def test_different_parts_write_side_by_side(self, uri: str) -> None:
        with hold(uri, "one", Shard(1, 2)) as one, hold(uri, "two", Shard(2, 2)) as two:
            one.hold()
            two.hold()

    @pytest.mark.parametrize("other", [Shard(1, 2), Shard(1, 3), None])
    def test_the_same_part_another_number_of_parts_and_the_whole_job_are_refused(
        self, uri: str, other: Shard | None
    ) -> None:
        with hold(uri, "first", Shard(1, 2)) as first:
            with pytest.raises(ConfigurationError, match="run first is writing to it") as refused:
                hold(uri, "second", other).__enter__()
            assert "(part 1/2)" in str(refused.value)
            assert "run another part of 2, or end that run" in str(refused.value)
            first.hold()
        with hold(uri, "third", other) as third:
            third.hold()

    def test_a_part_is_refused_while_the_whole_job_runs(self, uri: str) -> None:
        with (
            hold(uri, "whole", None),
            pytest.raises(ConfigurationError, match="run whole is writing to it"),
        ):
            hold(uri, "part", Shard(1, 2)).__enter__()

    def test_a_part_that_was_thought_dead_writes_nothing_more(
        self, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asleep = hold(uri, "asleep", Shard(1, 2))
        asleep.__enter__()
        asleep._ended.set()  # renews no more, as a suspended process
        asleep._thread.join()
        monkeypatch.setattr(lease_holders, "_machine", lambda: "another")
        with hold(uri, "whole", None) as whole:
            whole.hold()
            asleep._look_for_a_later_one()
            with pytest.raises(LeaseLost):
                asleep.hold()

    def test_an_export_sees_that_a_part_is_running(
        self, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # it looks until the part shows itself, however slow the store
        monkeypatch.setattr(lease, "EXPIRES_S", 60.0)
        assert running(OutputFolder(uri)) is None
        with hold(uri, "part", Shard(2, 3)):
            assert "part, on" in str(running(OutputFolder(uri)))
        assert running(OutputFolder(uri)) is None


def done(ids: list[str], shard: Shard) -> PartDone:
    found = hashes(pa.array(ids, pa.string()))
    own = found[shard.own(pa.array(ids, pa.string()))]
    return PartDone(
        f"run {shard}", RowSum.of(found), RowSum.of(own), Counts(len(own), len(own), 0, 0, 0)
    )


class TestTheLastPart:
    def close(self, uri: str, ids: list[str], shard: Shard, made: list[str]) -> str:
        finish = made.append
        return close_parts(
            OutputFolder(uri), "run", shard, done(ids, shard), lambda output: finish(output.uri)
        ).said

    def test_proves_the_sum_and_makes_what_is_derived(self, uri: str) -> None:
        made: list[str] = []
        ids = [f"id {number}" for number in range(50)]
        said = [self.close(uri, ids, Shard(part, 3), made) for part in (2, 3, 1)]
        assert "1 of 3 are done over this input; still to run: --shard 1/3, 3/3" in said[0]
        assert "still to run: --shard 1/3" in said[1]
        assert "all 3 have ended: 50 units in = 50 results + 0 errors" in said[2]
        assert made == [uri]

    def test_parts_of_last_nights_input_do_not_count(self, uri: str) -> None:
        made: list[str] = []
        for part in (1, 2):
            self.close(uri, ["a", "b"], Shard(part, 2), made)
        assert "still to run: --shard 2/2" in self.close(uri, ["a", "b", "c"], Shard(1, 2), made)
        assert len(made) == 1

    def test_records_the_whole_with_a_line_for_each_part(self, uri: str) -> None:
        ids = [f"id {number}" for number in range(50)]
        output = OutputFolder(uri)
        for part in (2, 1):
            shard = Shard(part, 2)
            noted = dataclasses.replace(
                done(ids, shard), started="2026-11-27T10:00:00", seconds=7.0
            )
            closing = close_parts(output, f"run-{part}", shard, noted, lambda whole: None)
        assert closing.whole["counts"] == {"units": 50, "results": 50, "errors": 0}
        runs = closing.whole["runs"]
        assert [(run["part"], run["run_id"], run["seconds"]) for run in runs] == [
            ("1/2", "run 1/2", 7.0),
            ("2/2", "run 2/2", 7.0),
        ]
        assert sum(run["results"] for run in runs) == 50
        said = sum_of_parts(output, 2)
        assert "All 2 parts: 50 units in = 50 results + 0 errors" in said
        assert f"{uri}/_runs/run-1/report.html" in said
        assert sum_of_parts(output, 3) == ""

    def test_a_part_that_begins_again_has_not_ended(self, uri: str) -> None:
        made: list[str] = []
        for part in (1, 2):
            self.close(uri, ["a", "b"], Shard(part, 2), made)
        forget_parts(OutputFolder(uri), 2, 2)
        assert "still to run: --shard 2/2" in self.close(uri, ["a", "b"], Shard(1, 2), made)
        forget_parts(OutputFolder(uri), 2)
        assert "still to run: --shard 1/2" in self.close(uri, ["a", "b"], Shard(2, 2), made)
        assert len(made) == 1

    def test_the_sum_of_an_earlier_night_is_not_said_again(self, uri: str) -> None:
        for part in (1, 2):
            self.close(uri, ["a", "b"], Shard(part, 2), [])
        self.close(uri, ["a", "b", "c"], Shard(1, 2), [])
        assert sum_of_parts(OutputFolder(uri), 2) == ""

    @given(nights=st.lists(st.tuples(st.integers(1, 3), st.text("ab", max_size=2)), max_size=12))
    def test_a_part_has_one_note_and_the_last_one_counts(
        self, nights: list[tuple[int, str]]
    ) -> None:
        with tempfile.TemporaryDirectory() as uri:
            output, last = OutputFolder(uri), {}
            for part, ids in nights:
                note_part(output, Shard(part, 3), done(list(ids), Shard(part, 3)))
                last[part] = RowSum.of(hashes(pa.array(list(ids), pa.string())))
            for read in set(last.values()):
                assert list(parts_done(output, 3, read)) == sorted(
                    part for part, one in last.items() if one == read
                )

    def test_a_sum_that_does_not_add_up_is_a_failure(self, uri: str) -> None:
        ids = [f"id {number}" for number in range(50)]
        first, second = Shard(1, 2), Shard(2, 2)
        close_parts(OutputFolder(uri), "run", first, done(ids, first), lambda output: None)
        false = PartDone("run", done(ids, second).read, RowSum(1, 7), Counts(1, 1, 0, 0, 0))
        with pytest.raises(ConfigurationError, match="rows are missing, or in two parts"):
            close_parts(OutputFolder(uri), "run", second, false, lambda output: None)


NIGHTS = st.lists(
    st.tuples(
        st.builds(
            Run,
            new_ids=st.text("abcdxABC", max_size=8),
            outage=st.booleans(),
            retry_errors=st.booleans(),
        ),
        st.integers(1, 4),
        st.lists(st.none() | st.integers(0, 3), min_size=4, max_size=4),
    ),
    min_size=1,
    max_size=3,
)


@given(nights=NIGHTS)
def test_any_number_of_parts_on_any_night_ends_with_one_row_a_unit(
    nights: list[tuple[Run, int, list[int | None]]],
) -> None:
    with tempfile.TemporaryDirectory() as uri:
        manifest, number = "", 0
        for night, of, killed in nights:
            manifest += night.new_ids
            for part, killed_at in zip(range(1, of + 1), killed, strict=False):
                number += 1
                run = Run(outage=night.outage, retry_errors=night.retry_errors, killed_at=killed_at)
                with contextlib.suppress(Killed):
                    execute(uri, manifest, run, f"20261127T10{number:04d}-aaaaaa", Shard(part, of))
        execute(uri, manifest, Run(retry_errors=True), "20261127T110000-aaaaaa")
        state, rows = observe(uri)
        seen = Counter(manifest)
        assert set(state) == {
            (name, place) for name, count in seen.items() for place in range(1, count + 1)
        }
        assert all(state[name, 1] == Run().outcome(name) for name in seen)
        assert set(rows.values()) <= {1}
