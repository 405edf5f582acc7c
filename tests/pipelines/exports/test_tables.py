"""Tables are read back by their own libraries: a commit for each run, each id once, nothing on a
repetition."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog import load_catalog
from pyiceberg.table import StaticTable
from pyiceberg.utils.config import Config

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import ground
from pipelines.exports.forms import FORMS
from pipelines.output.compaction import compact
from pipelines.output.folder import RESULTS, OutputFolder
from tests.pipelines.exports.outputs import RUN, exported, tree, write_output

IMAGE = pa.schema([("image", pa.string())])
TABLES = ("delta", "iceberg", "lance")


def rows(first: int, last: int, phrase: str = "dog") -> list[dict[str, Any]]:
    box = {"label": phrase, "x1": 1, "y1": 2, "x2": 3, "y2": 4}
    found = [{"phrase": phrase, "response": "…", "num_boxes": 1}]
    values = {"response": "…", "boxes": [box], "found": found}
    return [
        {"id": f"row{number}", "image": f"{number}.jpg", **values} for number in range(first, last)
    ]


def iceberg(folder: Path) -> StaticTable:
    hint = (folder / "metadata" / "version-hint.text").read_text()
    return StaticTable.from_metadata(f"file://{folder}/metadata/{hint}.metadata.json")


READ: dict[str, Callable[[Path], pa.Table]] = {
    "delta": lambda folder: DeltaTable(str(folder)).to_pyarrow_table(),
    "iceberg": lambda folder: iceberg(folder).scan().to_arrow(),
    "lance": lambda folder: lance.dataset(str(folder)).to_table(),
}
VERSION: dict[str, Callable[[Path], int]] = {
    "delta": lambda folder: DeltaTable(str(folder)).version(),
    "iceberg": lambda folder: len(iceberg(folder).snapshots()),
    "lance": lambda folder: lance.dataset(str(folder)).version,
}


def read(folder: Path, to: str) -> dict[str, dict[str, Any]]:
    found = READ[to](folder).to_pylist()
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_output(tmp_path / "out", ground(("dog",)), rows(0, 5), manifest=IMAGE, rows_per_file=2)
    return tmp_path / "out"


def refreshed(source: Path) -> None:
    """Another run answers two units again, and three new ones; the old rows are gone, as after
    --refresh changed."""
    for path in sorted((source / RESULTS).iterdir()):
        table = pq.read_table(path)
        left = table.filter(
            pa.array([one not in ("row1", "row3") for one in table["id"].to_pylist()])
        )
        pq.write_table(left, path)
    again = [
        row for row in rows(0, 8, "cat") if row["id"] in ("row1", "row3", "row5", "row6", "row7")
    ]
    write_output(source, ground(("dog",)), again, manifest=IMAGE, run=2)


@pytest.mark.parametrize("to", TABLES)
def test_every_column_reads_back(source: Path, tmp_path: Path, to: str) -> None:
    counts = exported(source, tmp_path / "table", to)
    assert (counts.rows_in, counts.rows_out) == (5, 5)
    found = read(tmp_path / "table", to)
    expected = {row["id"]: row for row in pq.read_table(source / RESULTS).to_pylist()}
    assert found == expected
    assert json.loads((tmp_path / "table" / "export.json").read_text())["rows_out"] == 5
    assert not (tmp_path / "table" / ".unfinished").exists()


@pytest.mark.parametrize("to", TABLES)
def test_columns_of_any_type_keep_their_values(tmp_path: Path, to: str) -> None:
    zoned = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    given = {
        "u8": (pa.uint8(), 200),
        "u64": (pa.uint64(), 2**64 - 1),
        "vector": (pa.list_(pa.float32(), 2), [0.5, 1.5]),
        "took": (pa.duration("us"), timedelta(seconds=1)),
        "at": (pa.timestamp("us", "Europe/Berlin"), zoned),
        "deep": (pa.list_(pa.struct([("n", pa.uint16())])), [{"n": 65535}]),
    }
    manifest = pa.schema([*IMAGE, *((name, type_) for name, (type_, _) in given.items())])
    row = rows(0, 1)[0] | {name: value for name, (_, value) in given.items()}
    write_output(tmp_path / "out", ground(("dog",)), [row], manifest=manifest)
    exported(tmp_path / "out", tmp_path / "table", to)
    found = read(tmp_path / "table", to)["row0"]
    assert found["took"] in (timedelta(seconds=1), 1_000_000)
    assert {name: found[name] for name in given if name != "took"} == {
        name: value for name, (_, value) in given.items() if name != "took"
    }


@pytest.mark.parametrize("to", TABLES)
def test_a_repeated_export_commits_nothing(source: Path, tmp_path: Path, to: str) -> None:
    exported(source, tmp_path / "table", to)
    before, version = tree(tmp_path / "table"), VERSION[to](tmp_path / "table")
    assert exported(source, tmp_path / "table", to).rows_out == 5
    assert VERSION[to](tmp_path / "table") == version
    assert tree(tmp_path / "table") == before
    (tmp_path / "table" / "export.json").unlink()  # as a vacuum may; the table itself knows
    assert exported(source, tmp_path / "table", to).rows_out == 5
    assert VERSION[to](tmp_path / "table") == version


@pytest.mark.parametrize("to", TABLES)
def test_rows_of_a_later_run_are_added_and_replace_those_of_the_same_id(
    source: Path, tmp_path: Path, to: str
) -> None:
    exported(source, tmp_path / "table", to)
    refreshed(source)
    counts = exported(source, tmp_path / "table", to)
    assert counts.rows_out == 8
    found = read(tmp_path / "table", to)
    assert {name: row["boxes"][0]["label"] for name, row in found.items()} == {
        f"row{number}": "cat" if number in (1, 3, 5, 6, 7) else "dog" for number in range(8)
    }
    assert {row["run_id"] for row in found.values()} == {RUN.format(1), RUN.format(2)}


@pytest.mark.parametrize("to", TABLES)
def test_a_compacted_output_exports_the_same_rows(source: Path, tmp_path: Path, to: str) -> None:
    exported(source, tmp_path / "to", to)
    refreshed(source)
    exported(source, tmp_path / "to", to)
    before = read(tmp_path / "to", to)
    assert compact(OutputFolder(str(source)), 1 << 30).after == 1
    counts = exported(source, tmp_path / "to", to)
    assert read(tmp_path / "to", to) == before
    assert counts.rows_out == len(
        OutputFolder(str(source)).read_table(OutputFolder(str(source)).files(RESULTS)[0])
    )


def test_commits_name_their_run(source: Path, tmp_path: Path) -> None:
    write_output(source, ground(("dog",)), rows(5, 7), manifest=IMAGE, run=2)
    for to in TABLES:
        exported(source, tmp_path / to, to)
    expected = [RUN.format(1), RUN.format(2)]
    delta = [one.get("run_id") for one in reversed(DeltaTable(str(tmp_path / "delta")).history())]
    assert delta == expected
    assert [one.summary["run_id"] for one in iceberg(tmp_path / "iceberg").snapshots()] == expected
    dataset = lance.dataset(str(tmp_path / "lance"))
    told = [
        dataset.read_transaction(version["version"]).transaction_properties
        for version in dataset.versions()
    ]
    assert [one["run_id"] for one in told if one and "run_id" in one] == expected


@pytest.mark.parametrize("to", TABLES)
def test_columns_splits_and_conditions(source: Path, tmp_path: Path, to: str) -> None:
    options = {"columns": "image", "split": "train=0.5,val=0.25", "where": "id <> 'row2'"}
    counts = exported(source, tmp_path / "table", to, **options)
    assert counts.left_out["where"] == 1
    assert counts.rows_in == counts.rows_out + counts.left_out.total()
    found = read(tmp_path / "table", to)
    assert len(found) == counts.rows_out
    assert {tuple(row) for row in found.values()} == {("id", "image", "split")}
    assert {row["split"] for row in found.values()} <= {"train", "val"}


@pytest.mark.parametrize("to", TABLES)
def test_a_killed_export_is_repeated(
    source: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_output(source, ground(("dog",)), rows(5, 7), manifest=IMAGE, run=2)
    cls = FORMS[to].load()
    real, commits = cls.commit, iter(range(9))

    def dies(self: Any, *arguments: Any, **named: Any) -> None:
        if next(commits) == 1:
            raise KeyboardInterrupt
        real(self, *arguments, **named)

    monkeypatch.setattr(cls, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        exported(source, tmp_path / "table", to)
    assert len(read(tmp_path / "table", to)) == 5  # the first run is a whole commit
    monkeypatch.setattr(cls, "commit", real)
    assert exported(source, tmp_path / "table", to).rows_out == 7
    assert len(read(tmp_path / "table", to)) == 7


def test_a_table_of_a_catalog(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__PROD__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__PROD__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())
    given = {"catalog": "prod:lab.captions"}
    exported(source, tmp_path / "to", "iceberg", **given)
    exported(source, tmp_path / "to", "iceberg", **given)
    table = load_catalog("prod").load_table("lab.captions")
    assert len(table.scan().to_arrow()) == 5
    assert len(table.snapshots()) == 1
    assert not (tmp_path / "to" / "metadata" / "version-hint.text").exists()
    refreshed(source)
    exported(source, tmp_path / "to", "iceberg", **given)
    table = load_catalog("prod").load_table("lab.captions")
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == sorted(
        set(table.scan().to_arrow()["id"].to_pylist())
    )
    with pytest.raises(ConfigurationError, match="the catalog has this table at"):
        exported(source, tmp_path / "other", "iceberg", **given)
    with pytest.raises(
        ConfigurationError, match=r"--catalog none:lab.captions: pyiceberg cannot open it"
    ):
        exported(source, tmp_path / "third", "iceberg", catalog="none:lab.captions")
    with pytest.raises(ConfigurationError, match=r"must be NAME:NAMESPACE.TABLE"):
        exported(source, tmp_path / "third", "iceberg", catalog="captions")
    with pytest.raises(ConfigurationError, match=r"--catalog .* it is for --to iceberg"):
        exported(source, tmp_path / "third", "delta", catalog="prod:lab.captions")


def test_tables_of_others_are_refused(source: Path, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "delta"), pa.table({"id": ["a"]}))
    lance.write_dataset(pa.table({"id": ["a"]}), str(tmp_path / "lance"))
    (tmp_path / "iceberg").mkdir()
    (tmp_path / "iceberg" / "mine.txt").write_text("mine")
    for to in TABLES:
        before = tree(tmp_path / to)
        with pytest.raises(ConfigurationError, match="Give an empty or a new folder"):
            exported(source, tmp_path / to, to)
        assert tree(tmp_path / to) == before


def test_another_form_or_other_options_are_refused(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "table", "delta", columns="image")
    with pytest.raises(ConfigurationError, match="--columns image; now it is not given"):
        exported(source, tmp_path / "table", "delta")
    with pytest.raises(ConfigurationError, match="--to delta; now it is sft"):
        exported(source, tmp_path / "table", "sft", columns="image")
    with pytest.raises(ConfigurationError, match="is added to, by id"):
        exported(source, tmp_path / "table", "delta", overwrite=True)


def test_duckdb_reads_what_a_table_has(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "table", "delta")
    dataset = DeltaTable(str(tmp_path / "table")).to_pyarrow_dataset()
    connection = duckdb.connect()
    connection.register("exported", dataset)
    assert connection.sql("SELECT count(*), min(boxes[1].label) FROM exported").fetchall() == [
        (5, "dog")
    ]


@pytest.mark.parametrize(
    ("to", "module"), [("delta", "deltalake"), ("iceberg", "pyiceberg"), ("lance", "lance")]
)
def test_a_missing_library_is_named_with_its_extra(
    source: Path, tmp_path: Path, to: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(module), *sys.meta_path])
    with pytest.raises(ConfigurationError, match=rf"pip install 'internvl-batch\[{to}\]'"):
        exported(source, tmp_path / "table", to)
    assert not (tmp_path / "table").exists()


class NotInstalled:
    """Finds a library nowhere."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == self._module:
            raise ModuleNotFoundError(f"No module named {name!r}")
