"""What holds for every export of files: whole or not there, resumed, the same twice, each row
counted."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import caption
from pipelines.commands.export import plan
from pipelines.exports import files, parts
from pipelines.exports.options import ExportOptions
from pipelines.exports.target import Target
from pipelines.options.command_line import build_options
from pipelines.output.folder import OutputFolder
from pipelines.output.lease import Lease
from tests.pipelines.exports.outputs import exported, tree, write_output

MANIFEST = pa.schema([("image", pa.string()), ("kind", pa.string())])


def rows(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"row{number}",
            "image": f"/media/{number}.jpg",
            "kind": "even" if number % 2 == 0 else "odd",
            "response": f"picture {number}",
            "caption": f"picture {number}",
            "completion_tokens": number,
        }
        for number in range(first, last)
    ]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files.FilesForm, "part_bytes", 6000)  # a part a file
    write_output(tmp_path / "out", caption(), rows(0, 100), manifest=MANIFEST, rows_per_file=10)
    return tmp_path / "out"


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_every_row_is_accounted_for(source: Path, tmp_path: Path) -> None:
    counts = exported(
        source, tmp_path / "sft", "sft", where="completion_tokens < 30", split="train=0.5,val=0.25"
    )
    assert counts.rows_in == 100
    assert counts.left_out["where"] == 70
    assert counts.rows_in == counts.rows_out + counts.left_out.total()
    said = json.loads((tmp_path / "sft" / "export.json").read_text())
    assert (said["rows_in"], said["rows_out"]) == (100, counts.rows_out)
    assert said["left_out"] == dict(counts.left_out)
    assert said["splits"] == dict(counts.out)


@pytest.mark.parametrize("to", ["sft", "delta"])
def test_a_dry_run_checks_and_writes_nothing(source: Path, tmp_path: Path, to: str) -> None:
    given = {"input": str(source), "output": str(tmp_path / "to"), "to": to, "dry_run": True}
    said = plan(
        build_options(ExportOptions, {**given, "where": "completion_tokens < 30"})
    ).describe()
    assert "10 file(s)" in said
    assert "100 rows" in said
    assert "completion_tokens < 30" in said
    assert "there     nothing" in said
    assert not (tmp_path / "to").exists()
    with pytest.raises(ConfigurationError, match="--where"):
        plan(build_options(ExportOptions, {**given, "where": "tokens < 30"}))


def test_a_second_export_writes_the_same_bytes(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "one" / "sft", "sft", split="train=0.8,val=0.2")
    first = tree(tmp_path / "one" / "sft")
    exported(source, tmp_path / "one" / "sft", "sft", split="train=0.8,val=0.2")
    assert tree(tmp_path / "one" / "sft") == first
    os.rename(tmp_path / "one" / "sft", tmp_path / "before")
    exported(source, tmp_path / "one" / "sft", "sft", split="train=0.8,val=0.2")
    assert tree(tmp_path / "one" / "sft") == first
    assert not any("unfinished" in name for name in first)


def test_an_export_that_was_moved_gets_its_new_address(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "a" / "sft", "sft")
    (tmp_path / "b").mkdir()
    os.rename(tmp_path / "a" / "sft", tmp_path / "b" / "sft")
    exported(source, tmp_path / "b" / "sft", "sft")
    (entry,) = json.loads((tmp_path / "b" / "sft" / "meta.json").read_text()).values()
    assert entry["annotation"] == f"{tmp_path}/b/sft/train.jsonl"


def test_splits_stay_as_the_output_grows(source: Path, tmp_path: Path) -> None:
    ratios = "train=0.7,val=0.2,test=0.1"
    exported(source, tmp_path / "sft", "sft", split=ratios)
    before = {split: ids(tmp_path / "sft" / f"{split}.jsonl") for split in ("train", "val", "test")}
    assert sum(map(len, before.values())) == 100
    assert 50 < len(before["train"]) < 90
    write_output(source, caption(), rows(100, 200), manifest=MANIFEST, run=2)
    exported(source, tmp_path / "sft", "sft", split=ratios)
    for split, earlier in before.items():
        assert ids(tmp_path / "sft" / f"{split}.jsonl")[: len(earlier)] == earlier
    assert json.loads((tmp_path / "sft" / "export.json").read_text())["rows_in"] == 200


def test_splits_by_column(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "sft", "sft", split_column="kind")
    assert (
        len(ids(tmp_path / "sft" / "even.jsonl")) == len(ids(tmp_path / "sft" / "odd.jsonl")) == 50
    )


def test_an_export_that_was_killed_goes_on_with_the_parts_that_are_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    real = files.write_part

    def dies(form: Any, reader: Any, target_uri: str, part: parts.ExportPart) -> files.Staged:
        if part.number == 7:
            raise KeyboardInterrupt
        return real(form, reader, target_uri, part)

    monkeypatch.setattr(files, "write_part", dies)
    with pytest.raises(KeyboardInterrupt):
        exported(source, tmp_path / "sft", "sft")
    assert [name for name in os.listdir(tmp_path / "sft") if not name.startswith(".")] == []

    from pipelines.exports.rows import ResultReader

    read = ResultReader.batches

    def counted(self: ResultReader, names: Any, counts: Any) -> Any:
        written.append(names)
        return read(self, names, counts)

    monkeypatch.setattr(files, "write_part", real)
    monkeypatch.setattr(ResultReader, "batches", counted)
    assert exported(source, tmp_path / "sft", "sft").rows_out == 100
    assert len(written) == 3  # of ten parts
    assert ids(tmp_path / "sft" / "train.jsonl") == [f"row{number}" for number in range(100)]


@pytest.mark.parametrize("survived", range(4))
def test_a_commit_that_was_killed_is_finished(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    exported(source, tmp_path / "sft", "sft")
    write_output(source, caption(), rows(100, 110), manifest=MANIFEST, run=2)
    changes = iter(range(100))
    moved, removed = Target.move, Target.remove

    def mortal(change: Any) -> Any:
        def one(self: Target, *names: str) -> None:
            if next(changes) == survived:
                raise KeyboardInterrupt
            change(self, *names)

        return one

    monkeypatch.setattr(Target, "move", mortal(moved))
    monkeypatch.setattr(Target, "remove", mortal(removed))
    with contextlib.suppress(KeyboardInterrupt):
        exported(source, tmp_path / "sft", "sft")
    monkeypatch.setattr(Target, "move", moved)
    monkeypatch.setattr(Target, "remove", removed)
    exported(source, tmp_path / "sft", "sft")
    assert len(ids(tmp_path / "sft" / "train.jsonl")) == 110
    assert sorted(os.listdir(tmp_path / "sft")) == ["export.json", "meta.json", "train.jsonl"]


def test_a_full_disk_leaves_no_half_export_and_says_so(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pipelines.commands.registry import COMMANDS

    real = os.fsync
    calls = iter(range(100))

    def full(number: int) -> None:
        if next(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full)
    command = ["--input", str(source), "--output", str(tmp_path / "sft"), "--to", "sft"]
    with pytest.raises(SystemExit) as ended:
        COMMANDS["export"].execute("internvl-batch export", command)
    assert ended.value.code == 1
    *phases, line = capsys.readouterr().err.strip().splitlines()
    assert "no space left" in line
    assert len(phases) == 1
    assert [name for name in os.listdir(tmp_path / "sft") if not name.startswith(".")] == []
    monkeypatch.setattr(os, "fsync", real)
    assert exported(source, tmp_path / "sft", "sft").rows_out == 100


def test_what_is_not_this_programs_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"):
        exported(source, tmp_path / "sft", "sft", overwrite=True)
    exported(source, tmp_path / "new", "sft")
    (tmp_path / "new" / "mine.txt").write_text("mine")
    write_output(source, caption(), rows(100, 110), manifest=MANIFEST, run=2)
    exported(source, tmp_path / "new", "sft")
    assert (tmp_path / "new" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("inside", ["", "/results", "/results/sft", "/_runs/x", "/.."])
def test_an_export_into_its_own_input_is_refused(source: Path, inside: str) -> None:
    with pytest.raises(ConfigurationError, match="overlap"):
        exported(source, f"{source}{inside}", "sft")


def test_another_export_is_replaced_only_on_demand(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "sft", "sft", split="train=0.5,val=0.5")
    with pytest.raises(ConfigurationError, match=r"--split train=0.5,val=0.5; now it is not given"):
        exported(source, tmp_path / "sft", "sft")
    exported(source, tmp_path / "sft", "sft", overwrite=True)
    assert sorted(os.listdir(tmp_path / "sft")) == ["export.json", "meta.json", "train.jsonl"]


def test_an_output_that_a_run_is_writing_to_is_refused(source: Path, tmp_path: Path) -> None:
    with Lease(OutputFolder(str(source)), "20260101T000000-aaaaaa"):
        with pytest.raises(ConfigurationError, match=r"20260101T000000-aaaaaa.* is writing to it"):
            exported(source, tmp_path / "sft", "sft")
        assert exported(source, tmp_path / "sft", "sft", while_running=True).rows_out == 100
    assert exported(source, tmp_path / "other", "sft").rows_out == 100


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "captoin = 'x'"}, "captoin"),
        ({"where": "caption"}, "--where"),
        ({"where": "read_text('/etc/passwd') = ''"}, "--where"),
        ({"columns": "nothing"}, "no column 'nothing'"),
        ({"split_column": "nothing"}, "--split-column nothing"),
        ({"split": "train=0.9,val=0.2"}, "at most 1"),
        ({"split": "train"}, "train=0.9,val=0.1"),
        ({"split": "a=1", "split_column": "kind"}, "cannot be combined"),
        ({"split_column": "image"}, "cannot be the name of a split"),
        ({"to": "nothing"}, "--to nothing"),
        ({"media_column": "nothing"}, "--media-column nothing"),
    ],
)
def test_bad_options_are_named(
    source: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        exported(source, tmp_path / "sft", **({"to": "sft"} | options))


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="holds no results"):
        exported(tmp_path / "empty", tmp_path / "sft", "sft")
    with pytest.raises(ConfigurationError, match="no such folder"):
        exported(tmp_path / "nowhere", tmp_path / "sft", "sft")
