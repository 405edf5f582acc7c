"""Pages become documents again: in order, whole, failed pages marked, whatever file or run they came from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.output.documents import write_documents
from pipelines.output.folder import DOCUMENTS, ERRORS, RESULTS, OutputFolder
from pipelines.output.markdown import markdown_name


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(str(tmp_path / "out"))


def results(output: OutputFolder, name: str, *pages: tuple[str, int, str], reason: str = "stop") -> None:
    rows = [
        {"id": f"{parent}#page={page}", "parent": parent, "page": page, "text": text, "finish_reason": reason}
        for parent, page, text in pages
    ]
    output.write_table(f"{RESULTS}/{name}.parquet", pa.Table.from_pylist(rows))


def errors(output: OutputFolder, name: str, *ids: str, kind: str = "corrupt", stage: str = "decode") -> None:
    rows = [{"id": unit_id, "stage": stage, "kind": kind, "message": f"--> {unit_id} is\nbroken"} for unit_id in ids]
    output.write_table(f"{ERRORS}/{name}.parquet", pa.Table.from_pylist(rows))


def documents(output: OutputFolder) -> dict[str, dict]:
    tables = [output.read_table(name) for name in output.files(DOCUMENTS)]
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def test_pages_of_several_files_come_in_their_order(output: OutputFolder) -> None:
    results(output, "a", ("book", 10, "ten"), ("book", 2, "two"), ("other", 1, "alone"))
    results(output, "b", ("book", 1, "one"))
    assert write_documents(output, "text", "parquet", "run") == 2
    assert documents(output)["book"]["text"] == "one\n\ntwo\n\nten"
    assert documents(output)["other"]["num_pages"] == 1


def test_a_failed_page_stands_in_its_place(output: OutputFolder) -> None:
    results(output, "a", ("book", 1, "one"), ("book", 3, "three"))
    errors(output, "a", "book#page=2", "whole")
    write_documents(output, "text", "parquet", "run")
    book = documents(output)["book"]
    one, failed, three = book["text"].split("\n\n")
    assert (one, three) == ("one", "three")
    assert failed.startswith("<!-- page 2 failed: corrupt:")
    assert failed.count("-->") == 1
    assert [page["page"] for page in book["failed_pages"]] == [2]
    assert "whole" not in documents(output)


def test_a_page_that_was_read_in_the_end_did_not_fail(output: OutputFolder) -> None:
    results(output, "a", ("book", 1, "one"))
    errors(output, "a", "book#page=1", kind="timeout")
    errors(output, "b", "book#page=1", kind="duplicate_id")
    write_documents(output, "text", "parquet", "run")
    assert documents(output)["book"]["text"] == "one"
    assert documents(output)["book"]["failed_pages"] == []


def test_a_page_that_was_cut_off_is_named(output: OutputFolder) -> None:
    results(output, "a", ("book", 1, "one"))
    results(output, "b", ("book", 2, "two two two"), reason="repetition")
    write_documents(output, "text", "parquet", "run")
    assert documents(output)["book"]["cut_pages"] == [2]


@pytest.mark.parametrize(
    ("unit_id", "stage"), [("book#page=3", "explode"), ("book#page=3", "read"), ("book#page=" + "9" * 20, "decode")]
)
def test_a_document_whose_own_id_looks_like_a_page_is_no_page(output: OutputFolder, unit_id: str, stage: str) -> None:
    results(output, "a", ("book", 1, "one"))
    errors(output, "a", unit_id, stage=stage)
    assert write_documents(output, "text", "parquet", "run") == 1
    assert documents(output)["book"]["num_pages"] == 1


def test_a_later_run_writes_them_anew(output: OutputFolder) -> None:
    results(output, "a", ("book", 1, "one"))
    write_documents(output, "text", "parquet", "run-1")
    results(output, "b", ("book", 2, "two"))
    write_documents(output, "text", "parquet", "run-2")
    assert documents(output)["book"]["text"] == "one\n\ntwo"
    assert documents(output)["book"]["run_id"] == "run-2"


def test_markdown_files_are_named_by_any_id(output: OutputFolder) -> None:
    results(output, "a", ("../../etc/passwd", 1, "one"), ("s3://bucket/a b.pdf", 1, "# two"))
    write_documents(output, "text", "markdown", "run")
    folder = Path(output.uri) / DOCUMENTS
    assert sorted(path.read_text() for path in folder.iterdir()) == ["# two\n", "one\n"]
    assert all(path.parent == folder and path.suffix == ".md" for path in folder.iterdir())


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_file_name_can_be_a_file_name(one: str, other: str) -> None:
    assert len(markdown_name(one)) <= 200
    assert not set(markdown_name(one)) & set('/\\\0\n:*?"<>|')
    assert markdown_name(one).strip(". ")
    assert (markdown_name(one) == markdown_name(other)) == (one == other)
