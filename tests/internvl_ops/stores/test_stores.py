"""Every store does the same: what is written is read, listed in order, written once where asked,
and removed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.base import Store, TooLarge
from internvl_ops.stores.opening import store_of
from internvl_ops.stores.schemes import SCHEMES, canonical, split_uri
from testing.stores import AZURE_ACCOUNT, AZURE_KEY

ODD = "sub/c d#?%20é.bin"


@pytest.fixture
def store(place: str) -> Store:
    return store_of(place)


class TestEveryStore:
    def test_what_is_written_is_read(self, store: Store, place: str) -> None:
        for name, data in {
            "a.bin": b"one",
            ODD: b"two",
            "empty": b"",
            "large": bytes(3 << 20),
        }.items():
            store.write(f"{place}/{name}", data)
            assert store.read(f"{place}/{name}") == data
            assert store.stat(f"{place}/{name}").size == len(data)
        store.write(f"{place}/a.bin", b"other")
        assert store.read(f"{place}/a.bin") == b"other"

    def test_a_version_changes_with_the_file(self, store: Store, place: str) -> None:
        store.write(f"{place}/a", b"one")
        first = store.receive(f"{place}/a", 100)
        assert (first.data, first.version) == (b"one", store.stat(f"{place}/a").version)
        assert first.version
        store.write(f"{place}/a", b"two!")
        assert store.receive(f"{place}/a", 100).version != first.version

    def test_more_than_allowed_is_not_read(self, store: Store, place: str) -> None:
        store.write(f"{place}/a", bytes(1000))
        with pytest.raises(TooLarge, match="1,000 bytes"):
            store.receive(f"{place}/a", 999)
        assert len(store.receive(f"{place}/a", 1000).data) == 1000

    def test_parts_of_a_file_are_read(self, store: Store, place: str) -> None:
        store.write(f"{place}/a", bytes(range(256)) * 100)
        for block_size in (None, 4096):
            with store.open(f"{place}/a", block_size=block_size) as file:
                file.seek(25_600 - 10)
                assert file.read(100) == bytes(range(246, 256))
                file.seek(5)
                assert file.read(3) == bytes([5, 6, 7])

    def test_listing(self, store: Store, place: str) -> None:
        names = [
            "a.jpg",
            "b/1.jpg",
            "b/c/2.jpg",
            "b.jpg",
            ODD,
            *(f"many/{number:03}" for number in range(20)),
        ]
        for name in [*names, ".hidden", "b/.h/3.jpg"]:
            store.write(f"{place}/{name}", b"x")
        assert sorted(store.walk(place)) == sorted(names)
        assert list(store.walk(f"{place}/many")) == [f"{number:03}" for number in range(20)]
        assert list(store.walk(place, recursive=False)) == ["a.jpg", "b.jpg"]
        assert sorted(store.names(place)) == [".hidden", "a.jpg", "b", "b.jpg", "many", "sub"]
        assert sorted(store.names(f"{place}/b")) == [".h", "1.jpg", "c"]
        assert [name for name in store.walk(place, beginning="b/c") if name.startswith("b/c")] == [
            "b/c/2.jpg"
        ]

    def test_kinds(self, store: Store, place: str) -> None:
        assert store.kind(place) is None
        store.write(f"{place}/folder/a", b"1")
        uris = (f"{place}/folder", f"{place}/folder/a", f"{place}/fold", place)
        assert [store.kind(uri) for uri in uris] == ["directory", "file", None, "directory"]

    def test_what_is_not_there(self, store: Store, place: str) -> None:
        for ask in (store.read, store.stat, lambda uri: store.receive(uri, 10)):
            with pytest.raises(FileNotFoundError):
                ask(f"{place}/none")
        assert store.names(f"{place}/none") == []
        store.delete(f"{place}/none")

    def test_of_many_that_create_a_file_one_does(self, store: Store, place: str) -> None:
        start = threading.Barrier(8)

        def create(number: int) -> None:
            start.wait()
            store.create(f"{place}/lease", f"{number}".encode())

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = store.read(f"{place}/lease")
        store.create(f"{place}/lease", b"late")
        assert store.read(f"{place}/lease") == won
        assert int(won) in range(8)

    def test_what_is_deleted_is_gone(self, store: Store, place: str) -> None:
        store.write(f"{place}/a", b"1")
        store.delete(f"{place}/a")
        assert store.kind(f"{place}/a") is None
        store.create(f"{place}/a", b"2")
        assert store.read(f"{place}/a") == b"2"


class TestSchemes:
    @pytest.mark.parametrize(
        ("given", "plain", "bucket", "key"),
        [
            ("s3a://b/k/l", "s3://b/k/l", "b", "k/l"),
            ("gcs://b/k", "gs://b/k", "b", "k"),
            (
                "abfss://c@a.dfs.core.windows.net/k",
                "az://c@a.dfs.core.windows.net/k",
                "c@a.dfs.core.windows.net",
                "k",
            ),
            ("hf://datasets/o/n@v1/a/b", "hf://datasets/o/n@v1/a/b", "datasets/o/n@v1", "a/b"),
            ("hf://o/n/a/b", "hf://models/o/n/a/b", "models/o/n", "a/b"),
            ("file:///a/b", "/a/b", "", "/a/b"),
            ("a/b", "a/b", "", "a/b"),
            ("S3://b", "s3://b", "b", ""),
        ],
    )
    def test_spellings(self, given: str, plain: str, bucket: str, key: str) -> None:
        assert canonical(given) == plain
        assert split_uri(plain) == (bucket, key)

    @pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.extra])
    def test_a_missing_extra_is_named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        scheme = SCHEMES[name]
        monkeypatch.setitem(sys.modules, scheme.package, None)
        monkeypatch.setenv("OSS_ENDPOINT", "http://another")  # none that is open already
        monkeypatch.setenv("AZURE_STORAGE_ANON", "true")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another")
        with pytest.raises(
            ConfigurationError, match=rf"pip install 'internvl-batch\[{scheme.extra}\]'"
        ):
            store_of(f"{name}://bucket/key")

    def test_an_account_is_needed_for_azure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
        monkeypatch.setenv("AZURE_STORAGE_ANON", "true")
        with pytest.raises(ConfigurationError, match="AZURE_STORAGE_ACCOUNT_NAME"):
            store_of("az://container/a").kind("az://container/a")

    def test_a_uri_of_azure_names_its_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
        monkeypatch.setenv("AZURE_STORAGE_ANON", "true")
        one, two = (store_of(f"az://c@{name}.dfs.core.windows.net/k") for name in ("one", "two"))
        assert [store.fs.account_name for store in (one, two)] == ["one", "two"]  # type: ignore[attr-defined]
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING", f"AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY}"
        )
        with pytest.raises(ConfigurationError, match=f"is of the account {AZURE_ACCOUNT}"):
            store_of("az://c@three.dfs.core.windows.net/k").kind(
                "az://c@three.dfs.core.windows.net/k"
            )

    def test_every_extra_is_one_of_the_package(self) -> None:
        import tomllib

        project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())[
            "project"
        ]
        for scheme in SCHEMES.values():
            names = (
                project["optional-dependencies"][scheme.extra]
                if scheme.extra
                else project["dependencies"]
            )
            if scheme.package:
                wanted = scheme.package.replace("_", "-")
                assert any(name.startswith(wanted) for name in names), scheme.name
