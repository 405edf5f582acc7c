"""Pages become documents again: in order, whole, failed pages marked, whatever file or run they
came from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.output.compaction import compact
from pipelines.output.document_rows import Joining
from pipelines.output.documented import mark_stale
from pipelines.output.documents import write_documents
from pipelines.output.folder import DOCUMENTS, ERRORS, RESULTS, OutputFolder
from pipelines.output.markdown import markdown_name
from pipelines.output.ownership import mark, parquet_name

BOX = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(str(tmp_path / "out"))


def results(
    output: OutputFolder, name: str, *pages: tuple[str, int, str], reason: str = "stop"
) -> None:
    rows = [
        {
            "id": f"{parent}#page={page}",
            "parent": parent,
            "page": page,
            "text": text,
            "finish_reason": reason,
        }
        for parent, page, text in pages
    ]
    output.write_table(f"{RESULTS}/{name}.parquet", pa.Table.from_pylist(rows))


def errors(
    output: OutputFolder, name: str, *ids: str, kind: str = "corrupt", stage: str = "decode"
) -> None:
    rows = [
        {"id": unit_id, "stage": stage, "kind": kind, "message": f"--> {unit_id} is\nbroken"}
        for unit_id in ids
    ]
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


@pytest.mark.parametrize(
    ("reason", "text", "mark"),
    [
        ("length", "two", "two\n\n<!-- page 2 ends early: its answer was cut off -->"),
        (
            "repetition",
            "two two",
            "two two\n\n<!-- page 2 ends early: its answer went round in a circle",
        ),
        ("blank", "", "<!-- page 2 is blank -->"),
        ("text_layer", "two", "two"),
    ],
)
def test_how_a_page_ended_is_marked_in_its_place_and_counted(
    output: OutputFolder, reason: str, text: str, mark: str
) -> None:
    results(output, "a", ("book", 1, "one"), ("book", 3, "three"))
    results(output, "b", ("book", 2, text), reason=reason)
    errors(output, "a", "book#page=4")
    write_documents(output, "text", "parquet", "run")
    book = documents(output)["book"]
    assert book["text"].startswith(f"one\n\n{mark}")
    assert "\n\nthree\n\n<!-- page 4 failed: corrupt" in book["text"]
    assert book["cut_pages"] == ([2] if reason in ("length", "repetition") else [])
    assert book["blank_pages"] == ([2] if reason == "blank" else [])
    counts = {one["finish_reason"]: one["pages"] for one in book["finish_reasons"]}
    assert counts == {"stop": 2, reason: 1, "failed": 1}


def test_what_the_pdf_says_of_itself_comes_along(output: OutputFolder) -> None:
    about = '{"title": "A book", "author": "N. N.", "language": "de", "outline": [{"level": 1}]}'
    rows = [
        {
            "id": f"b#page={page}",
            "parent": "b",
            "page": page,
            "text": "x",
            "finish_reason": "stop",
            "page_label": label,
        }
        | {"document_info": about if page == 1 else None}
        for page, label in ((1, "iv"), (2, None))
    ]
    output.write_table(f"{RESULTS}/a.parquet", pa.Table.from_pylist(rows))
    results(output, "b", ("old", 1, "one"))  # begun before there were the columns
    write_documents(output, "text", "parquet", "run")
    book, old = documents(output)["b"], documents(output)["old"]
    assert (book["title"], book["author"], book["language"], book["document_info"]) == (
        "A book",
        "N. N.",
        "de",
        about,
    )
    assert book["page_labels"] == ["iv", None]
    assert (old["title"], old["page_labels"], old["document_info"]) == (None, None, None)


def test_blocks_of_all_pages_come_with_their_page_and_furniture_goes(output: OutputFolder) -> None:
    def block(kind: str, **more: object) -> dict[str, object]:
        return {"type": kind, "level": None, "order": 1, "text": kind, "html": None} | more

    def page(number: int, *blocks: dict[str, object]) -> dict[str, object]:
        said = {"id": f"b#page={number}", "parent": "b", "page": number, "response": "x"}
        return said | {"text": "x", "finish_reason": "stop", "blocks": list(blocks)}

    old = page(2, block("header"), block("paragraph"))  # begun before there were boxes
    output.write_table(f"{RESULTS}/a.parquet", pa.Table.from_pylist([old]))
    table = pa.Table.from_pylist([page(1, block("figure", box=BOX, box_points=None))])
    output.write_table(f"{RESULTS}/b.parquet", table)
    errors(output, "a", "b#page=3")
    results(output, "c", ("plain", 1, "one"))
    write_documents(output, "text", "parquet", "run")
    blocks = documents(output)["b"]["blocks"]
    assert [(one["page"], one["type"]) for one in blocks] == [
        (1, "figure"),
        (2, "header"),
        (2, "paragraph"),
    ]
    assert (blocks[0]["box"], blocks[1]["box"]) == (BOX, None)
    assert documents(output)["plain"]["blocks"] is None
    write_documents(output, "text", "parquet", "again", Joining(drops_furniture=True))
    kinds = [one["type"] for one in documents(output)["b"]["blocks"]]
    assert kinds == ["figure", "paragraph"]


def test_how_sure_the_model_was_comes_along(output: OutputFolder) -> None:
    rows = [
        {
            "id": f"b#page={page}",
            "parent": "b",
            "page": page,
            "response": "x",
            "text": "x",
            "finish_reason": reason,
        }
        | {"mean_logprob": logprob}
        for page, reason, logprob in ((1, "stop", -0.125), (2, "blank", None), (4, "stop", -1.5))
    ]
    output.write_table(f"{RESULTS}/a.parquet", pa.Table.from_pylist(rows))
    errors(output, "a", "b#page=3")
    results(output, "b", ("unasked", 1, "one"))
    write_documents(output, "text", "parquet", "run")
    book, unasked = documents(output)["b"], documents(output)["unasked"]
    assert (book["page_logprobs"], book["min_logprob"]) == ([-0.125, None, None, -1.5], -1.5)
    assert (unasked["page_logprobs"], unasked["min_logprob"]) == (None, None)


def test_a_column_of_the_manifest_says_nothing_of_the_model(output: OutputFolder) -> None:
    row = {
        "id": "b#page=1",
        "mean_logprob": "high",
        "response": "x",
        "parent": "b",
        "page": 1,
        "text": "x",
    }
    output.write_table(
        f"{RESULTS}/a.parquet", pa.Table.from_pylist([row | {"finish_reason": "stop"}])
    )
    write_documents(output, "text", "parquet", "run")
    assert documents(output)["b"]["page_logprobs"] is None


def test_pages_are_joined_where_nothing_is_missing_between_them(output: OutputFolder) -> None:
    results(
        output, "a", ("book", 1, "for exam-"), ("book", 2, "ple it runs"), ("book", 3, "on and")
    )
    results(output, "b", ("book", 5, "more it"), ("book", 7, "goes"))
    errors(output, "a", "book#page=4")
    write_documents(output, "text", "parquet", "run", Joining(words=True, paragraphs=True))
    first, failed, *others = documents(output)["book"]["text"].split("\n\n")
    assert first == "for example it runs on and"
    assert failed.startswith("<!-- page 4 failed")
    assert others == ["more it", "goes"]


def test_furniture_is_dropped_before_pages_are_joined(output: OutputFolder) -> None:
    pages = [("book", page, f"A Journal {page}\n\nit runs\n\n- {page} -") for page in (1, 2, 3)]
    results(output, "a", *pages, ("book", 5, "A Journal 5\n\n7"))
    errors(output, "a", "book#page=4")
    write_documents(
        output, "text", "parquet", "run", Joining(paragraphs=True, drops_furniture=True)
    )
    first, failed, last = documents(output)["book"]["text"].split("\n\n")
    assert (first, failed[:13], last) == ("it runs it runs it runs", "<!-- page 4 f", "7")
    write_documents(output, "text", "parquet", "run-2")
    assert documents(output)["book"]["text"].startswith(
        "A Journal 1\n\nit runs\n\n- 1 -\n\nA Journal 2"
    )


def test_numbered_headings_have_the_levels_of_their_numbers(output: OutputFolder) -> None:
    results(output, "a", ("book", 1, "# 1 A"), ("book", 2, "# 1.1 B"), ("book", 3, "# 2 C"))
    write_documents(output, "text", "parquet", "run", Joining(headings=True))
    assert documents(output)["book"]["text"] == "# 1 A\n\n## 1.1 B\n\n# 2 C"


def test_another_way_to_join_makes_all_documents_anew(output: OutputFolder) -> None:
    results(output, "a", ("book", 1, "it runs"), ("book", 2, "on"), ("other", 1, "x"))
    assert write_documents(output, "text", "parquet", "run-1") == 2
    assert write_documents(output, "text", "parquet", "run-2") == 0
    assert write_documents(output, "text", "parquet", "run-3", Joining(paragraphs=True)) == 2
    assert documents(output)["book"]["text"] == "it runs on"
    assert write_documents(output, "text", "parquet", "run-4", Joining(paragraphs=True)) == 0


@pytest.mark.parametrize(
    ("unit_id", "stage"),
    [("book#page=3", "explode"), ("book#page=3", "read"), ("book#page=" + "9" * 20, "decode")],
)
def test_a_document_whose_own_id_looks_like_a_page_is_no_page(
    output: OutputFolder, unit_id: str, stage: str
) -> None:
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


class Watched(OutputFolder):
    """Keeps the names of the files that are written and removed, and may die at one of these
    changes."""

    def __init__(self, uri: str, dies_at: int | None = None) -> None:
        super().__init__(uri)
        self.changed: list[str] = []
        self._dies_at = dies_at

    def write_bytes(self, name: str, data: bytes) -> None:
        self._note(name)
        super().write_bytes(name, data)

    def remove(self, name: str) -> None:
        self._note(name)
        super().remove(name)

    def _note(self, name: str) -> None:
        if len(self.changed) == self._dies_at:
            raise KeyboardInterrupt
        self.changed.append(name)


def run_name(number: int) -> str:
    return f"20261127T1000{number:02d}-00000{number % 10}"


def finished(output: OutputFolder, run: int, *pages: tuple[str, int, str]) -> None:
    results(output, parquet_name(run_name(run), 0).removesuffix(".parquet"), *pages)


@pytest.mark.parametrize("form", ["parquet", "markdown"])
class TestNights:
    def test_a_night_makes_the_documents_that_have_new_pages(
        self, output: OutputFolder, form: str
    ) -> None:
        finished(output, 1, ("a", 1, "one"), ("b", 1, "one"))
        assert write_documents(output, "text", form, run_name(1)) == 2
        finished(output, 2, ("b", 2, "two"), ("c", 1, "one"))
        assert write_documents(output, "text", form, run_name(2)) == 2
        assert texts(output, form) == {"a": "one", "b": "one\n\ntwo", "c": "one"}

    def test_a_night_without_news_changes_nothing(self, output: OutputFolder, form: str) -> None:
        finished(output, 1, ("a", 1, "one"))
        write_documents(output, "text", form, run_name(1))
        again = Watched(output.uri)
        assert write_documents(again, "text", form, run_name(2)) == 0
        assert again.changed == []

    def test_a_page_that_failed_later_is_in_its_document(
        self, output: OutputFolder, form: str
    ) -> None:
        finished(output, 1, ("a", 1, "one"))
        write_documents(output, "text", form, run_name(1))
        errors(output, "b", "a#page=2")
        write_documents(output, "text", form, run_name(2))
        assert "page 2 failed" in texts(output, form)["a"]

    def test_documents_that_somebody_removed_are_made_again(
        self, output: OutputFolder, form: str
    ) -> None:
        finished(output, 1, ("a", 1, "one"))
        write_documents(output, "text", form, run_name(1))
        for name in output.list_names(DOCUMENTS):
            output.remove(f"{DOCUMENTS}/{name}")
        write_documents(output, "text", form, run_name(2))
        assert texts(output, form) == {"a": "one"}

    def test_a_document_whose_rows_were_removed_to_run_again_goes_if_they_do_not(
        self, output: OutputFolder, form: str
    ) -> None:
        finished(output, 1, ("a", 1, "one"), ("b", 1, "one"))
        write_documents(output, "text", form, run_name(1))
        mark_stale(output, ["a"])
        finished(output, 1, ("b", 1, "one"))  # the same file, without the row
        write_documents(output, "text", form, run_name(2))
        assert texts(output, form) == {"b": "one"}

    @pytest.mark.parametrize("dies_at", range(6))
    def test_a_run_that_dies_leaves_nothing_that_the_next_does_not_mend(
        self, output: OutputFolder, form: str, dies_at: int
    ) -> None:
        finished(output, 1, ("a", 1, "one"), ("b", 1, "one"))
        write_documents(output, "text", form, run_name(1))
        finished(output, 2, ("b", 2, "two"), ("c", 1, "one"))
        with contextlib.suppress(KeyboardInterrupt):
            write_documents(Watched(output.uri, dies_at), "text", form, run_name(2))
        write_documents(output, "text", form, run_name(3))
        assert texts(output, form) == {"a": "one", "b": "one\n\ntwo", "c": "one"}

    @pytest.mark.parametrize("documented", [1, 2])
    def test_merged_files_cost_no_document(
        self, output: OutputFolder, form: str, documented: int
    ) -> None:
        """``documented``: how many of the two runs had their documents made before their files are
        merged."""
        for run, page in ((1, ("a", 1, "one")), (2, ("b", 1, "one"))):
            rows = [
                {
                    "id": f"{page[0]}#page=1",
                    "parent": page[0],
                    "page": 1,
                    "text": page[2],
                    "finish_reason": "stop",
                }
            ]
            table = pa.Table.from_pylist(rows).replace_schema_metadata(mark(run_name(run)))
            output.write_table(f"{RESULTS}/{parquet_name(run_name(run), 0)}", table)
            if run <= documented:
                write_documents(output, "text", form, run_name(run))
        assert compact(output, 1 << 20).after == 1
        assert write_documents(output, "text", form, run_name(3)) == (0 if documented == 2 else 2)
        assert texts(output, form) == {"a": "one", "b": "one"}


def texts(output: OutputFolder, form: str) -> dict[str, str]:
    if form == "parquet":
        return {name: row["text"] for name, row in documents(output).items()}
    return {
        name.removesuffix(".md"): output.read_bytes(f"{DOCUMENTS}/{name}").decode().rstrip("\n")
        for name in output.list_names(DOCUMENTS)
    }


@given(
    nights=st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3)), max_size=4, unique=True),
        min_size=1,
        max_size=4,
    )
)
def test_nights_come_to_the_same_as_one_run_over_everything(
    nights: list[list[tuple[str, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    outputs = [OutputFolder(str(tmp_path_factory.mktemp("out"))) for _ in range(2)]
    seen: set[tuple[str, int]] = set()
    for number, night in enumerate(nights, 1):
        new = [page for page in night if page not in seen]
        seen.update(new)
        for output in outputs if new else ():
            finished(output, number, *((name, page, f"{name}{page}") for name, page in new))
        write_documents(outputs[0], "text", "parquet", run_name(number))
    write_documents(outputs[1], "text", "parquet", run_name(99))
    ours, whole = (
        {name: row["text"] for name, row in documents(output).items()} for output in outputs
    )
    assert ours == whole
