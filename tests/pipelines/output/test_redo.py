"""``--only``: units are answered again, and whenever a run dies, each has its old or its new row,
never none or two."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError, ErrorKind
from pipelines.ledger.ledger import SKIP, Ledger
from pipelines.output.choosing import Choice
from pipelines.output.compaction import compact
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.redo import FOLDERS, HISTORY, KEEPS_HISTORY, Replaced, finish_redo
from pipelines.output.redo_note import begin, earlier
from pipelines.output.result_columns import result_schema
from pipelines.output.resume import drop_superseded_errors, load_output
from pipelines.output.reviews import ReviewSession, read_reviews
from pipelines.output.writer import Writer
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table
from tests.pipelines.output.test_compaction import MortalStore
from tests.pipelines.runs import Killed, OneCallAtATime, Run, execute, observe

FIRST, SECOND, THIRD = (f"2026010{day}T000000-abcdef" for day in (1, 2, 3))
OLD, NEW = "old answer", "new answer"


def first_run(folder: str, ids: str, *, retry_errors: bool = False) -> None:
    """Every unit gets an answer; ``x`` is a corrupt file."""
    execute(folder, ids, Run(retry_errors=retry_errors), FIRST)


def go_over(
    output: OutputFolder,
    manifest: Sequence[str],
    condition: str,
    *,
    run_id: str = SECOND,
    failing: str = "",
    kind: ErrorKind = "engine_failed",
    history: bool = False,
    retry_errors: bool = False,
    stops: bool = False,
) -> Replaced:
    """What ``annotate`` does with ``--only``, in one process; ``stops`` before the new rows take
    their places."""
    finish_redo(output)
    wanted = Choice(condition, output).units(earlier(output, condition, retry_errors))
    if len(wanted):
        begin(output, run_id, condition)
    older_errors = output.files(ERRORS)
    book = Ledger()
    ledger = OneCallAtATime(book)
    load_output(book, output, retry_errors=retry_errors, wanted=wanted, again=True)
    schema = result_schema(pa.schema([]), CAPTION, IMAGE)
    said = {KEEPS_HISTORY: b"yes"} if history else {}
    with Writer(
        output,
        ledger,
        schema,
        run_id=run_id,
        model="other",
        rows_per_file=2,
        folders=FOLDERS,
        metadata=said,
    ) as writer:
        for position, unit in enumerate(manifest):
            if ledger.claim([unit], [position]) == [SKIP]:
                continue
            answered = row(unit, kind=kind if unit in failing else None)
            writer.add(table([answered if unit in failing else answered | {"caption": NEW}]))
    if stops:
        return Replaced()
    done = finish_redo(output)
    drop_superseded_errors(ledger, output, older_errors)
    counts = ledger.counts()
    assert not counts.lost
    return done


def answers(folder: str | Path, columns: Sequence[str] = ("id", "caption")) -> dict[str, Any]:
    """The results as any reader finds them in the folder."""
    names = sorted(str(path) for path in (Path(folder) / RESULTS).glob("*.parquet"))
    rows = [
        row
        for name in names
        for row in pa.parquet.read_table(name, columns=list(columns)).to_pylist()
    ]
    assert max(Counter(row["id"] for row in rows).values(), default=1) == 1, (
        "two results of one unit"
    )
    return {row["id"]: row[columns[1]] for row in rows}


def failed(folder: str) -> dict[str, str]:
    rows = [
        row
        for _, table in OutputFolder(folder).read_tables(ERRORS, ["id", "kind"])
        for row in table.to_pylist()
    ]
    return {row["id"]: row["kind"] for row in rows}


def test_chosen_units_get_new_rows_and_the_others_keep_theirs(tmp_path: Path) -> None:
    folder = str(tmp_path)
    first_run(folder, "abcdex")
    before = answers(folder)
    done = go_over(OutputFolder(folder), "abcdex", "id IN ('b', 'e')")
    assert done == Replaced(results=2)
    assert answers(folder) == before | {"b": NEW, "e": NEW}
    assert answers(folder, ("id", "model")) == {
        **dict.fromkeys("acd", "tiny"),
        **dict.fromkeys("be", "other"),
    }
    assert failed(folder) == {"x": "corrupt"}


def test_rows_keep_their_files_and_their_order(tmp_path: Path) -> None:
    folder = OutputFolder(str(tmp_path))
    first_run(folder.uri, "abcde")
    before = {name: folder.read_table(name, ["id"]) for name in folder.files(RESULTS)}
    go_over(folder, "abcde", "caption LIKE '%'")
    assert {name: folder.read_table(name, ["id"]) for name in folder.files(RESULTS)} == before
    assert set(answers(folder.uri).values()) == {NEW}


def test_a_unit_that_fails_again_keeps_its_result(tmp_path: Path) -> None:
    folder = str(tmp_path)
    first_run(folder, "abcx")
    done = go_over(OutputFolder(folder), "abcx", "id IN ('a', 'b')", failing="b")
    assert done == Replaced(results=1, kept=1)
    assert answers(folder) == {"a": NEW, "b": "a picture of b", "c": "a picture of c"}
    assert failed(folder) == {"x": "corrupt"}
    kept = list((tmp_path / "_runs" / SECOND / "failed").iterdir())
    assert [pa.parquet.read_table(name)["id"].to_pylist() for name in kept] == [["b"]]


def test_errors_are_chosen_by_their_kind_and_give_way_to_results_and_newer_errors(
    tmp_path: Path,
) -> None:
    folder = str(tmp_path)
    execute(folder, "aABCx", Run(outage=True), FIRST)
    assert failed(folder) == {"A": "timeout", "B": "timeout", "C": "timeout", "x": "corrupt"}
    done = go_over(OutputFolder(folder), "aABCx", "kind = 'timeout' AND id <> 'C'", failing="B")
    assert done == Replaced(errors=1, failed=1)
    assert answers(folder) == {"a": "a picture of a", "A": NEW}
    assert failed(folder) == {"B": "engine_failed", "C": "timeout", "x": "corrupt"}


def test_units_that_no_run_did_are_not_begun(tmp_path: Path) -> None:
    folder = str(tmp_path)
    first_run(folder, "ab")
    go_over(OutputFolder(folder), "abNEW", "id >= 'b'")
    assert answers(folder) == {"a": "a picture of a", "b": NEW}


def test_the_same_command_does_nothing_more_and_another_condition_does(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    first_run(output.uri, "abc")
    assert go_over(output, "abc", "finish_reason = 'stop'", failing="c") == Replaced(
        results=2, kept=1
    )
    assert go_over(output, "abc", "finish_reason = 'stop'", run_id=THIRD) == Replaced()
    assert go_over(
        output, "abc", "finish_reason = 'stop'", run_id=THIRD, retry_errors=True
    ) == Replaced(results=1)
    assert go_over(output, "abc", "model = 'other'", run_id="20260104T000000-abcdef") == Replaced(
        results=3
    )


def test_replaced_rows_are_kept_if_asked(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    first_run(output.uri, "abc")
    go_over(output, "abc", "id <> 'a'", history=True)
    kept = [
        row
        for _, table in output.read_tables(HISTORY, ["id", "caption", "run_id"])
        for row in table.to_pylist()
    ]
    assert sorted(kept, key=lambda row: row["id"]) == [
        {"id": unit, "caption": f"a picture of {unit}", "run_id": FIRST} for unit in "bc"
    ]
    go_over(output, "abc", "id = 'b'", run_id=THIRD)
    assert sum(len(table) for _, table in output.read_tables(HISTORY, ["id"])) == 2


def test_a_rewritten_file_has_another_size_so_that_exports_see_it(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    first_run(output.uri, "ab")
    sizes = []
    for day in range(2, 9):
        go_over(output, "ab", f"id = 'a' AND {day} = {day}", run_id=f"2026010{day}T000000-abcdef")
        sizes += [output.size(name) for name in output.files(RESULTS)]
    assert all(one != next_ for one, next_ in itertools.pairwise(sizes))


CASES = st.tuples(
    st.text("abcdefxABC", min_size=1, max_size=9),
    st.text("abcdefxABC", max_size=9),
    st.text("abcABC"),
)


@settings(max_examples=40, deadline=None)
@given(
    CASES,
    st.booleans(),
    st.integers(0, 80),
    st.booleans(),
    st.sampled_from(["again", "next", "compact"]),
)
def test_each_unit_has_its_old_or_its_new_row_wherever_it_dies(
    case: tuple[str, str, str], outage: bool, killed_at: int, after: bool, then: str
) -> None:
    manifest, chosen, failing = case
    condition = f"id IN ({', '.join(repr(unit) for unit in chosen) or 'NULL'})"
    with tempfile.TemporaryDirectory() as folder:
        execute(folder, manifest, Run(outage=outage), FIRST)
        before, _ = observe(folder)
        old = answers(folder)
        with contextlib.suppress(Killed):
            go_over(
                MortalStore(folder, killed_at, after=after), manifest, condition, failing=failing
            )
        now = answers(folder)  # by any reader, at any moment; two results of a unit fail here
        for unit in old:
            assert now[unit] in ((old[unit], NEW) if unit in chosen else (old[unit],))
        for unit in now.keys() - old.keys():
            assert unit in chosen, "a unit that had an error has a result now"
        state, _ = observe(folder)
        assert state.keys() == before.keys()
        if then == "again":
            go_over(OutputFolder(folder), manifest, condition, run_id=THIRD, failing=failing)
        elif then == "next":
            execute(folder, manifest, Run(), THIRD)
        else:
            compact(OutputFolder(folder), 1 << 30)
        state, rows = observe(folder)
        assert state.keys() == before.keys()
        assert set(rows.values()) == {1}
        assert not [
            name for staged in FOLDERS.values() for name in OutputFolder(folder).files(staged)
        ]
        if then == "again":
            for unit in set(chosen) & set(manifest):
                expected = old.get(unit) if unit in failing else NEW
                assert answers(folder).get(unit) == expected


def test_every_step_of_the_end_dies_once(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The units have answers of both kinds, an old error gets a result, and one fails again."""
    execute(str(tmp_path), "abcdAB", Run(outage=True), FIRST)
    died = 0
    go_over(OutputFolder(str(tmp_path)), "abcdAB", "id <> 'c'", failing="bB", stops=True)
    staged = tmp_path_factory.mktemp("staged")
    shutil.copytree(tmp_path, staged, dirs_exist_ok=True)
    for killed_at in range(300):
        for after in (False, True):
            copy = tmp_path_factory.mktemp("copy") / "out"
            shutil.copytree(staged, copy)
            try:
                finish_redo(MortalStore(str(copy), killed_at, after=after))
            except Killed:
                died += 1
                assert {"a", "b", "c", "d"} <= answers(copy).keys()
            else:
                assert died > 40
                return
            finish_redo(OutputFolder(str(copy)))
            state, _ = observe(str(copy))
            assert len(state) == 6
            assert answers(copy) == {
                **dict.fromkeys("adA", NEW),
                **{unit: f"a picture of {unit}" for unit in "bc"},
            }
    raise AssertionError("it never ended")


