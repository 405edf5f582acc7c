"""CSV and TSV as people have them: without a header, with quotes that are no quoting."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.pipelines.manifests import errors, plan_of, read_manifest, read_plan, uris


def test_a_quote_in_a_tsv_is_a_quote(tmp_path: Path) -> None:
    captions = ["first", '"second', "third", 'fifth"', '"hello" world', 'a "b" c', '"', "sixth"]
    lines = [f"{caption}\t{number}.jpg" for number, caption in enumerate(captions)]
    (tmp_path / "m.tsv").write_text("\n".join(["caption\timage", *lines]))
    table = read_manifest(tmp_path / "m.tsv")
    assert not errors(table)
    assert table["caption"].to_pylist() == captions
    assert uris(table) == [[f"{number}.jpg"] for number in range(len(captions))]


def test_a_quoted_value_that_only_a_program_writes_so_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_bytes(b'caption\timage\r\n"a ""b"" c"\ta.jpg\r\n')
    assert read_manifest(tmp_path / "m.tsv")["caption"].to_pylist() == ['a "b" c']


def test_a_quoted_value_over_several_lines_of_a_tsv_costs_those_lines(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text('image\tcaption\na.jpg\t"one\ntwo"\nb.jpg\tfine\n')
    table = read_manifest(tmp_path / "m.tsv")
    assert list(errors(table)) == ["m.tsv:3"]
    assert "no value can hold a tab or newline" in errors(table)["m.tsv:3"]


@pytest.mark.parametrize(("suffix", "sign"), [("csv", ","), ("tsv", "\t")])
def test_a_file_without_a_header_is_told_its_columns(
    tmp_path: Path, suffix: str, sign: str
) -> None:
    rows = [["a.jpg", "one"], ["b.jpg", "two"]]
    (tmp_path / f"m.{suffix}").write_text("\n".join(sign.join(row) for row in rows))
    table = read_manifest(tmp_path / f"m.{suffix}", names=("image", "caption"))
    assert [list(row.values()) for row in table.select(["image", "caption"]).to_pylist()] == rows
    assert table["__source"].to_pylist() == [f"m.{suffix}:1", f"m.{suffix}:2"]


def test_a_header_of_just_these_columns_is_a_header(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("caption,image\none,a.jpg\n")
    assert uris(read_manifest(tmp_path / "m.csv", names=("image", "caption"))) == [["a.jpg"]]


def test_files_that_share_columns_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("image,a\nx.jpg,1\n")
    (tmp_path / "2.csv").write_text("b,image\n2,y.jpg\n")
    table = read_manifest(tmp_path)
    assert table.select(["image", "a", "b"]).to_pylist() == [
        {"image": "x.jpg", "a": "1", "b": None},
        {"image": "y.jpg", "a": None, "b": "2"},
    ]


class TestSeveralMediaInACell:
    def test_they_are_a_list_in_json(self, tmp_path: Path) -> None:
        cells = ["a.jpg", '["b.jpg", "c d.jpg"]', '["e.jpg"]', "[not a list].jpg", '["neither']
        with (tmp_path / "m.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["image"], *([cell] for cell in cells)])
        plan = plan_of(tmp_path / "m.csv")
        table = read_plan(plan)
        assert plan.several_media
        assert uris(table) == [
            ["a.jpg"],
            ["b.jpg", "c d.jpg"],
            ["e.jpg"],
            ["[not a list].jpg"],
            ['["neither'],
        ]
        assert table["image"].to_pylist() == ["a.jpg", '["b.jpg", "c d.jpg"]', "e.jpg", *cells[3:]]

    def test_their_signatures_are_not_kept(self, tmp_path: Path) -> None:
        with (tmp_path / "m.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [["image"], ['["https://h/a?sig=SECRET", "https://me:SECRET@h/b"]']]
            )
        table = read_manifest(tmp_path / "m.csv")
        assert "SECRET" in str(uris(table))
        assert "SECRET" not in str(table["image"].to_pylist())

    def test_a_late_one_is_an_error_with_its_mend(self, tmp_path: Path) -> None:
        with (tmp_path / "m.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [["image"], *([f"{n}.jpg"] for n in range(600)), ['["a.jpg", "b.jpg"]']]
            )
        plan = plan_of(tmp_path / "m.csv")
        assert not plan.several_media
        found = errors(read_plan(plan))
        assert list(found) == ["m.csv:602"]
        assert "put such a row first" in found["m.csv:602"]
