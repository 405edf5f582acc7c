"""Files become their pages or clips, each claimed in a ledger."""

from __future__ import annotations

import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.media.parts import Part
from internvl_ops.preparer import Unit
from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger, State
from pipelines.stages.explode import Explode
from tests.pipelines.stages.rows import manifest_rows


class Reader:
    """Files of as many pages as their name says; `broken.pdf` cannot be read."""

    def list_parts(self, unit: Unit) -> list[Part] | UnitError:
        (media,) = unit.media
        if media.uri == "broken.pdf":
            return UnitError("explode", "corrupt", "broken.pdf: no trailer")
        return [Part(page=page) for page in range(1, int(media.uri.split(".")[0]) + 1)]


def files(*uris: str, ids: list[str] | None = None) -> pa.Table:
    ids = ids or [f"doc{n}" for n in range(len(uris))]
    return manifest_rows(
        ids, **{c.MEDIA: [[{"uri": uri, "bytes": None}] for uri in uris], "year": [1999] * len(ids)}
    )


def explode(ledger: Ledger, rows: pa.Table) -> pa.Table:
    ledger.claim(rows[c.ID].to_pylist(), rows[c.POSITION].to_pylist())
    return Explode(Reader, ledger)(rows)  # type: ignore[arg-type]


def test_every_page_is_a_unit_with_its_files_own_columns() -> None:
    ledger = Ledger()
    pages = explode(ledger, files("2.pdf", "1.pdf"))
    assert pages[c.ID].to_pylist() == ["doc0#page=1", "doc0#page=2", "doc1#page=1"]
    assert pages["parent"].to_pylist() == ["doc0", "doc0", "doc1"]
    assert pages["page"].to_pylist() == [1, 2, 1]
    assert pages["year"].to_pylist() == [1999] * 3
    assert pages[c.KEY].to_pylist() == [unit_key(page) for page in pages[c.ID].to_pylist()]
    assert ledger.counts().units == 3


def test_pages_that_are_done_are_left_out() -> None:
    ledger = Ledger()
    ledger.preload(unit_key("doc0#page=2"), State.DONE_BEFORE)
    assert explode(ledger, files("3.pdf"))[c.ID].to_pylist() == ["doc0#page=1", "doc0#page=3"]
    assert ledger.counts().already_done == 1


def test_a_file_whose_pages_are_all_done_leaves_no_row() -> None:
    ledger = Ledger()
    ledger.preload(unit_key("doc0#page=1"), State.DONE_BEFORE)
    pages = explode(ledger, files("1.pdf"))
    assert len(pages) == 0
    assert "page" in pages.column_names


def test_a_page_id_that_another_row_has_is_a_duplicate() -> None:
    ledger = Ledger()
    ledger.claim(["doc0#page=1"], [77])
    pages = explode(ledger, files("2.pdf"))
    first, second = pages[c.ERROR].to_pylist()
    assert first["kind"] == "duplicate_id"
    assert second is None
    assert len(set(pages[c.KEY].to_pylist())) == 2


def test_a_file_that_cannot_be_read_is_one_error_among_its_neighbours_pages() -> None:
    pages = explode(Ledger(), files("1.pdf", "broken.pdf", "1.pdf"))
    assert pages[c.ID].to_pylist() == ["doc0#page=1", "doc1", "doc2#page=1"]
    assert [error and error["kind"] for error in pages[c.ERROR].to_pylist()] == [
        None,
        "corrupt",
        None,
    ]


def test_a_row_that_has_failed_is_not_opened() -> None:
    rows = files("broken.pdf")
    earlier = c.error_value(UnitError("read", "bad_row", "m.jsonl:1: no id"))
    pages = explode(Ledger(), c.set_errors(rows, [earlier]))
    assert pages[c.ERROR].to_pylist() == [earlier]


def test_a_block_that_is_tried_again_gives_the_same_rows() -> None:
    """Ray repeats a task whose node was lost."""
    ledger, rows = Ledger(), files("2.pdf", "1.pdf")
    assert explode(ledger, rows).equals(explode(ledger, rows))
    assert ledger.counts().units == 3


def test_an_empty_block_goes_through() -> None:
    pages = Explode(Reader, Ledger())(files("1.pdf").slice(0, 0))  # type: ignore[arg-type]
    assert len(pages) == 0
    assert set(c.EXPLODED.names) <= set(pages.column_names)


def test_pages_that_carry_their_file_come_a_few_at_a_time() -> None:
    data = bytes(3 << 20)
    media = [
        [{"uri": uri, "bytes": content}]
        for uri, content in (("9.pdf", data), ("2.pdf", None), ("4.pdf", data))
    ]
    rows = manifest_rows(["a", "b", "c"], **{c.MEDIA: media})
    ledger = Ledger()
    ledger.claim(rows[c.ID].to_pylist(), rows[c.POSITION].to_pylist())
    tables = list(Explode(Reader, ledger)(rows))  # type: ignore[arg-type]
    pages = pa.concat_tables(table.drop_columns([c.MEDIA]) for table in tables)
    wanted = {"a": 9, "b": 2, "c": 4}
    assert pages[c.ID].to_pylist() == [
        f"{name}#page={page + 1}" for name in wanted for page in range(wanted[name])
    ]
    assert max(table[c.MEDIA].nbytes for table in tables) < 3 * len(data)
    assert all(
        len(media[0]["bytes"] or b"") in (0, len(data))
        for table in tables
        for media in table[c.MEDIA].to_pylist()
    )
