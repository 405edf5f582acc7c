"""An export is pushed in one commit, and pushed again only if it changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.tasks import caption
from pipelines.commands.registry import COMMANDS
from testing.hub import Hub, hub
from tests.pipelines.exports.outputs import write_output

IMAGE = pa.schema([("image", pa.string())])
REPO = "datasets/someone/captions"


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as running:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", running.url)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", "hf_testing")
        yield running


def write(folder: Path, first: int, last: int, run: int) -> None:
    rows = [
        {"id": f"row{n}", "image": f"/{n}.jpg", "response": "x", "caption": "x"}
        for n in range(first, last)
    ]
    write_output(folder / "out", caption(), rows, manifest=IMAGE, run=run)


def pushed(folder: Path, *options: str) -> Any:
    command = [
        "--input",
        str(folder / "out"),
        "--output",
        str(folder / "hf"),
        "--to",
        "hf",
        "--media",
        "reference",
    ]
    with pytest.raises(SystemExit) as ended:
        COMMANDS["export"].execute("internvl-batch export", [*command, *options])
    return ended.value.code


def files(there: Hub) -> dict[str, bytes]:
    kind, _, name = REPO.partition("/")
    return there.files(str(there.sha(kind, name, "main")))


def test_an_export_is_pushed_in_one_commit(
    tmp_path: Path, there: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, 0, 3, 1)
    there.commit(REPO, {"data/old-00000.parquet": b"old", ".gitattributes": b"kept"})
    assert pushed(tmp_path, "--push-to-hub", "someone/captions") == 0
    assert f"{there.url}/datasets/someone/captions/commit/" in capsys.readouterr().out
    assert set(files(there)) == {
        ".gitattributes",
        "README.md",
        "data/train-00000.parquet",
        "export.json",
    }
    table = pq.read_table(pa.BufferReader(files(there)["data/train-00000.parquet"]))
    assert table["id"].to_pylist() == ["row0", "row1", "row2"]
    commits = [asked for asked in there.asked if "/commit/" in asked]
    assert len(commits) == 1
    assert pushed(tmp_path, "--push-to-hub", "someone/captions") == 0
    assert [asked for asked in there.asked if "/commit/" in asked] == commits  # nothing changed
    write(tmp_path, 3, 5, 2)
    assert pushed(tmp_path, "--push-to-hub", "someone/captions") == 0
    assert b"| train | 5 |" in files(there)["README.md"]


def test_a_hub_that_refuses_is_said_in_one_line(
    tmp_path: Path, there: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, 0, 3, 1)
    monkeypatch.setattr(there, "commit", lambda *_: None)  # the repository never comes to be
    assert pushed(tmp_path, "--push-to-hub", "someone/captions") == 1
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert "--push-to-hub someone/captions" in line
    assert "is whole" in line
    assert (tmp_path / "hf" / "export.json").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--push-to-hub", "a b"], "OWNER/NAME"),
        (["--private"], "has no effect"),
        (["--to", "sft", "--push-to-hub", "a/b"], "is for --to hf"),
    ],
)
def test_what_cannot_be_pushed_is_refused(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, 0, 1, 1)
    assert pushed(tmp_path, *options) == 2
    assert said in capsys.readouterr().err