def test_later_runs_with_the_first_settings_go_on(tmp_path: Path) -> None:
    """Rows that are done again with another prompt do not change what the output is."""
    output = OutputFolder(str(tmp_path))
    execute(output.uri, "aA", Run(outage=True), FIRST)
    of_first = {b"settings": json.dumps({"prompt": "first"}).encode()}
    for name in [*output.files(RESULTS), *output.files(ERRORS)]:
        rows = output.read_table(name)
        output.write_table(name, rows.replace_schema_metadata({**rows.schema.metadata, **of_first}))
    go_over(output, "aA", "kind = 'timeout' OR id = 'a'")
    for name in output.files(RESULTS):
        assert output.read_metadata(name)[b"settings"] == of_first[b"settings"]
    assert len(output.files(RESULTS)) == 2


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("colour = 'red'", "colour.*Columns there: .*caption"),
        ("caption = cat", "A text stands in single quotes"),
        ("true", "names no column"),
        ("caption", "not true or false"),
        ("id = 'a'; DROP TABLE units", "--only"),
        ("id = ", "--only"),
        ("count(*) > 1", "--only"),
        ("id IN (SELECT content FROM read_text('/etc/hostname'))", "--only"),
    ],
)
def test_what_is_no_condition_on_a_unit_is_refused(
    tmp_path: Path, condition: str, said: str
) -> None:
    first_run(str(tmp_path), "ab")
    with pytest.raises(ConfigurationError, match=said):
        Choice(condition, OutputFolder(str(tmp_path))).check()


