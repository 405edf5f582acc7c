"""Only what a run of this project wrote is ever removed or rewritten, whatever folder it stands
in."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger, State
from pipelines.output.documents import write_documents
from pipelines.output.folder import DOCUMENTS, ERRORS, RESULTS, OutputFolder
from pipelines.output.overwrite import MARKER, begin
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.resume import drop_superseded_errors

RUN = "20260101T000000-abc123"
ROW = {"id": ["a"], "kind": ["timeout"], "run_id": [RUN]}
FOREIGN = {
    "another name": ("table.parquet", pa.table(ROW, metadata=mark(RUN))),
    "the name of another run": (
        parquet_name("20260101T000000-ffffff", 0),
        pa.table(ROW, metadata=mark(RUN)),
    ),
    "no metadata and no column run_id": (parquet_name(RUN, 0), pa.table({"id": ["a"]})),
    "rows of several runs": (
        parquet_name(RUN, 0),
        pa.table({"id": ["a", "b"], "run_id": [RUN, "x"]}),
    ),
    "a mark that is no JSON": (
        parquet_name(RUN, 0),
        pa.table(ROW, metadata={"internvl_batch": "!"}),
    ),
    "a name without the form of a run": (
        parquet_name("part", 0),
        pa.table({"id": ["a"], "run_id": ["part"]}),
    ),
}
OURS = {
    "marked": (parquet_name("any run", 0), pa.table({"x": [1]}, metadata=mark("any run"))),
    "of a version without marks": (parquet_name(RUN, 12), pa.table(ROW)),
}


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(str(tmp_path / "out"))


@pytest.mark.parametrize("folder", [RESULTS, ERRORS, DOCUMENTS])
class TestClearing:
    @pytest.mark.parametrize("kind", FOREIGN)
    def test_leaves_what_is_not_proven_to_be_a_runs(
        self, output: OutputFolder, folder: str, kind: str
    ) -> None:
        name, table = FOREIGN[kind]
        output.write_table(f"{folder}/{name}", table)
        output.clear()
        assert output.files(folder) == [f"{folder}/{name}"]

    @pytest.mark.parametrize("data", [b"", b"PAR1 and no more", b"%PDF-1.7"])
    def test_leaves_files_that_are_no_parquet(
        self, output: OutputFolder, folder: str, data: bytes
    ) -> None:
        names = [parquet_name(RUN, 0), "a.pdf", "deeper/b.pdf"]
        for name in names:
            output.write_bytes(f"{folder}/{name}", data)
        output.clear()
        assert all(output.read_bytes(f"{folder}/{name}") == data for name in names)

    @pytest.mark.parametrize("kind", OURS)
    def test_removes_what_a_run_wrote_but_for_the_runs_to_keep(
        self, output: OutputFolder, folder: str, kind: str
    ) -> None:
        name, table = OURS[kind]
        output.write_table(f"{folder}/{name}", table)
        output.clear(keep=["any run", RUN])
        assert len(output.files(folder)) == 1
        output.clear()
        assert output.files(folder) == []


def test_errors_in_a_file_of_somebody_else_are_not_taken_out_of_it(output: OutputFolder) -> None:
    output.write_table("errors/mine.parquet", pa.table(ROW))
    ledger = Ledger()
    ledger.preload(unit_key("a"), State.DONE_BEFORE)
    drop_superseded_errors(ledger, output, output.files(ERRORS))
    assert len(output.read_table("errors/mine.parquet")) == 1


class TestDocuments:
    def test_a_run_spares_parquet_that_it_did_not_write(self, output: OutputFolder) -> None:
        output.write_table("documents/manifest.parquet", pa.table({"document": ["a.pdf"]}))
        write_documents(output, "text", "parquet", "run")
        assert output.files(DOCUMENTS) == ["documents/manifest.parquet"]

    def page(self, output: OutputFolder, number: int, text: str) -> None:
        page = {
            "id": [f"a#page={number}"],
            "parent": ["a"],
            "page": pa.array([number], pa.int32()),
            "text": [text],
        }
        output.write_table(
            f"results/{number}.parquet", pa.table({**page, "finish_reason": ["stop"]})
        )

    @pytest.fixture
    def book(self, output: OutputFolder) -> OutputFolder:
        self.page(output, 1, "one")
        return output

    def test_a_users_markdown_of_the_same_name_stays_and_the_document_stands_beside_it(
        self, book: OutputFolder
    ) -> None:
        book.write_bytes("documents/a.md", b"my own notes")
        for run, text in (
            ("20261127T100000-000001", b"one\n"),
            ("20261127T110000-000002", b"one\n\ntwo\n"),
        ):
            assert write_documents(book, "text", "markdown", run) == 1
            assert book.read_bytes("documents/a.md") == b"my own notes"
            assert book.read_bytes(f"documents/a.{run}.md") == text
            self.page(book, 2, "two")
        assert sorted(book.list_names(DOCUMENTS)) == ["a.20261127T110000-000002.md", "a.md"]

    def test_markdown_that_a_user_edited_stays(self, book: OutputFolder) -> None:
        write_documents(book, "text", "markdown", "run-1")
        book.write_bytes("documents/a.md", b"one, corrected")
        write_documents(book, "text", "markdown", "run-2")
        assert book.list_names(DOCUMENTS) == ["a.md"]  # nothing is new
        self.page(book, 2, "two")
        write_documents(book, "text", "markdown", "run-3")
        assert book.read_bytes("documents/a.md") == b"one, corrected"
        assert book.read_bytes("documents/a.run-3.md") == b"one\n\ntwo\n"

    def test_markdown_of_a_run_is_replaced_and_goes_with_its_document(
        self, book: OutputFolder
    ) -> None:
        write_documents(book, "text", "markdown", "run-1")
        write_documents(book, "text", "markdown", "run-2")
        assert book.list_names(DOCUMENTS) == ["a.md"]
        book.remove("results/1.parquet")
        write_documents(book, "text", "markdown", "run-3")
        assert book.list_names(DOCUMENTS) == []


class TestOverwriting:
    def finished(self, output: OutputFolder, run: str, *ids: str) -> str:
        name = f"{RESULTS}/{parquet_name(run, 0)}"
        output.write_table(name, pa.table({"id": ids}, metadata=mark(run)))
        return name

    def test_old_files_stay_until_the_new_ones_are_complete(self, output: OutputFolder) -> None:
        old = self.finished(output, "old", "a", "b")
        overwrite = begin(output, "new", wanted=True, kind="k")
        new = self.finished(output, "new", "a", "b")
        assert output.files(RESULTS) == sorted([old, new])
        assert overwrite.old == {old}
        assert overwrite.finish(output, results=2)
        assert output.files(RESULTS) == [new]
        assert begin(output, "next", wanted=False, kind="k").runs == ()

    @pytest.mark.parametrize("wanted", [True, False])
    def test_the_next_run_goes_on_with_one_that_was_killed(
        self, output: OutputFolder, wanted: bool
    ) -> None:
        old = self.finished(output, "old", "a", "b")
        begin(output, "new-1", wanted=True, kind="k")
        first = self.finished(output, "new-1", "a")
        overwrite = begin(output, "new-2", wanted=wanted, kind="k")
        assert overwrite.old == {old}
        second = self.finished(output, "new-2", "b")
        overwrite.finish(output, results=2)
        assert output.files(RESULTS) == [first, second]

    def test_one_of_another_kind_is_refused_or_begun_anew(self, output: OutputFolder) -> None:
        old = self.finished(output, "old", "a")
        begin(output, "new-1", wanted=True, kind="k")
        first = self.finished(output, "new-1", "a")
        with pytest.raises(
            ConfigurationError, match=r"run new-1 began to replace .*Repeat its command"
        ):
            begin(output, "other", wanted=False, kind="other")
        assert begin(output, "other", wanted=True, kind="other").old == {old, first}

    def test_one_that_wrote_nothing_is_forgotten(self, output: OutputFolder) -> None:
        self.finished(output, "old", "a")
        begin(output, "new-1", wanted=True, kind="k")
        assert begin(output, "other", wanted=False, kind="other").old == set()
        assert not output.fs.exists(f"{output.root}/{MARKER}")

    def test_one_without_a_result_removes_none(self, output: OutputFolder) -> None:
        old = self.finished(output, "old", "a")
        overwrite = begin(output, "new", wanted=True, kind="k")
        errors = pa.table(
            {"id": ["a", "b"], "kind": ["not_found", "not_found"]}, metadata=mark("new")
        )
        output.write_table(f"{ERRORS}/{parquet_name('new', 0)}", errors)
        assert not overwrite.finish(output, results=0)
        assert output.files(RESULTS) == [old]
        assert [table["id"].to_pylist() for _, table in output.read_tables(ERRORS, ["id"])] == [
            ["b"]
        ]

    @pytest.mark.parametrize("folder", [RESULTS, ERRORS])
    def test_a_file_of_somebody_else_among_the_results_ends_it_before_it_starts(
        self, output: OutputFolder, folder: str
    ) -> None:
        output.write_table(f"{folder}/mine.parquet", pa.table({"id": ["a"]}))
        with pytest.raises(
            ConfigurationError, match=rf"{folder}/mine\.parquet was not written by a run"
        ):
            begin(output, "new", wanted=True, kind="k")
        assert not output.fs.exists(f"{output.root}/{MARKER}")
