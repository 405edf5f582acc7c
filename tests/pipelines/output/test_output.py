"""The output folder on local disk and in an object store: files whole or not at all."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import duckdb
import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.schemes import SCHEMES, Scheme
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder

ROOT = Path(__file__).parents[3]
TABLE = pa.table({"id": ["a", "b"], "n": [1, 2]})


class TestEveryStore:
    def test_what_is_written_is_read(self, uri: str) -> None:
        output = OutputFolder(uri)
        output.write_table("results/one.parquet", TABLE)
        assert output.files(RESULTS) == ["results/one.parquet"]
        assert output.read_table("results/one.parquet").equals(TABLE)
        assert output.read_table("results/one.parquet", ["n"]).column_names == ["n"]

    def test_a_folder_that_is_not_there_has_no_files(self, uri: str) -> None:
        output = OutputFolder(uri)
        assert output.files(RESULTS) == []
        assert list(output.read_tables(RESULTS, ["id"])) == []

    def test_many_files_are_read_side_by_side_in_order(self, uri: str) -> None:
        output = OutputFolder(uri)
        for number in range(12):
            output.write_table(
                f"errors/{number:02d}.parquet", pa.table({"id": [number], "other": [0]})
            )
        read = list(output.read_tables(ERRORS, ["id"], threads=2))
        assert [name for name, _ in read] == output.files(ERRORS)
        assert [table.to_pydict() for _, table in read] == [
            {"id": [number]} for number in range(12)
        ]

    def test_only_finished_parquet_files_count(self, uri: str) -> None:
        output = OutputFolder(uri)
        for name in (
            "b.parquet",
            "a.parquet",
            ".a.parquet.77",
            ".b.parquet",
            "_SUCCESS",
            "notes.txt",
        ):
            output.write_bytes(f"results/{name}", b"")
        assert output.files(RESULTS) == ["results/a.parquet", "results/b.parquet"]

    def test_a_file_that_another_process_wrote_is_seen(self, uri: str) -> None:
        first, second = OutputFolder(uri), OutputFolder(uri)
        second.write_bytes("results/a.parquet", b"1")
        assert first.files(RESULTS) == ["results/a.parquet"]
        second.write_bytes("results/b.parquet", b"2")
        assert first.files(RESULTS) == ["results/a.parquet", "results/b.parquet"]
        second.remove("results/a.parquet")
        assert first.files(RESULTS) == ["results/b.parquet"]

    def test_a_file_written_again_replaces_the_first(self, uri: str) -> None:
        output = OutputFolder(uri)
        output.write_table("errors/one.parquet", TABLE)
        output.write_table("errors/one.parquet", TABLE.slice(1))
        assert output.read_table("errors/one.parquet")["id"].to_pylist() == ["b"]

    def test_the_check_leaves_nothing_behind(self, uri: str) -> None:
        output = OutputFolder(uri)
        output.check_writable()
        assert output.fs.find(output.root) == []


class TestRefusals:
    def test_a_bucket_that_is_not_there(self, bucket: str) -> None:
        with pytest.raises(
            ConfigurationError, match=r"--output s3://no-such-bucket/out: not writable: .*bucket"
        ):
            OutputFolder("s3://no-such-bucket/out").check_writable()

    def test_a_folder_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigurationError, match=r"not writable: .*Not a directory"):
            OutputFolder(str(tmp_path / "file" / "out")).check_writable()

    @pytest.mark.parametrize("name", ["a.txt", "a.txt/below", "x" * 300, "loop"])
    def test_a_path_that_can_be_no_folder(
        self, tmp_path: Path, waits: list[float], name: str
    ) -> None:
        (tmp_path / "a.txt").write_text("mine")
        (tmp_path / "loop").symlink_to("loop")
        output = OutputFolder(str(tmp_path / name))
        with pytest.raises(ConfigurationError, match=r"--output .*\. Give a folder\."):
            output.check_listable()
        with pytest.raises(OSError):  # noqa: PT011  # of several kinds
            output.files("results")
        assert waits == []

    def test_a_store_without_credentials_is_not_waited_for(
        self, waits: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        with pytest.raises(ConfigurationError, match=r"--output s3://b/o: .*credentials"):
            OutputFolder("s3://b/o").check_listable()
        assert waits == []

    def test_a_path_that_is_not_there_yet_may_be_one(self, tmp_path: Path) -> None:
        OutputFolder(str(tmp_path / "a" / "b")).check_listable()

    def test_a_scheme_that_nothing_writes(self) -> None:
        with pytest.raises(ConfigurationError, match="--output") as refused:
            OutputFolder("strange://me:s3cret@host/out")
        assert "s3cret" not in str(refused.value)
        assert "s3://bucket/prefix" in str(refused.value)

    @pytest.mark.parametrize(
        "uri",
        [
            *(
                "memory://x",
                "github://a/b",
                "http://h/x",
                "https://h/x",
                "ftp://h/x",
                "zip://x",
                "hf://datasets/a",
            ),
            *(
                "data:x",
                "s3:/b/k",
                "s3://",
                "s3:///k",
                "s3://?x",
                "simplecache::s3://b/k",
                "MEMORY://x",
                "",
                " ",
            ),
            *("memory:/x", "S3:b", "dir://x", "reference://x", "S3://"),
        ],
    )
    def test_a_place_that_keeps_nothing(
        self, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(
            ConfigurationError, match=r"--output .* Use a local path or s3://bucket/prefix"
        ):
            OutputFolder(uri)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "uri", ["out", "out:1", "./a b", "file:///tmp/x", "s3://b", "s3a://b/k", "run:2026"]
    )
    def test_others_are_taken(self, uri: str) -> None:
        OutputFolder(uri)


class TestLocalFilesAreWhole:
    def test_a_reader_never_sees_part_of_one(self, tmp_path: Path) -> None:
        output = OutputFolder(str(tmp_path))
        size, done = 300_000, threading.Event()
        output.write_bytes("results/a.parquet", bytes(size))

        def rewrite() -> None:
            for version in range(1, 40):
                output.write_bytes("results/a.parquet", bytes([version]) * size)
            done.set()

        writer = threading.Thread(target=rewrite)
        writer.start()
        while not done.is_set():
            data = (tmp_path / "results" / "a.parquet").read_bytes()
            assert (len(data), len(set(data))) == (size, 1)
        writer.join()

    def test_what_a_killed_writer_left_is_no_file(self, tmp_path: Path) -> None:
        dies_before_the_rename = (
            "import os, sys; from pipelines.output.folder import OutputFolder; os.replace = lambda"
            " *_: os._exit(9); OutputFolder(sys.argv[1]).write_bytes('results/half.parquet', b'PAR1"
            " and no more')"
        )
        killed = subprocess.run(
            [sys.executable, "-c", dies_before_the_rename, tmp_path], cwd=ROOT, check=False
        )
        assert killed.returncode == 9
        assert len(list((tmp_path / "results").iterdir())) == 1
        output = OutputFolder(str(tmp_path))
        assert output.files(RESULTS) == []
        output.write_table("results/whole.parquet", TABLE)
        assert [name for name, _ in output.read_tables(RESULTS, ["id"])] == [
            "results/whole.parquet"
        ]
        assert len(duckdb.sql(f"select * from '{tmp_path}/results/*.parquet'").fetchall()) == 2
        assert len(pd.read_parquet(tmp_path / "results")) == 2

    def test_a_full_disk_is_told_and_leaves_no_file(
        self, tmp_path: Path, waits: list[float]
    ) -> None:
        output = OutputFolder(str(tmp_path))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        try:
            with pytest.raises(
                OSError, match=r"results/a\.parquet could not be written: .*too large"
            ):
                output.write_bytes("results/a.parquet", bytes(3 << 20))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert output.files(RESULTS) == []


class FailingStore(MemoryFileSystem):
    """A store in memory, ``failing://``, whose next writes raise what stands in ``failures``."""

    protocol = "failing"
    store: dict = {}  # noqa: RUF012 (the base class has it so)
    pseudo_dirs = [""]  # noqa: RUF012
    failures: list[Exception] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("failing://").strip("/")

    def pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **options: object
    ) -> None:
        if self.failures:
            raise self.failures.pop(0)
        super().pipe_file(path, value, mode, **options)


