"""Tables as input: Delta, Iceberg, Lance, and what `datasets` saved."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.memory import InMemoryCatalog

from internvl_ops.errors import ConfigurationError
from pipelines.extras import library
from pipelines.sources.tables.iceberg import metadata_place
from tests.pipelines.manifests import errors, plan_of, read_manifest, read_plan, uris

ROWS = pa.table(
    {
        "id": [f"r{n}" for n in range(12)],
        "image": [f"pictures/{n}.jpg" for n in range(12)],
        "lang": ["de", "en", "fr"] * 4,
        "year": pa.array(range(1900, 1912), pa.int32()),
        "day": [datetime.date(2026, 1, 1 + n) for n in range(12)],
        "tags": [[f"t{n}"] for n in range(12)],
    }
)


def delta(folder: Path, *parts: pa.Table, partition_by: Any = None) -> Path:
    for part in parts:
        write_deltalake(str(folder), part, mode="append", partition_by=partition_by)
    return folder


def iceberg(folder: Path, *parts: pa.Table) -> Path:
    catalog = InMemoryCatalog("here", warehouse=f"file://{folder}")
    catalog.create_namespace_if_not_exists("n")
    table = catalog.create_table("n.t", schema=parts[0].schema, location=f"file://{folder}")
    for part in parts:
        table.append(part)
    return folder


def saved(folder: Path, *parts: pa.Table) -> Path:
    Dataset(pa.concat_tables(parts)).save_to_disk(str(folder), num_shards=len(parts))
    return folder


def lance_dataset(folder: Path, *parts: pa.Table) -> Path:
    for part in parts:
        lance.write_dataset(part, str(folder), mode="append")
    return folder


Write = Callable[..., Path]
KINDS: dict[str, Write] = {
    "delta": delta,
    "iceberg": iceberg,
    "lance": lance_dataset,
    "datasets": saved,
}
every_kind = pytest.mark.parametrize("kind", KINDS)
with_versions = pytest.mark.parametrize("kind", ["delta", "iceberg", "lance"])


def halves() -> tuple[pa.Table, pa.Table]:
    return ROWS.slice(0, 7), ROWS.slice(7)


def found(uri: object, **options: Any) -> dict[str, dict[str, Any]]:
    table = read_manifest(uri, **options)
    assert not errors(table)
    return {
        row["id"]: row
        for row in table.select([n for n in table.column_names if n[:2] != "__"]).to_pylist()
    }


@every_kind
def test_every_row_and_type_comes_back(tmp_path: Path, kind: str) -> None:
    plan = plan_of(KINDS[kind](tmp_path / "t", *halves()))
    assert (plan.format, plan.base, len(plan.splits)) == (kind, str(tmp_path / "t"), 2)
    there = pickle.loads(pickle.dumps(plan))
    table = read_plan(there, batch_rows=4)
    assert (
        sorted(table.select(ROWS.column_names).to_pylist(), key=lambda row: row["year"])
        == ROWS.to_pylist()
    )
    assert sorted(uris(table)) == sorted([[name] for name in ROWS["image"].to_pylist()])
    assert plan.snapshot["format"] == kind
    if kind != "datasets":
        assert plan.total_rows == 12


@with_versions
def test_a_plan_keeps_its_snapshot(tmp_path: Path, kind: str) -> None:
    plan = plan_of(KINDS[kind](tmp_path / "t", ROWS.slice(0, 7)))
    if kind == "iceberg":
        catalog = InMemoryCatalog("here")
        catalog.create_namespace("n")
        catalog.register_table("n.t", metadata_place(str(tmp_path / "t"))).append(ROWS.slice(7))
    else:
        KINDS[kind](tmp_path / "t", ROWS.slice(7))
    assert len(read_plan(plan)) == 7
    later = plan_of(tmp_path / "t")
    assert len(read_plan(later)) == 12
    assert later.snapshot != plan.snapshot


@every_kind
@pytest.mark.parametrize("limit", [0, 3, 8, 99])
def test_limits(tmp_path: Path, kind: str, limit: int) -> None:
    KINDS[kind](tmp_path / "t", *halves())
    assert len(found(tmp_path / "t", limit=limit)) == min(limit, 12)
    some = found(tmp_path / "t", limit=limit, where="lang <> 'de'")
    assert len(some) == min(limit, 8)
    assert {row["lang"] for row in some.values()} <= {"en", "fr"}


CONDITIONS = st.lists(
    st.sampled_from(
        ["lang = 'en'", "year >= 1905", "day < DATE '2026-01-08'", "lang IN ('de', 'fr')",
         "year BETWEEN 1902 AND 1909", "year % 2 = 0", "len(tags) = 1", "id > 'r5'", "year = 1904",
         "day = '2026-01-03'"]
    ), min_size=1, max_size=3,
).map(" AND ".join)  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for kind, write in KINDS.items():
        write(folder / kind, *halves())
    delta(folder / "partitioned", ROWS, partition_by=["lang", "day"])
    return folder


@pytest.mark.parametrize("kind", [*KINDS, "partitioned"])
@given(where=CONDITIONS, names=st.sampled_from([(), ("year",), ("tags", "lang")]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_conditions_choose_the_same_rows_as_sql_does(
    tables: Path, kind: str, where: str, names: tuple[str, ...]
) -> None:
    import duckdb

    expected = duckdb.from_arrow(ROWS).filter(where).to_arrow_table()
    rows = found(tables / kind, where=where, names=names)
    kept = ["id", "image", *names] if names else ROWS.column_names
    assert sorted(rows) == sorted(expected["id"].to_pylist())
    assert all(
        row == {name: rows[row["id"]][name] for name in kept}
        for row in expected.select(kept).to_pylist()
    )


def test_files_without_wanted_rows_are_not_planned(tables: Path) -> None:
    assert len(plan_of(tables / "partitioned", where="lang = 'en'").splits) == 4
    assert len(plan_of(tables / "delta", where="year < 1902").splits) == 1
    assert len(plan_of(tables / "iceberg", where="year < 1902").splits) == 1


@with_versions
def test_deleted_rows_stay_away(tmp_path: Path, kind: str) -> None:
    folder = KINDS[kind](tmp_path / "t", *halves())
    if kind == "delta":
        DeltaTable(str(folder)).delete("year = 1903")
    elif kind == "lance":
        lance.dataset(str(folder)).delete("year = 1903")
    else:
        catalog = InMemoryCatalog("here")
        catalog.create_namespace("n")
        catalog.register_table("n.t", metadata_place(str(folder))).delete("year == 1903")
    rows = found(folder)
    assert "r3" not in rows
    assert len(rows) == 11


def test_deletion_vectors_of_delta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # deltalake reads them and does not write them, so its answer is made here for a table without.
    from pipelines.sources.tables import delta as reader

    folder = delta(tmp_path / "t", *halves())
    first = next(
        uri
        for uri in DeltaTable(str(folder)).file_uris()
        if pq.read_table(uri)["year"][0].as_py() == 1900
    )
    mask = [n not in (0, 3) for n in range(7)]

    class WithVectors:
        def __init__(self, table: DeltaTable) -> None:
            self._table = table

        def __getattr__(self, name: str) -> Any:
            return getattr(self._table, name)

        def protocol(self) -> Any:
            return type("Protocol", (), {"reader_features": ["deletionVectors"]})

        def deletion_vectors(self) -> Any:
            return pa.table({"filepath": [f"file://{first}"], "selection_vector": [mask]})

    opened = reader._open
    monkeypatch.setattr(reader, "_open", lambda *given: WithVectors(opened(*given)))
    reader._at.cache_clear()
    reader._masks.cache_clear()
    reader._at.cache_clear()
    plan = plan_of(folder)
    assert plan.total_rows == 10
    table = read_plan(plan, batch_rows=3)
    assert sorted(table["year"].to_pylist()) == [1901, 1902, *range(1904, 1912)]
    assert len(read_manifest(folder, limit=3)) == 3
    reader._masks.cache_clear()
    reader._at.cache_clear()


def test_columns_that_a_table_grew_and_renamed(tmp_path: Path) -> None:
    folder = delta(tmp_path / "d", ROWS.slice(0, 7))
    write_deltalake(
        str(folder),
        ROWS.slice(7).append_column("new", [["x"] * 5]),
        mode="append",
        schema_mode="merge",
    )
    rows = found(folder)
    assert [rows["r0"]["new"], rows["r9"]["new"]] == [None, "x"]
    catalog = InMemoryCatalog("here", warehouse=f"file://{tmp_path}/i")
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=ROWS.schema, location=f"file://{tmp_path}/i")
    table.append(ROWS.slice(0, 7))
    with table.update_schema() as update:
        update.rename_column("year", "written")
    table.append(ROWS.slice(7).rename_columns(["id", "image", "lang", "written", "day", "tags"]))
    assert {row["written"] for row in found(tmp_path / "i").values()} == set(range(1900, 1912))


def test_images_in_a_saved_dataset(tmp_path: Path) -> None:
    from datasets import Features, Image, Value

    image = np.zeros((8, 8, 3), np.uint8)
    features = Features({"image": Image(), "n": Value("int64")})
    Dataset.from_dict({"image": [image, image], "n": [1, 2]}, features).save_to_disk(
        str(tmp_path / "s")
    )
    table = read_manifest(tmp_path / "s")
    assert all(media[0]["bytes"][:4] == b"\x89PNG" for media in table["__media"].to_pylist())


def test_a_saved_dataset_of_several_splits(tmp_path: Path) -> None:
    part = Dataset(ROWS.slice(0, 3))
    DatasetDict(train=part, test=part).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(
        ConfigurationError,
        match=r"splits train, test. Give one of them, such as --input .*/two/train",
    ):
        plan_of(tmp_path / "two")
    assert len(read_manifest(tmp_path / "two" / "test")) == 3
    DatasetDict(train=part).save_to_disk(str(tmp_path / "one"))
    assert len(read_manifest(tmp_path / "one")) == 3


@pytest.mark.parametrize(
    "state", ["{}", '{"_data_files": null}', '{"_data_files": [{"name": "a"}]}', "[]"]
)
def test_a_saved_dataset_that_names_no_files_is_not_taken_for_an_empty_one(
    tmp_path: Path, state: str
) -> None:
    folder = saved(tmp_path / "s", ROWS)
    (folder / "state.json").write_text(state)
    with pytest.raises(ConfigurationError, match=r"names no data-\*.arrow files.*Save it anew"):
        plan_of(folder)


def test_a_saved_dataset_of_no_rows_has_none(tmp_path: Path) -> None:
    assert len(read_manifest(saved(tmp_path / "s", ROWS.slice(0, 0)))) == 0


def test_the_rows_before_damage_are_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "s", ROWS)
    path = next(folder.glob("*.arrow"))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, ROWS.schema) as writer:
        for start in range(0, 12, 4):
            writer.write_table(ROWS.slice(start, 4))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    table = read_manifest(folder)
    assert table["__error"].to_pylist()[:4] == [None] * 4
    assert "cannot be read from here on" in next(iter(errors(table).values()))


@every_kind
def test_a_table_is_never_read_as_its_files(tmp_path: Path, kind: str) -> None:
    folder = KINDS[kind](tmp_path / "lake" / "t", *halves())
    with pytest.raises(
        ConfigurationError, match=r"its files are not its rows. Leave the option out"
    ):
        plan_of(folder, format="parquet")
    if kind == "datasets":
        return  # whose files are no Parquet
    for uri in (folder / "*", folder / "*.parquet", folder / "**/*.parquet", folder / "data"):
        if uri.name != "data" or uri.exists():
            with pytest.raises(
                ConfigurationError, match=rf"lies in .* \({folder}\), whose log says"
            ):
                plan_of(uri)
    for uri in (tmp_path / "lake", tmp_path / "lake" / "*" / "*.parquet"):
        with pytest.raises(
            ConfigurationError, match=r"holds .* in t, whose log says which of its files count"
        ):
            plan_of(uri, format="parquet")


def test_a_partition_of_a_table_is_no_input(tables: Path) -> None:
    inside = next((tables / "partitioned").glob("lang=en/day=*"))
    for uri in (inside, inside / "*.parquet", inside.parent):
        with pytest.raises(ConfigurationError, match="lies in a Delta table"):
            plan_of(uri)


def test_folders_that_only_look_like_tables(tmp_path: Path) -> None:
    for name in ("metadata", "data"):
        (tmp_path / name).mkdir()
        pq.write_table(ROWS, tmp_path / name / "0.parquet")
    assert len(read_manifest(tmp_path)) == 24
    with pytest.raises(
        ConfigurationError, match=r"--input-format delta: .* no such table: there is no _delta_log"
    ):
        plan_of(tmp_path, format="delta")


def test_an_iceberg_table_by_its_metadata(tmp_path: Path) -> None:
    folder = iceberg(tmp_path / "t", *halves())
    names = sorted((folder / "metadata").glob("*.metadata.json"))
    plan = plan_of(names[-2])
    assert (plan.base, len(read_plan(plan))) == (str(folder), 7)
    (folder / "metadata" / names[-1].name.replace("00002-", "00002-0")).write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="does not say which metadata are current"):
        plan_of(folder)


def test_a_table_does_not_choose_files_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "secret.parquet"
    pq.write_table(ROWS, elsewhere)
    folder = delta(tmp_path / "t", ROWS)
    log = next((folder / "_delta_log").glob("*.json"))
    name = Path(DeltaTable(str(folder)).file_uris()[0]).name
    log.write_text(log.read_text().replace(name, str(elsewhere)))
    with pytest.raises(ConfigurationError, match="names a file elsewhere"):
        plan_of(folder)


@pytest.mark.parametrize(
    ("kind", "module"), [("delta", "deltalake"), ("iceberg", "pyiceberg"), ("lance", "lance")]
)
def test_a_missing_library_is_named_with_its_extra(
    tables: Path, kind: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    real = importlib.import_module

    def missing(name: str, *given: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ImportError(f"No module named {module!r}")
        return real(name, *given)

    from pipelines.sources.tables import delta as one
    from pipelines.sources.tables import lance as other

    one._at.cache_clear()
    other._at.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=rf"pip install 'internvl-batch\[{kind}\]'"):
        plan_of(tables / kind)
    with pytest.raises(ConfigurationError):
        library(module, kind, "This")
