"""Rows reach a form as another table about the same units would have them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from internvl_ops.tasks import caption
from pipelines.exports.answers import open_answers
from pipelines.exports.counts import ExportCounts
from pipelines.exports.options import ExportOptions
from pipelines.exports.parts import RowRange, plan_parts
from pipelines.exports.rows import ResultReader
from pipelines.exports.run import plan_export
from pipelines.output.folder import OutputFolder
from tests.pipelines.exports.outputs import write_output

IMAGE = pa.schema([("image", pa.string())])


@dataclass(frozen=True)
class Verdicts:
    """Drops some rows, marks the others, and has an edited text for one."""

    dropped: frozenset[str]
    edited: tuple[str, str]
    key: str = "verdicts"
    needs: tuple[str, ...] = ("caption",)

    def columns(self, schema: pa.Schema) -> pa.Schema:
        return schema.append(pa.field("verdict", pa.string()))

    def join(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        kept = rows.filter(pc.invert(pc.is_in(rows["id"], pa.array(sorted(self.dropped)))))
        name, text = self.edited
        captions = pc.if_else(pc.equal(kept["id"], name), text, kept["caption"])
        kept = kept.set_column(kept.schema.get_field_index("caption"), "caption", captions)
        left_out = Counter({"dropped": len(rows) - len(kept)})
        return kept.append_column("verdict", pa.array(["keep"] * len(kept))), left_out


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    rows = [
        {"id": f"row{n}", "image": f"{n}.jpg", "response": f"old {n}", "caption": f"old {n}"}
        for n in range(5)
    ]
    return write_output(
        tmp_path / "out", caption(), rows, manifest=IMAGE, base=tmp_path, rows_per_file=2
    )


def run(output: OutputFolder, target: Path, beside: Verdicts, **options: object) -> ExportCounts:
    given = ExportOptions.model_validate({"input": output.uri, "output": str(target), **options})
    return plan_export(given, output, open_answers(output), [beside]).write()


def test_another_table_changes_drops_and_adds(output: OutputFolder, tmp_path: Path) -> None:
    verdicts = Verdicts(frozenset({"row1"}), ("row3", "new 3"))
    counts = run(
        output, tmp_path / "sft", verdicts, to="sft", columns="verdict", where="verdict = 'keep'"
    )
    assert counts.left_out == {"dropped": 1}
    items = [
        json.loads(line) for line in (tmp_path / "sft" / "train.jsonl").read_text().splitlines()
    ]
    assert [item["conversations"][1]["value"] for item in items] == [
        "old 0",
        "old 2",
        "new 3",
        "old 4",
    ]
    assert {item["verdict"] for item in items} == {"keep"}
    counts = run(output, tmp_path / "lance", verdicts, to="lance")
    assert counts.left_out == {"dropped": 1}
    assert lance.dataset(str(tmp_path / "lance")).to_table()["verdict"].to_pylist() == ["keep"] * 4


def test_another_content_of_that_table_is_another_export(
    output: OutputFolder, tmp_path: Path
) -> None:
    run(output, tmp_path / "sft", Verdicts(frozenset({"row1"}), ("", "")), to="sft")
    again = Verdicts(frozenset({"row1", "row2"}), ("", ""), key="others")
    assert run(output, tmp_path / "sft", again, to="sft").rows_out == 3
    assert len((tmp_path / "sft" / "train.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("group", [7, 1000])
def test_a_large_file_is_read_in_pieces_that_are_all_of_it(tmp_path: Path, group: int) -> None:
    table = pa.table({"id": [f"row{n}" for n in range(100)], "text": ["x" * 100] * 100})
    (tmp_path / "results").mkdir()
    pq.write_table(table, tmp_path / "results" / "big.parquet", row_group_size=group)
    parts = plan_parts({"results/big.parquet": 5000}, {}, 600, lambda _: 100)
    assert len(parts) == 9
    reader, counts = ResultReader(str(tmp_path), table.schema, ("id",)), ExportCounts()
    read = [
        one
        for part in parts
        for rows in reader.batches(part.rows, counts)
        for one in rows["id"].to_pylist()
    ]
    assert read == table["id"].to_pylist()
    assert counts.rows_in == 100


def test_parts_of_earlier_rows_stay_as_the_output_grows() -> None:
    sizes = {f"results/{number:03d}.parquet": 100 + number for number in range(50)}
    before = plan_parts(dict(list(sizes.items())[:40]), {}, 500, lambda _: 1)
    after = plan_parts(sizes, {}, 500, lambda _: 1)
    assert before[:-1] == after[: len(before) - 1]
    assert [rows for part in after for rows in part.rows] == [RowRange(name) for name in sizes]
    other = plan_parts(sizes, {"where": "x"}, 500, lambda _: 1)
    assert not {part.key for part in other} & {part.key for part in after}
