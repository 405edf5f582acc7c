"""CSV and TSV as people have them: without a header, with quotes that are no quoting."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError
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


LISTS = [["a.jpg"], ["a.jpg", "b, c.jpg"], ["it's.jpg", 'a "b".jpg'], ["é.jpg", "[1].jpg"]]


@pytest.mark.parametrize("write", [json.dumps, repr, lambda items: repr(tuple(items))])
@pytest.mark.parametrize("items", LISTS)
def test_several_media_in_a_cell(tmp_path: Path, items: list[str], write: Any) -> None:
    """As JSON, and as pandas writes a column of lists."""
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image"], [write(["x.jpg", "y.jpg"])], [write(items)]])
    table = read_manifest(tmp_path / "m.csv")
    assert not errors(table)
    assert uris(table) == [["x.jpg", "y.jpg"], items]


@pytest.mark.parametrize(
    "cell", ["[draft] a.jpg", "['a.jpg'", "('a.jpg', 1)", "__import__('os')", "['a'] + ['b']"]
)
def test_what_only_begins_like_a_list_is_a_path(tmp_path: Path, cell: str) -> None:
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image"], [cell]])
    assert uris(read_manifest(tmp_path / "m.csv")) == [[cell]]


def test_blanks_behind_every_comma_are_no_part_of_values(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('image, "text", id\na.jpg, "one, two", 1\nb.jpg,  three, 2\n')
    table = read_manifest(tmp_path / "m.csv")
    assert not errors(table)
    assert table.select(["image", "text", "id"]).to_pylist() == [
        {"image": "a.jpg", "text": "one, two", "id": "1"},
        {"image": "b.jpg", "text": "three", "id": "2"},
    ]


def test_blanks_behind_some_commas_are_part_of_values(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image,text\na.jpg, one\n")
    assert read_manifest(tmp_path / "m.csv")["text"].to_pylist() == [" one"]


@pytest.mark.parametrize("line", ["sep=,", '"sep=,"', "sep=,\r"])
def test_the_line_by_which_excel_tells_its_separator(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.csv").write_text(f"{line}\nimage,text\na.jpg,one\n")
    table = read_manifest(tmp_path / "m.csv")
    assert uris(table) == [["a.jpg"]]
    assert table["__source"].to_pylist() == ["m.csv:3"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id;image\n1;a.jpg\n", "separated by ';'"),
        ("id;image;a, b\n1;a.jpg;c\n", "separated by ';'"),
        ('"id";"image";"a, b"\n', "separated by ';'"),
        ("sep=;\nid;image\n1;a.jpg\n", "separated by ';'"),
        ("id|image|a, b\n", "separated by '|'"),
        ("id\timage\ta, b\n", "separated by tabs"),
        ('{"image": "a.jpg"}\n', "--input-format jsonl"),
        ('{"id": 1, "image": "a.jpg"}\n', "--input-format jsonl"),
        ('[{"image": "a.jpg"}]\n', "--input-format jsonl"),
    ],
)
def test_what_is_no_csv_is_told_by_its_first_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        plan_of(tmp_path / "m.csv")


def test_signs_in_the_names_of_columns_are_no_separators(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image,a;b,c|d\nx.jpg,1,2\n")
    assert read_manifest(tmp_path / "m.csv").column_names[:4] == ["id", "image", "a;b", "c|d"]
