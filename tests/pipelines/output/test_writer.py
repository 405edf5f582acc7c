"""Finished rows become whole Parquet files, each unit once, with a real ledger and a real
folder."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.tasks import TEXT
from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger, State
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.ownership import mark
from pipelines.output.result_columns import (
    ERROR_SCHEMA,
    MEASURE_COLUMNS,
    kept_names,
    own_columns,
    result_schema,
)
from pipelines.output.sorts import SORTS_KEPT
from pipelines.output.writer import Writer
from tests.pipelines.finished_rows import CAPTION, IMAGE, row, table

NO_COLUMNS = pa.schema([])


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(str(tmp_path / "out"))


def writer(
    output: OutputFolder, ledger: Ledger, passthrough: pa.Schema = NO_COLUMNS, **options
) -> Writer:
    schema = result_schema(passthrough, CAPTION, IMAGE)
    return Writer(output, ledger, schema, run_id="run", model="tiny", **options)


def claim(ledger: Ledger, *ids: str) -> None:
    ledger.claim(ids, range(len(ids)))


def read(output: OutputFolder, folder: str) -> pa.Table:
    return pa.concat_tables([output.read_table(name) for name in output.files(folder)])


class TestFiles:
    def test_a_result_says_what_the_schema_promises(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a")
        passthrough = pa.schema([("year", pa.int16())])
        with writer(output, ledger, passthrough) as out:
            out.add(table([row("a") | {"year": 1999}], passthrough))
        written = read(output, RESULTS)
        promised = result_schema(passthrough, CAPTION, IMAGE)
        assert written.schema.equals(promised)
        assert written.schema.metadata == {**promised.metadata, **mark("run")}
        assert written.schema.field("caption").metadata == promised.field("caption").metadata
        assert written.to_pylist() == [
            {
                "id": "a",
                "year": 1999,
                "more_columns": None,
                "response": " a picture of a",
                "caption": "a picture of a",
                "width": 640,
                "height": 480,
                "num_tiles": 3,
                "prompt_tokens": 100,
                "completion_tokens": 7,
                "finish_reason": "stop",
                "attempts": 1,
                "notes": [],
                "source_version": '"etag"',
                "model": "tiny",
                "run_id": "run",
            }
        ]

    def test_the_tasks_columns_say_task_and_prompt(self) -> None:
        schema = result_schema(NO_COLUMNS, CAPTION, IMAGE)
        said = {b"task": b"caption", b"prompt": b"What is this?"}
        assert schema.metadata == said
        assert schema.field("caption").metadata == said
        assert schema.field("width").metadata is None

    def test_an_error_says_where_what_and_whether_to_try_again(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a", "b")
        with writer(output, ledger) as out:
            out.add(table([row("a", kind="corrupt", message="no end"), row("b", kind="timeout")]))
        assert output.files(RESULTS) == []
        written = read(output, ERRORS)
        assert written.schema.names[: len(ERROR_SCHEMA)] == ERROR_SCHEMA.names
        assert written.to_pylist()[0] == {
            "id": "a",
            "source": "m.jsonl:a",
            "stage": "decode",
            "kind": "corrupt",
            "message": "no end",
            "attempts": 1,
            "retriable": False,
            "run_id": "run",
            "retry": "--retry-errors corrupt",
            "media": None,
            "source_version": None,
            "more_columns": None,
        }
        assert written["retriable"].to_pylist() == [False, True]

    def test_files_hold_the_rows_asked_for_and_the_rest(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        ids = [str(number) for number in range(25)]
        claim(ledger, *ids)
        with writer(output, ledger, rows_per_file=10) as out:
            for unit_id in ids:
                out.add(table([row(unit_id)]))
        assert [len(output.read_table(name)) for name in output.files(RESULTS)] == [10, 10, 5]
        assert read(output, RESULTS)["id"].to_pylist() == ids

    def test_a_file_is_full_by_its_size(self, output: OutputFolder, ledger: Ledger) -> None:
        """What --file-mb sets."""
        ids = [f"{number:06d}" for number in range(4_000)]
        claim(ledger, *ids)
        with writer(output, ledger, file_bytes=40_000) as out:
            for start in range(0, len(ids), 100):
                out.add(table([row(unit_id) for unit_id in ids[start : start + 100]]))
        assert read(output, RESULTS)["id"].to_pylist() == ids
        sizes = [output.size(name) for name in output.files(RESULTS)]
        rows = [len(output.read_table(name)) for name in output.files(RESULTS)]
        assert len(sizes) > 2
        assert max(sizes) < 60_000
        # its rows take twice as much memory at most, however well they are packed
        assert rows[1] > rows[0] / 2

    def test_without_rows_there_are_no_files(self, output: OutputFolder, ledger: Ledger) -> None:
        with writer(output, ledger) as out:
            out.add(table([]))
        assert output.files(RESULTS) == output.files(ERRORS) == []

    def test_duckdb_and_pandas_read_the_folder(
        self, tmp_path: Path, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a", "b")
        with writer(output, ledger, rows_per_file=1) as out:
            out.add(table([row("a")]))
            out.add(table([row("b")]))
        found = duckdb.sql(
            f"select id, caption from '{tmp_path}/out/results/*.parquet' order by id"
        ).fetchall()
        assert found == [("a", "a picture of a"), ("b", "a picture of b")]
        assert len(pq.read_table(tmp_path / "out" / "results").to_pandas()) == 2


class TestManifestColumns:
    @pytest.mark.parametrize(
        ("manifest", "kept"),
        [
            (["year"], ["year"]),
            (["caption", "width"], ["manifest_caption", "manifest_width"]),
            (["notes", "num_frames"], ["manifest_notes", "manifest_num_frames"]),
            # An output that is the next job's manifest has both.
            (["caption", "manifest_caption"], ["manifest_manifest_caption", "manifest_caption"]),
            (["Width", "ID"], ["manifest_Width", "manifest_ID"]),
            (["Foo", "foo", "FOO"], ["Foo", "manifest_foo", "manifest_manifest_FOO"]),
            (
                ["__key", "__part", "__anything"],
                ["manifest___key", "manifest___part", "manifest___anything"],
            ),
            (["manifest_caption", "caption"], ["manifest_caption", "manifest_manifest_caption"]),
        ],
    )
    def test_one_that_a_result_needs_is_renamed(self, manifest: list[str], kept: list[str]) -> None:
        passthrough = pa.schema([(name, pa.string()) for name in manifest])
        names = kept_names(passthrough, IMAGE)
        assert [names[name] for name in manifest] == kept
        written = result_schema(passthrough, CAPTION, IMAGE).names
        assert len(written) == len({name.lower() for name in written})

    @pytest.mark.parametrize("kind", ["video", "document"])
    def test_one_that_exploding_needs_is_renamed(self, kind: str) -> None:
        passthrough = pa.schema([("page", pa.string()), ("clip_start", pa.string())])
        names = kept_names(
            passthrough,
            own_columns(CAPTION, TEXT.columns(CAPTION.columns), MEASURE_COLUMNS[kind, True]),
        )
        assert names == {"page": "manifest_page", "clip_start": "manifest_clip_start"}
        assert set(kept_names(passthrough, IMAGE).values()) == {"page", "clip_start"}


class TestOnce:
    def test_a_row_that_arrives_again_later(self, output: OutputFolder, ledger: Ledger) -> None:
        claim(ledger, "a", "b")
        with writer(output, ledger, rows_per_file=1) as out:
            for unit_id in ("a", "b", "a"):
                out.add(table([row(unit_id)]))
        assert read(output, RESULTS)["id"].to_pylist() == ["a", "b"]
        assert out.totals.results == 2

    def test_a_row_that_arrives_again_before_the_first_is_written(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a", "b")
        with writer(output, ledger) as out:
            out.add(table([row("a"), row("b"), row("a")]))
            out.add(table([row("a")]))
        assert read(output, RESULTS)["id"].to_pylist() == ["a", "b"]

    def test_a_row_that_arrives_again_with_another_outcome(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a")
        with writer(output, ledger) as out:
            out.add(table([row("a")]))
            out.add(table([row("a", kind="timeout")]))
        assert read(output, RESULTS)["id"].to_pylist() == ["a"]
        assert output.files(ERRORS) == []
        assert ledger.counts().lost == 0

    def test_the_rows_of_a_repeated_id_are_units_of_their_own(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a", "a")
        with writer(output, ledger) as out:
            out.add(table([row("a"), row("a", kind="duplicate_id", occurrence=2)]))
        assert (
            read(output, RESULTS)["id"].to_pylist()
            == read(output, ERRORS)["id"].to_pylist()
            == ["a"]
        )
        assert ledger.counts().lost == 0


class TestTotals:
    def test_they_add_up(self, output: OutputFolder, ledger: Ledger) -> None:
        claim(ledger, *"abcde")
        rows = [
            row("a"),
            row("b"),
            row("c", kind="corrupt"),
            row("d", kind="corrupt", message="other"),
        ]
        with writer(output, ledger, rows_per_file=2) as out:
            out.add(table([*rows, row("e", kind="timeout")]))
        totals = out.totals
        assert (totals.results, totals.errors) == (2, 3)
        assert (totals.prompt_tokens, totals.completion_tokens, totals.tiles) == (200, 14, 6)
        assert totals.kinds == {"corrupt": 2, "timeout": 1}
        assert {sort.example: sort.units for sort in totals.messages["corrupt"].most_common()} == {
            "it broke": 1,
            "other": 1,
        }

    def test_errors_are_of_one_sort_whatever_the_files_are_called(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        names = ["a b.tga", "bank (2).TGA", "üñ: x", "12"]
        claim(ledger, *names)
        rows = [
            row(name, kind="unsupported", message=f"{name}: not an image this job reads")
            | {c.PLACES: [name]}
            for name in names
        ]
        with writer(output, ledger) as out:
            out.add(table(rows, pa.schema([(c.PLACES, pa.list_(pa.string()))])))
        (sort,) = out.totals.messages["unsupported"].most_common()
        assert (sort.units, sort.example) == (4, "a b.tga: not an image this job reads")

    def test_notes_of_results_are_counted(self, output: OutputFolder, ledger: Ledger) -> None:
        claim(ledger, *"abc")
        rows = [
            row("a") | {"notes": ["first frame of 12"]},
            row("b") | {"notes": ["first frame of 3"]},
            row("c"),
        ]
        with writer(output, ledger) as out:
            out.add(table(rows))
        (sort,) = out.totals.notes.most_common()
        assert (sort.units, sort.example) == (2, "first frame of 12")

    def test_a_million_different_messages_are_not_all_kept(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        ids = [str(number) for number in range(300)]
        claim(ledger, *ids)
        with writer(output, ledger) as out:
            sorts = ["".join(chr(97 + int(digit)) for digit in unit_id) for unit_id in ids]
            out.add(
                table(
                    [
                        row(i, kind="corrupt", message=text)
                        for i, text in zip(ids, sorts, strict=True)
                    ]
                )
            )
        assert out.totals.kinds == {"corrupt": 300}
        assert len(out.totals.messages["corrupt"]) == SORTS_KEPT


class BookThatTells:
    """A ledger that says when something was booked."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.booked = threading.Event()
        self.pending = ledger.pending

    def written(self, keys: list[bytes], state: State) -> None:
        self._ledger.written(keys, state)
        self.booked.set()


