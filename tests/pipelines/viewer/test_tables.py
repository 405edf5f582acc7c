"""Rows, conditions, orders, samples, histograms and comparisons, as the page asks for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.tasks import caption
from pipelines.viewer import database
from pipelines.viewer.queries import PREVIEW, SHOWN
from testing import viewed
from tests.pipelines.viewer.conftest import Client

ALL = [f"unit-{number:03}" for number in range(12)]


def test_an_output_says_what_is_in_it(looking: Client) -> None:
    (told,) = looking.get("outputs")["outputs"]
    assert (told["name"], told["kind"], told["media"]) == ("captions", "image", True)
    assert {table: there["rows"] for table, there in told["tables"].items()} == {
        "results": 13,
        "errors": 1,
    }
    answers = [
        column["name"] for column in told["tables"]["results"]["columns"] if column["answer"]
    ]
    assert answers == ["caption"]
    assert told["runs"][0]["counts"]["results"] == 13


def test_rows_come_in_pages_in_one_order(looking: Client) -> None:
    first, second = (looking.get("rows", limit=8, offset=offset) for offset in (0, 8))
    ids = [row["id"] for row in first["rows"] + second["rows"]]
    assert ids[:12] == ALL
    assert (first["more"], second["more"], len(ids)) == (True, False, 13)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "UMBRELLA"}, ALL[2::3]),
        ({"search": "unit-00"}, ALL[:10]),
        ({"search": "100%_"}, []),
        ({"equal": {"finish_reason": "length"}}, ["unit-004", "unit-009"]),
        ({"where": "height > 290 AND id LIKE 'unit-%'"}, ["unit-010", "unit-011"]),
        ({"where": "finish_reason = 'length'", "search": "rain"}, ["unit-004"]),
        ({"equal": {"review": None}, "search": "unit-000"}, ["unit-000"]),
        ({"where": "true -- a remark", "search": "unit-011"}, ["unit-011"]),
        (
            {"sort": "height", "descending": 1, "where": "height >= 290"},
            ["unit-011", "unit-010", "unit-009"],
        ),
    ],
)
def test_rows_are_chosen(looking: Client, query: dict, expected: list[str]) -> None:
    asked = query | ({"equal": json.dumps(query["equal"])} if "equal" in query else {})
    assert looking.ids(**asked) == expected
    assert looking.get("count", **asked)["rows"] == len(expected)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"where": "hieght > 3"}, "height"),
        ({"where": "height >"}, "syntax error"),
        ({"where": "true); DROP VIEW results_1; SELECT (1"}, "one expression"),
        ({"where": "true); COPY (SELECT 1) TO 'results/x.parquet'; SELECT (1"}, "one expression"),
        (
            {"where": "id IN (SELECT content FROM read_text('/etc/passwd'))"},
            "disabled by configuration",
        ),
        ({"sort": "no_column"}, "no column 'no_column'"),
        ({"table": "secrets"}, "results, errors, documents"),
        ({"table": "documents"}, "has no documents"),
        ({"output": 7}, "from 0 to 0"),
        ({"limit": -1}, "from 1 to 500"),
        ({"equal": "[1]"}, "JSON object"),
        ({"sample": "all"}, "whole number"),
    ],
)
def test_what_cannot_be_asked_is_said(looking: Client, query: dict, said: str) -> None:
    assert said in looking.get("rows", 400, **query)["error"]


def test_a_condition_reads_no_file_beside_the_outputs(looking: Client, captions: Path) -> None:
    other = captions.parent / "pictures" / "000.jpg"
    where = f"(SELECT count(*) FROM read_blob('{other}')) > 0"
    assert "disabled by configuration" in looking.get("rows", 400, where=where)["error"]


def test_a_query_that_takes_too_long_is_stopped(
    looking: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "QUERY_SECONDS", 0.2)
    endless = "(SELECT count(*) FROM range(1_000_000_000_000) AS numbers(i) WHERE i % 7 = 3) > 0"
    assert "took longer than 0.2 s" in looking.get("rows", 400, where=endless)["error"]
    assert "took longer than 0.2 s" in looking.get("rows", 400, where=endless, sample=3)["error"]


def test_a_sample_is_drawn_again_by_its_seed(looking: Client) -> None:
    drawn = looking.ids(sample=5, seed=3)
    assert len(drawn) == 5
    assert looking.ids(sample=5, seed=3) == drawn
    assert {tuple(looking.ids(sample=5, seed=seed)) for seed in range(6)} != {tuple(drawn)}
    assert set(looking.ids(sample=3, seed=3, search="umbrella")) < set(ALL[2::3])


def test_long_texts_are_cut_in_lists_and_come_in_parts(tmp_path: Path) -> None:
    text = "0123456789" * 1_000_000
    rows = [{"id": "long", "image": "a.jpg", "caption": text, "width": 1, "height": 1}]
    viewed.write_output(tmp_path / "out", tmp_path / "m", caption(), rows, passthrough=viewed.IMAGE)
    client = Client(tmp_path / "out")
    (row,) = client.get("rows")["rows"]
    assert row["caption"] == text[:PREVIEW]
    unit = client.get("unit", id="long")
    assert (unit["values"]["caption"], unit["lengths"]["caption"]) == (text[:SHOWN], len(text))
    assert (
        client.get("text", id="long", column="caption", start=SHOWN)["text"]
        == text[SHOWN : 2 * SHOWN]
    )
    client.close()


def test_values_are_counted(looking: Client) -> None:
    assert looking.get("values", column="finish_reason") == [
        {"value": "stop", "rows": 11},
        {"value": "length", "rows": 2},
    ]


def test_a_histogram_counts_every_row_once(looking: Client) -> None:
    told = looking.get("histogram", column="height", where="id LIKE 'unit-%'")
    assert sum(bin["rows"] for bin in told["bins"]) == told["rows"] == 12
    assert (told["least"], told["greatest"], told["q50"], told["mean"]) == (200, 310, 255, 255)
    for bin in told["bins"]:
        where = (
            f"id LIKE 'unit-%' AND {told['expression']} >= {bin['start']} AND {told['expression']}"
            f" < {bin['end']}"
        )
        assert looking.get("count", where=where)["rows"] == bin["rows"]


def test_a_histogram_of_a_text_is_of_its_length(looking: Client) -> None:
    told = looking.get("histogram", column="caption", where="id LIKE 'unit-%'")
    assert (told["least"], told["greatest"]) == tuple(
        sorted(map(len, viewed.CAPTIONS))[:: len(viewed.CAPTIONS) - 1]
    )


def test_a_column_without_numbers_or_length_is_refused(tmp_path: Path) -> None:
    client = Client(viewed.captions(tmp_path, count=1))
    client.post("mark", id="unit-000", mark="good")
    assert (
        "neither numbers nor a length"
        in client.get("histogram", 400, column="reviewed_at")["error"]
    )
    client.close()


def test_two_outputs_stand_side_by_side(tmp_path: Path) -> None:
    one, other = (
        viewed.captions(tmp_path),
        viewed.captions(tmp_path, name="others", count=13, changed=[2, 4]),
    )
    client = Client(one, other)
    told = client.get("compared", first=0, second=1, column="caption", which="differs")
    assert told["counts"] == {"same": 11, "differs": 2, "second": 1}
    assert [row["id"] for row in told["rows"]] == ["unit-002", "unit-004"]
    assert {"op": "second", "text": " at night"} in told["rows"][0]["parts"]
    assert [
        r["id"]
        for r in client.get("compared", first=0, second=1, column="caption", which="second")["rows"]
    ] == ["unit-012"]
    whole = client.get("difference", first=0, second=1, column="caption", id="unit-002")
    assert [part["op"] for part in whole["parts"]] == ["same", "second"]
    client.close()


def test_files_that_a_run_adds_are_seen_after_a_reload(tmp_path: Path) -> None:
    folder = viewed.captions(tmp_path, count=2)
    client = Client(folder)
    assert len(client.ids()) == 3
    rows = [{"id": "new", "image": "000.jpg", "caption": "new", "width": 1, "height": 1}]
    viewed.write_output(
        folder,
        tmp_path / "pictures" / "m",
        caption(prompt="What is this?"),
        rows,
        passthrough=viewed.IMAGE,
    )
    client.post("reload")
    assert len(client.ids()) == 4
    client.close()


def test_an_output_in_a_store_is_read_there_and_nothing_beside_it(
    s3_client: Any, bucket: str, tmp_path: Path
) -> None:
    rows = [
        {"id": f"{n}", "image": "a.jpg", "caption": f"number {n}", "width": 1, "height": 1}
        for n in range(5)
    ]
    viewed.write_output(
        f"{bucket}/runs/out", tmp_path / "m", caption(), rows, passthrough=viewed.IMAGE
    )
    s3_client.put_object(Bucket=bucket.removeprefix("s3://"), Key="secret.txt", Body=b"secret")
    client = Client(f"{bucket}/runs/out")
    assert client.ids(search="number 3") == ["3"]
    client.post("mark", id="3", mark="bad")
    assert client.ids(where="review = 'bad'") == ["3"]
    keys = [
        entry["Key"]
        for entry in s3_client.list_objects_v2(Bucket=bucket.removeprefix("s3://"))["Contents"]
    ]
    assert any(key.startswith("runs/out/reviews/") for key in keys)
    where = f"(SELECT count(*) FROM read_text('{bucket}/secret.txt')) > 0"
    assert "disabled by configuration" in client.get("rows", 400, where=where)["error"]
    client.close()
