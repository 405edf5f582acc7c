"""The same sources from every store, the Hub and web servers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.opening import store_of
from testing.hub import Hub
from tests.pipelines.manifests import plan_of, read_manifest, read_plan, shard, uris, write_manifest

ROWS = [{"image": f"pictures/{number}.jpg", "question": "Why?"} for number in range(25)]


def put(place: str, name: str, data: bytes) -> None:
    store_of(place).write(f"{place}/{name}", data)


def test_every_format_reads_as_from_disk(place: str, tmp_path: Path) -> None:
    for suffix in ("parquet", "jsonl", "csv"):
        path = write_manifest(tmp_path / f"m.{suffix}", ROWS)
        put(place, f"one/m.{suffix}", path.read_bytes())
        plan = plan_of(f"{place}/one/m.{suffix}")
        assert plan.base == f"{place}/one"
        assert read_plan(plan).drop(["__source"]).equals(read_manifest(path).drop(["__source"]))


def test_parts_of_a_folder_and_of_a_glob(place: str, tmp_path: Path) -> None:
    for part in range(3):
        path = write_manifest(tmp_path / f"{part}.parquet", ROWS[part * 5 : part * 5 + 5])
        put(place, f"parts/lang=en/part-{part}.parquet", path.read_bytes())
    put(place, "parts/_SUCCESS", b"")
    for uri in (
        f"{place}/parts",
        f"{place}/parts/**/*.parquet",
        f"{place}/parts/lang=en/part-{{0..2}}.parquet",
    ):
        plan = plan_of(uri)
        assert (len(plan.splits), plan.total_rows) == (3, 15)


def test_media_and_shards(place: str) -> None:
    put(
        place,
        "w/0.tar",
        shard({"a": {"jpg": b"1", "txt": b"one"}, "b": {"jpg": b"2", "txt": b"two"}}),
    )
    assert read_plan(plan_of(f"{place}/w")).select(["id", "txt"]).to_pylist()[1] == {
        "id": "b",
        "txt": "two",
    }
    names = ["a.jpg", "sub/b.png", "sub/c d#?.webp"]
    for name in [*names, ".hidden.jpg", "notes.md"]:
        put(place, f"in/{name}", b"x")
    table = read_manifest(f"{place}/in")
    assert table["id"].to_pylist() == names
    assert uris(table) == [[f"{place}/in/{name}"] for name in names]


def test_what_is_not_there(place: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        plan_of(f"{place}/none.jsonl")


def test_a_dataset_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    first = write_manifest(tmp_path / "0.parquet", ROWS[:5]).read_bytes()
    second = write_manifest(tmp_path / "1.parquet", ROWS[5:10]).read_bytes()
    sha = hub.commit("datasets/lab/set", {"data/0.parquet": first, "README.md": b"#"})
    hub.commit(
        "datasets/lab/set", {"data/0.parquet": first, "data/1.parquet": second, "README.md": b"#"}
    )
    plan = plan_of("hf://datasets/lab/set/data")
    assert plan.total_rows == 10
    assert uris(read_plan(plan))[0] == [f"{ROWS[0]['image']}"]
    assert plan_of(f"hf://datasets/lab/set@{sha}/data").total_rows == 5
    assert plan_of("hf://datasets/lab/set/data/1.parquet").total_rows == 5
    with pytest.raises(ConfigurationError, match=r"hf://datasets/lab/set/none does not exist"):
        plan_of("hf://datasets/lab/set/none")
    with pytest.raises(ConfigurationError, match="hf://datasets/lab/other"):
        plan_of("hf://datasets/lab/other/data")


class TestTheWeb:
    @pytest.fixture
    def web(self, tmp_path: Path) -> Iterator[str]:
        class Quiet(SimpleHTTPRequestHandler):  # sends whole files alone, never parts of them
            def log_message(self, *_: object) -> None:
                pass

        (tmp_path / "sets").mkdir()
        for number in range(3):
            write_manifest(
                tmp_path / "sets" / f"{number}.parquet", ROWS[number * 5 : number * 5 + 5]
            )
        write_manifest(tmp_path / "sets" / "m.jsonl", ROWS)
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    @pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl?token=hunter2", "0.parquet"])
    def test_a_manifest(self, web: str, name: str, tmp_path: Path) -> None:
        plan = plan_of(f"{web}/sets/{name}")
        assert plan.base == f"{web}/sets"
        table = read_plan(plan)
        assert uris(table)[0] == [ROWS[0]["image"]]
        assert "hunter2" not in str(table["__source"].to_pylist())

    def test_many_by_braces(self, web: str) -> None:
        assert plan_of(f"{web}/sets/{{0..2}}.parquet").total_rows == 15
        with pytest.raises(
            ConfigurationError, match=r"2 of the files .* the first is http://127.*/sets/3\.parquet"
        ):
            plan_of(f"{web}/sets/{{0..4}}.parquet")

    def test_one_that_is_not_there(self, web: str) -> None:
        with pytest.raises(ConfigurationError, match=r"none\.jsonl\?… does not exist") as caught:
            plan_of(f"{web}/sets/none.jsonl?token=hunter2")
        assert "hunter2" not in str(caught.value)

    def test_a_folder_cannot_be_listed(self, web: str) -> None:
        with pytest.raises(ConfigurationError, match="--input-format"):
            plan_of(f"{web}/sets/")