class TestTime:
    def test_a_row_that_waits_is_written_while_the_file_is_not_full(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a")
        book = BookThatTells(ledger)
        with writer(output, book, commit_seconds=0.01) as out:  # type: ignore[arg-type]
            out.add(table([row("a")]))
            assert book.booked.wait(30)
            assert read(output, RESULTS)["id"].to_pylist() == ["a"]
            assert ledger.states([unit_key("a")]) == [State.RESULT]

    def test_a_row_is_in_a_file_before_it_is_booked(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a")
        seen: list[list[str]] = []
        book = BookThatTells(ledger)
        book.booked.set = lambda: seen.append(output.files(RESULTS))  # type: ignore[method-assign]
        with writer(output, book) as out:  # type: ignore[arg-type]
            out.add(table([row("a")]))
        assert seen == [["results/run-000000.parquet"]]


class TestAStoreThatFails:
    @pytest.fixture
    def blocked(self, tmp_path: Path) -> OutputFolder:
        """An output whose results/ is a file, so that nothing can be written into it."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "results").write_text("in the way")
        return OutputFolder(str(tmp_path / "out"))

    def test_close_raises_what_the_store_said(self, blocked: OutputFolder, ledger: Ledger) -> None:
        claim(ledger, "a")
        out = writer(blocked, ledger)
        out.add(table([row("a")]))
        with pytest.raises(OSError, match="results"):
            out.close()
        assert ledger.counts().lost == 1  # not booked, so the next run does it again

    def test_add_raises_instead_of_filling_memory(
        self, blocked: OutputFolder, ledger: Ledger
    ) -> None:
        ids = [str(number) for number in range(200)]
        claim(ledger, *ids)
        out = writer(blocked, ledger, rows_per_file=1)

        def add_more_than_the_queue_holds() -> None:
            for unit_id in ids:
                out.add(table([row(unit_id)]))

        with pytest.raises(OSError, match="results"):
            add_more_than_the_queue_holds()
        with pytest.raises(OSError, match="results"):
            out.close()

    def test_leaving_the_block_does_not_hang(self, blocked: OutputFolder, ledger: Ledger) -> None:
        claim(ledger, "a")
        with pytest.raises(OSError, match="results"), writer(blocked, ledger) as out:
            out.add(table([row("a")]))

    def test_what_came_before_an_interrupt_is_written(
        self, output: OutputFolder, ledger: Ledger
    ) -> None:
        claim(ledger, "a")

        def interrupted() -> None:
            with writer(output, ledger) as out:
                out.add(table([row("a")]))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert read(output, RESULTS)["id"].to_pylist() == ["a"]


def test_an_error_says_what_the_manifest_says_of_its_row(
    output: OutputFolder, ledger: Ledger
) -> None:
    claim(ledger, "a")
    passthrough = pa.schema([("year", pa.int16()), ("source", pa.string())])
    failed = row("a", kind="corrupt") | {"year": 1999, "source": "museum"}
    with writer(output, ledger, passthrough) as out:
        out.add(table([failed], passthrough))
    (error,) = read(output, ERRORS).to_pylist()
    assert (error["year"], error["manifest_source"], error["source"]) == (
        1999,
        "museum",
        "m.jsonl:a",
    )
    assert error["retry"] == "--retry-errors corrupt"
