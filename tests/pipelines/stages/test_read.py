"""Manifest rows are claimed: what is done is left out, a repeated id is an error of its second
row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Ledger, State
from pipelines.sources import SourceOptions, plan_source
from pipelines.stages.read import claim, read
from tests.pipelines.stages.rows import manifest_rows


def test_rows_that_are_done_are_left_out() -> None:
    ledger = Ledger()
    ledger.preload(unit_key("b"), State.DONE_BEFORE)
    ledger.preload(unit_key("c"), State.FAILED_BEFORE)
    rows = claim(manifest_rows(["a", "b", "c", "d"]).drop_columns([c.KEY]), ledger)
    assert rows[c.ID].to_pylist() == ["a", "d"]
    assert ledger.counts().as_dict() == {
        "units": 4,
        "results": 0,
        "errors": 0,
        "already_done": 1,
        "already_failed": 1,
    }


def test_the_first_row_of_an_id_is_kept_and_the_others_are_errors_with_keys_of_their_own() -> None:
    rows = claim(manifest_rows(["a", "b", "a", "a"]).drop_columns([c.KEY]), Ledger())
    assert [error and error["kind"] for error in rows[c.ERROR].to_pylist()] == [
        None,
        None,
        "duplicate_id",
        "duplicate_id",
    ]
    assert len(set(rows[c.KEY].to_pylist())) == 4


def test_a_block_that_is_read_again_gives_the_same_rows() -> None:
    ledger, rows = Ledger(), manifest_rows(["a", "b", "a"]).drop_columns([c.KEY])
    assert claim(rows, ledger).equals(claim(rows, ledger))
    assert ledger.counts().units == 3


def test_columns_of_the_manifest_take_their_names_in_results(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"id": "a", "image": "a.jpg", "width": 3}\n')
    plan = plan_source(SourceOptions(uri=str(manifest)))
    (rows,) = read(pa.table({"split": [0]}), plan, {"width": "manifest_width"}, Ledger())
    assert rows["manifest_width"].to_pylist() == [3]
    assert rows[c.KEY].to_pylist() == [unit_key("a")]
