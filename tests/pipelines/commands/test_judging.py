"""Which rows a judge reads: of a manifest, of an output, and of the files that a meta file
names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.judging import plan_texts
from pipelines.options.command_line import build_options
from pipelines.options.tasks import job_options
from pipelines.sources import SourcePlan, read_split

TALK = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A boat."}]


def options(folder: Path, **given: Any) -> Any:
    return build_options(
        job_options("score"), {"input": str(folder), "output": "out", "model": "m", **given}
    )


def rows(plan: SourcePlan) -> list[dict[str, Any]]:
    return [
        row
        for split in plan.splits
        for table in read_split(plan, split)
        for row in table.to_pylist()
    ]


def uris(row: dict[str, Any]) -> list[str]:
    return [item["uri"] for item in row["__media"] or []]


def jsonl(path: Path, *records: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    """Two data sets that number their rows alike; one has several pictures in a row, one none."""
    jsonl(
        tmp_path / "lists" / "boats.jsonl",
        {"id": 0, "image": ["a.png", "b.png"], "conversations": TALK},
    )
    jsonl(
        tmp_path / "lists" / "talk.jsonl",
        {"id": 0, "image": None, "conversations": TALK[1:]},
        {"id": 1, "image": [str(tmp_path / "there.png")], "conversations": TALK},
    )
    entries = {
        "boats": {
            "root": "pictures/",
            "annotation": "lists/boats.jsonl",
            "repeat_time": 2,
            "length": 1,
        },
        "talk": {
            "root": str(tmp_path / "elsewhere"),
            "annotation": str(tmp_path / "lists" / "talk.jsonl"),
        },
    }
    (tmp_path / "meta.json").write_text(json.dumps(entries, indent=1))
    return tmp_path / "meta.json"


def test_the_files_of_a_meta_file_are_read_as_one_manifest(meta: Path) -> None:
    plan = plan_texts(options(meta))
    found = {row["id"]: row for row in rows(plan)}
    assert list(found) == ["boats/0", "talk/0", "talk/1"]
    assert [row["__error"] for row in found.values()] == [None] * 3
    folder = meta.parent
    assert uris(found["boats/0"]) == [f"{folder}/pictures/a.png", f"{folder}/pictures/b.png"]
    assert (uris(found["talk/0"]), uris(found["talk/1"])) == ([], [f"{folder}/there.png"])
    assert found["talk/0"]["conversations"] == TALK[1:]


def test_media_may_lie_below_another_folder(meta: Path) -> None:
    (meta.parent / "copies").mkdir()
    first = rows(plan_texts(options(meta, media_root=str(meta.parent / "copies"))))[0]
    assert uris(first) == [f"{meta.parent}/copies/a.png", f"{meta.parent}/copies/b.png"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"a": {"annotation": 3}}, "'a' has no path"),
        (
            {"a": {"annotation": "x.jsonl"}, "b": {"annotation": "x.jsonl"}},
            "'a' and 'b' name the same annotation",
        ),
        ({"a": {"annotation": "missing.jsonl"}}, "missing.jsonl"),
    ],
)
def test_a_wrong_meta_file_is_refused(tmp_path: Path, entries: dict[str, Any], said: str) -> None:
    (tmp_path / "meta.json").write_text(json.dumps(entries))
    with pytest.raises(ConfigurationError, match=said):
        plan_texts(options(tmp_path / "meta.json"))


def test_the_results_of_an_output_are_read_and_not_its_errors(tmp_path: Path) -> None:
    for name in ("results", "errors", "_runs"):
        (tmp_path / name).mkdir()
    table = pa.table(
        {"id": ["x"], "image": ["a.png"], "caption": ["A boat."], "response": ["A boat."]}
    )
    pq.write_table(table, tmp_path / "results" / "part.parquet")
    pq.write_table(
        pa.table({"id": ["y"], "stage": ["fetch"]}), tmp_path / "errors" / "part.parquet"
    )
    (row,) = rows(plan_texts(options(tmp_path)))
    assert (row["id"], row["caption"]) == ("x", "A boat.")


def test_a_manifest_of_conversations_needs_no_ids(tmp_path: Path) -> None:
    """Two conversations about one picture are two units."""
    jsonl(
        tmp_path / "talks.jsonl",
        {"image": "a.png", "conversations": TALK},
        {"image": "a.png", "conversations": [*TALK[:1], {"from": "gpt", "value": "A ship."}]},
    )
    assert len({row["id"] for row in rows(plan_texts(options(tmp_path / "talks.jsonl")))}) == 2


def test_the_judge_may_do_without_the_pictures(tmp_path: Path) -> None:
    jsonl(tmp_path / "captions.jsonl", {"image": "a.png", "caption": "A boat."})
    (row,) = rows(plan_texts(options(tmp_path / "captions.jsonl", pictures=False)))
    assert (uris(row), row["image"]) == ([], "a.png")


def test_agreement_needs_pictures(tmp_path: Path) -> None:
    jsonl(tmp_path / "captions.jsonl", {"caption": "A boat."})
    with pytest.raises(ConfigurationError, match="no media column"):
        plan_texts(options(tmp_path / "captions.jsonl", judge="agreement"))