fsspec.register_implementation("failing", FailingStore, clobber=True)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a write would have waited, which it does not."""
    seconds: list[float] = []
    monkeypatch.setattr("pipelines.patience.time", SimpleNamespace(sleep=seconds.append))
    return seconds


class TestAStoreThatFails:
    @pytest.fixture
    def output(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[OutputFolder]:
        scheme = Scheme("failing", "a store in memory", "internvl_ops.stores.remote:RemoteStore")
        monkeypatch.setitem(SCHEMES, "failing", scheme)
        yield OutputFolder("failing://out")
        FailingStore.failures.clear()
        FailingStore.store.clear()

    def test_is_waited_for(self, output: OutputFolder, waits: list[float]) -> None:
        FailingStore.failures += [
            OSError("503 Slow Down"),
            ConnectionResetError("reset"),
            TimeoutError(),
        ]
        output.write_table("results/a.parquet", TABLE)
        assert output.read_table("results/a.parquet").equals(TABLE)
        assert len(waits) == 3
        assert waits == sorted(waits)

    def test_is_given_up_after_some_minutes(self, output: OutputFolder, waits: list[float]) -> None:
        FailingStore.failures += [OSError("503 Slow Down")] * 100
        with pytest.raises(
            OSError, match=r"failing://out/results/a\.parquet could not be written: 503 Slow Down"
        ):
            output.write_bytes("results/a.parquet", b"")
        assert 150 < sum(waits) < 310  # a store that is down for two minutes comes back in time
        assert output.files(RESULTS) == []

    @pytest.mark.parametrize(
        "refusal", [PermissionError("AccessDenied"), FileNotFoundError("NoSuchBucket")]
    )
    def test_is_not_waited_for_where_it_refuses(
        self, output: OutputFolder, waits: list[float], refusal: OSError
    ) -> None:
        FailingStore.failures += [refusal]
        with pytest.raises(type(refusal)):
            output.write_bytes("results/a.parquet", b"")
        assert waits == []