def test_a_value_that_cannot_be_compared_is_said(tmp_path: Path) -> None:
    first_run(str(tmp_path), "ab")
    with pytest.raises(ConfigurationError, match="Could not convert"):
        Choice("id::INT = 3", OutputFolder(str(tmp_path))).units()


def test_other_outputs_and_reviews_are_columns(tmp_path: Path) -> None:
    first_run(str(tmp_path / "out"), "abcd")
    output, scores = OutputFolder(str(tmp_path / "out")), OutputFolder(str(tmp_path / "scores"))
    scores.write_table(
        f"{RESULTS}/s.parquet", pa.table({"id": ["a", "b"], "score": [3, 9], "caption": ["x", "y"]})
    )
    review = ReviewSession(output, "Ann")
    review.add("c", "bad", note="a cat")

    def chosen(condition: str) -> int:
        return len(Choice(condition, output, {"scores": scores}).units())

    assert chosen("score < 7") == 1
    assert chosen("scores.caption = 'y' AND caption LIKE 'a picture%'") == 1
    assert chosen("review = 'bad' OR score < 7") == 2
    assert chosen("review_note LIKE '%cat%'") == 1
    assert chosen("errors.kind = 'timeout'") == 0


def test_a_mark_is_about_the_answer_that_was_there(tmp_path: Path) -> None:
    output = OutputFolder(str(tmp_path))
    first_run(output.uri, "abc")
    review = ReviewSession(output, "Ann")
    review.add("a", "bad")
    review.add("b", "bad", text="a text of a person")
    tomorrow = f"{datetime.now(UTC).year + 1}0101T000000-abcdef"
    go_over(output, "abc", "review = 'bad' AND id <> 'c'", run_id=tomorrow)
    found = {
        row["id"]: (row["review"], row["review_text"]) for row in read_reviews(output).to_pylist()
    }
    assert found == {"a": (None, None), "b": (None, "a text of a person")}
