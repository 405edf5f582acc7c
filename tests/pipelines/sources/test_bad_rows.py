"""Rows that are broken cost themselves: an error with its place and what to do, and every other row
comes through."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sources import lines
from tests.pipelines.manifests import (
    errors,
    notes,
    plan_of,
    read_manifest,
    read_plan,
    uris,
    write_manifest,
)

GOOD = (
    b'{"id": "g", "image": "a.jpg", "question": "Why?", "n": 1, "o": {"k": 1}, "l": [1], "f": 0.5,'
    b' "ok": true}\n'
)


class TestJsonl:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('{"image": "a.jpg"', "not JSON"),
            ("[1, 2]", "a JSON list, where an object is needed"),
            ("null", "a JSON NoneType"),
            (
                '{"id": "x", "image": "\\ud800"}',
                "column 'image' holds characters that are cut or not UTF-8",
            ),
            (
                b'{"id": "x", "image": "\xff"}',
                "column 'image' holds characters that are cut or not UTF-8",
            ),
            ("[" * 100_000, "not JSON"),
            ('{"id": "x", "image": "a", "question": ["why"]}', "column 'question' is ['why']"),
            ('{"id": "x", "image": 7}', "column 'image' is 7"),
            ('{"id": "x", "image": null}', "column 'image': a null or empty media value"),
            ('{"id": "x", "image": ""}', "column 'image': a null or empty media value"),
            ('{"id": "x"}', "column 'image': a null or empty media value"),
            ('{"id": null, "image": "a"}', "column 'id': null or empty"),
            ('{"id": "", "image": "a"}', "column 'id': null or empty"),
            ('{"id": [1], "image": "a"}', "column 'id' is [1]"),
            ('{"image": "a"}', "column 'id': null or empty"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_bad_line_costs_that_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes | str, says: str
    ) -> None:
        # which ends before the line in question
        monkeypatch.setattr("pipelines.sources.jsonl._SAMPLED_ROWS", 100)
        line = line if isinstance(line, bytes) else line.encode()
        (tmp_path / "m.jsonl").write_bytes(GOOD * 100 + line + b"\n" + GOOD * 100)
        table = read_manifest(tmp_path / "m.jsonl")
        (message,) = errors(table).values()
        assert list(errors(table)) == ["m.jsonl:101"]
        assert message.startswith("m.jsonl:101: ")
        assert says in message
        has_id = b'"id": "x"' in line and says != "not JSON"
        assert table["id"].to_pylist()[100] == ("x" if has_id else "m.jsonl:101")

    def test_a_line_beyond_the_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 3_000_000)
        long = '{"image": "' + "x" * 4_000_000 + '"}'
        (tmp_path / "m.jsonl").write_text(f'{{"image": "a"}}\n{long}\n{{"image": "b"}}\n')
        table = read_manifest(tmp_path / "m.jsonl")
        assert uris(table) == [["a"], None, ["b"]]
        assert "line of 4,000,013 bytes" in errors(table)["m.jsonl:2"]


class TestCarriedJson:
    @pytest.mark.parametrize(
        ("line", "column", "value", "note"),
        [
            ('{"n": NaN}', "n", None, "this row has null"),
            ('{"f": NaN}', "f", "nan", None),
            ('{"f": -Infinity}', "f", float("-inf"), None),
            ('{"f": 7}', "f", 7.0, None),
            ('{"n": 7.0}', "n", 7, None),
            (
                '{"n": "one"}',
                "n",
                None,
                "column 'n' is int64 by the rows sampled at start, and this row has \"one\"",
            ),
            ('{"n": true}', "n", None, "this row has true"),
            ('{"n": 1.5}', "n", None, "this row has 1.5"),
            ('{"n": 9223372036854775808}', "n", None, "this row has 9223372036854775808"),
            (
                '{"n": 123456789012345678901234567890}',
                "n",
                None,
                "this row has 123456789012345678901234567890",
            ),
            ('{"f": 9007199254740993}', "f", None, "this row has 9007199254740993"),
            ('{"ok": 1}', "ok", None, "this row has 1"),
            ('{"o": {"k": 1, "new": 2}}', "o", {"k": 1}, 'this row has {"k":1,"new":2}'),
            ('{"o": {"k": "1"}}', "o", {"k": None}, 'this row has {"k":"1"}'),
            ('{"l": [1, "2"]}', "l", [1, None], 'this row has [1,"2"]'),
            ('{"l": 4}', "l", [4], None),
            ('{"note": 5}', "note", "5", None),
            ('{"note": {"a": [1, null]}}', "note", '{"a":[1,null]}', None),
            (
                '{"note": "cut \\ud83d"}',
                "note",
                "cut \ufffd",
                "holds characters that are cut or not UTF-8",
            ),
            ('{"note": "whole \\ud83d\\ude00"}', "note", "whole \U0001f600", None),
            (
                b'{"note": "\xe9t\xe9"}',
                "note",
                "\ufffdt\ufffd",
                "holds characters that are cut or not UTF-8",
            ),
            (
                '{"new": 1}',
                "note",
                None,
                'keys that are in none of the rows sampled at start: {"new":1}',
            ),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_value_that_does_not_fit_costs_itself_at_most(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        line: bytes | str,
        column: str,
        value: object,
        note: str | None,
    ) -> None:
        # which ends before the line in question
        monkeypatch.setattr("pipelines.sources.jsonl._SAMPLED_ROWS", 100)
        line = line if isinstance(line, bytes) else line.encode()
        good = GOOD.replace(b'"ok"', b'"note": "x", "ok"')
        line = b'{"id": "x", "image": "a", ' + line.removeprefix(b"{")
        (tmp_path / "m.jsonl").write_bytes(good * 100 + line + b"\n" + good * 100)
        table = read_manifest(tmp_path / "m.jsonl")
        assert not errors(table)
        found = table[column].to_pylist()[100]
        assert str(found) == value if value == "nan" else found == value
        assert table["__media"].to_pylist()[100][0]["uri"] == "a"
        assert list(notes(table)) == (["m.jsonl:101"] if note else [])
        assert not note or note in notes(table)["m.jsonl:101"][0]


class TestCsv:
    @pytest.mark.parametrize(
        ("broken", "bad_lines", "says"),
        [
            ("x.jpg", [3], "1 values for the 2 columns"),
            ("x.jpg,b,c", [3], "3 values for the 2 columns"),
            ('"x.jpg,b', [3], "not CSV (unexpected end of data)"),
            ('x.jpg,"b"c', [3], "not CSV"),
            ('x.jpg,"two\nlines" more', [3, 4], "not CSV"),
            (",b", [3], "column 'image': a null or empty media value"),
        ],
    )
    def test_a_bad_line_costs_that_line(
        self, tmp_path: Path, broken: str, bad_lines: list[int], says: str
    ) -> None:
        (tmp_path / "m.csv").write_text(f"image,note\na.jpg,1\n{broken}\nb.jpg,2\nc.jpg,3\n")
        table = read_manifest(tmp_path / "m.csv")
        assert list(errors(table)) == [f"m.csv:{line}" for line in bad_lines]
        assert says in errors(table)["m.csv:3"]
        assert [media[0] for media in uris(table) if media] == ["a.jpg", "b.jpg", "c.jpg"]

    def test_invalid_utf8_costs_the_row_where_it_is_the_media(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_bytes(b"image,note\na.jpg,1\nb.jpg,\xff\xfe\nc.jpg,\xc3\xa9\n")
        table = read_manifest(tmp_path / "m.csv")
        assert not errors(table)
        assert list(notes(table)) == ["m.csv:3"]
        assert table["note"].to_pylist() == ["1", "\ufffd\ufffd", "é"]
        (tmp_path / "m.csv").write_bytes(b"image,note\na.jpg,1\n\xff\xfe,2\n")
        assert list(errors(read_manifest(tmp_path / "m.csv"))) == ["m.csv:3"]

    def test_an_unclosed_quote_does_not_swallow_the_file(self, tmp_path: Path) -> None:
        good = [f"{number}.jpg,fine" for number in range(5_000)]
        (tmp_path / "m.csv").write_text(
            "\n".join(["image,note", *good[:2_500], 'x.jpg,"open', *good[2_500:]])
        )
        table = read_manifest(tmp_path / "m.csv")
        assert "not closed within 1,000 lines" in errors(table)["m.csv:2502"]
        assert [media[0] for media in uris(table) if media] == [
            f"{number}.jpg" for number in range(5_000)
        ]

    def test_a_value_may_be_long_and_hold_many_lines(self, tmp_path: Path) -> None:
        text = "line\n" * 900 + "x" * 500_000
        (tmp_path / "m.csv").write_text(f'image,note\na.jpg,"{text}"\n')
        assert read_manifest(tmp_path / "m.csv")["note"].to_pylist() == [text]


class TestTxt:
    def test_invalid_utf8_costs_that_line(self, tmp_path: Path) -> None:
        (tmp_path / "m.txt").write_bytes(b"a.jpg\n\xff.jpg\n\nc.jpg")
        table = read_manifest(tmp_path / "m.txt")
        assert uris(table) == [["a.jpg"], None, ["c.jpg"]]
        assert table["id"].to_pylist()[1] == "m.txt:2"
        assert "not UTF-8" in errors(table)["m.txt:2"]


class TestParquet:
    @pytest.mark.parametrize(
        "values",
        [
            pa.array(["a", None, ""]),
            pa.array([["a"], None, []], pa.list_(pa.string())),
            pa.array([["a"], [None], ["b", None]], pa.list_(pa.string())),
            pa.array([b"a", None, b""]),
            pa.array(
                [{"path": "a", "bytes": b"x"}, None, {"path": None, "bytes": None}],
                pa.struct([("path", pa.string()), ("bytes", pa.binary())]),
            ),
            pa.array(["a", None, ""]).dictionary_encode(),
        ],
        ids=lambda values: str(values.type),
    )
    def test_a_row_without_media(self, tmp_path: Path, values: pa.Array) -> None:
        pq.write_table(pa.table({"image": values, "id": [1, 2, 3]}), tmp_path / "m.parquet")
        table = read_manifest(tmp_path / "m.parquet")
        assert list(errors(table)) == ["m.parquet:2", "m.parquet:3"]
        assert table["id"].to_pylist() == ["1", "2", "3"]
        assert table["__media"].is_null().to_pylist() == [False, True, True]

    def test_a_null_id(self, tmp_path: Path) -> None:
        table = read_manifest(
            write_manifest(tmp_path / "m.parquet", [{"image": "a", "id": i} for i in (1, None, 3)])
        )
        assert table["id"].to_pylist() == ["1", "m.parquet:2", "3"]
        assert list(errors(table)) == ["m.parquet:2"]

    def test_text_that_is_not_utf8(self, tmp_path: Path) -> None:
        notes_as_media = texts = pa.array([b"fine", b"\xff", b"fine"]).view(pa.string())
        tags = pa.ListArray.from_arrays([0, 1, 1, 2], pa.array([b"a", b"\xc3"]).view(pa.string()))
        pq.write_table(
            pa.table({"image": ["a", "b", "c"], "note": texts, "tags": tags}),
            tmp_path / "m.parquet",
        )
        table = read_manifest(tmp_path / "m.parquet")
        assert not errors(table)
        assert list(notes(table)) == ["m.parquet:2", "m.parquet:3"]
        assert "column 'note' holds bytes that are not UTF-8" in notes(table)["m.parquet:2"][0]
        assert table["note"].to_pylist() == ["fine", "\ufffd", "fine"]
        assert table["tags"].to_pylist() == [["a"], [], None]
        pq.write_table(pa.table({"image": notes_as_media}), tmp_path / "m.parquet")
        assert list(errors(read_manifest(tmp_path / "m.parquet"))) == ["m.parquet:2"]

    def test_a_damaged_row_group_costs_its_rows_and_no_others(self, tmp_path: Path) -> None:
        path = tmp_path / "m.parquet"
        uri = [f"{number:05d}.jpg" for number in range(3_000)]
        pq.write_table(
            pa.table({"image": uri}),
            path,
            row_group_size=1_000,
            compression="zstd",
            use_dictionary=False,
        )
        column = pq.ParquetFile(path).metadata.row_group(1).column(0)
        data = bytearray(path.read_bytes())
        middle = column.data_page_offset + column.total_compressed_size // 2
        data[middle : middle + 200] = bytes(200)
        path.write_bytes(data)
        table = read_manifest(path)
        assert len(table) == 3_000
        assert set(errors(table)) <= {f"m.parquet:{row}" for row in range(1_001, 2_001)}
        assert errors(table)["m.parquet:2000"].startswith(
            "m.parquet:2000: row group 1 is damaged from row"
        )
        fine = [media[0] for media in uris(table) if media]
        assert set(uri[:1_000] + uri[2_000:]) <= set(fine)

    def test_a_file_with_a_column_that_only_it_has(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipelines.sources.storage._LOOKED_AT", 2)
        for part in range(4):
            extra = {"odd": 1} if part == 1 else {}
            write_manifest(tmp_path / f"{part}.parquet", [{"image": f"{part}.jpg"} | extra])
            write_manifest(tmp_path / f"{part}.csv", [{"image": f"{part}.jpg"} | extra])
        for suffix, place in (("parquet", "1.parquet:1"), ("csv", "1.csv:2")):
            table = read_plan(plan_of(tmp_path, format=suffix))
            assert not errors(table)
            assert "'odd'" in notes(table)[place][0]


class TestFilesNotLookedAt:
    @pytest.mark.parametrize(
        ("suffix", "broken", "rows"),
        [
            ("parquet", b"no Parquet", ["1.parquet:1"]),
            ("csv", b'"image\na\nb\n', ["1.csv:2", "1.csv:3"]),
        ],
    )
    def test_one_that_cannot_be_read_is_error_rows(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        suffix: str,
        broken: bytes,
        rows: list[str],
    ) -> None:
        monkeypatch.setattr("pipelines.sources.storage._LOOKED_AT", 2)
        for part in range(4):
            write_manifest(tmp_path / f"{part}.{suffix}", [{"image": f"{part}.jpg"}])
        (tmp_path / f"1.{suffix}").write_bytes(broken)
        table = read_manifest(tmp_path)
        assert list(errors(table)) == rows
        assert [media[0] for media in uris(table) if media] == ["0.jpg", "2.jpg", "3.jpg"]


class TestCutShort:
    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "txt"])
    def test_a_compressed_file_keeps_what_comes_before_the_end(
        self, tmp_path: Path, suffix: str
    ) -> None:
        rows = [{"image": f"{number:06d}.jpg"} for number in range(100_000)]
        plain = write_manifest(tmp_path / f"m.{suffix}", rows)
        packed = tmp_path / f"m.{suffix}.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes())[:-1_000])
        table = read_manifest(packed)
        (message,) = errors(table).values()
        assert "cannot be decompressed" in message
        assert len(table) > 80_000
        assert uris(table)[:-1] == [[row["image"]] for row in rows[: len(table) - 1]]
