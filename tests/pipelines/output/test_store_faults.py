"""A real store over HTTP of which every fifth request goes wrong: nothing is lost, nothing is there
twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import boto3
import fsspec
import pyarrow as pa
import pytest

from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from pipelines import patience
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.patience import read_patiently
from pipelines.sources import SourceOptions, plan_source, read_split
from testing.faulty_proxy import KINDS, FaultyProxy

FIFTH = 0.2


@pytest.fixture
def proxy(
    bucket: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    """In front of the store, and doing nothing yet."""
    wait = patience._wait
    # the store does not need to rest
    monkeypatch.setattr(patience, "_wait", lambda attempt: wait(min(attempt, 1)))
    with FaultyProxy(s3_environment["AWS_ENDPOINT_URL"]) as proxy:
        proxy.stall_s = 0.5
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield proxy
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_results_are_written_whole_and_read_again(proxy: FaultyProxy) -> None:
    proxy.rate = FIFTH
    output = OutputFolder("s3://outputs/run")
    for number in range(40):
        output.write_table(
            f"{RESULTS}/{number:02d}.parquet", pa.table({"id": [f"{number}"], "text": ["x" * 5000]})
        )
    read = [table["id"].to_pylist() for _, table in output.read_tables(RESULTS, ["id"])]
    assert read == [[f"{number}"] for number in range(40)]
    assert set(proxy.fired) == set(KINDS)


def test_a_store_that_is_down_for_a_while_is_waited_for(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def wait(attempt: int) -> None:
        waits.append(attempt)
        proxy.down = len(waits) < 3

    monkeypatch.setattr(patience, "_wait", wait)
    proxy.down = True
    output = OutputFolder("s3://outputs/run")
    output.write_bytes("results/a.parquet", b"PAR1")
    assert output.read_bytes("results/a.parquet") == b"PAR1"
    assert waits == [1, 2, 3]


def test_every_row_of_a_manifest_is_read_once(proxy: FaultyProxy) -> None:
    rows = "".join(
        json.dumps({"id": f"{n:06d}", "image": f"{n}.jpg", "text": "y" * 2000}) + "\n"
        for n in range(12_000)
    )
    boto3.client("s3", endpoint_url=proxy.upstream).put_object(
        Bucket="outputs", Key="m.jsonl", Body=rows.encode()
    )
    plan = plan_source(SourceOptions(uri="s3://outputs/m.jsonl"))
    proxy.rate = 0.5
    tables = read_patiently(lambda: read_split(plan, plan.splits[0]), "m.jsonl")
    assert [id_ for table in tables for id_ in table["id"].to_pylist()] == [
        f"{n:06d}" for n in range(12_000)
    ]
    assert proxy.fired


def test_every_image_arrives(proxy: FaultyProxy) -> None:
    client = boto3.client("s3", endpoint_url=proxy.upstream)
    bodies = {f"s3://outputs/{n}.jpg": bytes([n]) * 10_000 for n in range(60)}
    for uri, body in bodies.items():
        client.put_object(Bucket="outputs", Key=uri.rpartition("/")[2], Body=body)
    proxy.rate = FIFTH
    with Fetcher(ReadPolicy("s3://outputs"), backoff_s=0.01, timeout_s=5) as fetcher:
        assert dict(zip(bodies, fetcher.fetch_many(bodies), strict=True)) == bodies
    assert len(proxy.fired) >= 3


def test_one_run_at_a_time(proxy: FaultyProxy) -> None:
    for number in range(8):
        proxy.rate = FIFTH
        with Lease(OutputFolder("s3://outputs/run"), f"run {number}") as held:
            held.hold()
            assert held._number == number + 1


class TestAnotherStore:
    """Google Cloud Storage, whose client tries again by itself, too."""

    @pytest.fixture
    def gs_proxy(
        self, gs_place: str, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[tuple[FaultyProxy, str]]:
        wait = patience._wait
        monkeypatch.setattr(patience, "_wait", lambda attempt: wait(min(attempt, 1)))
        with FaultyProxy(os.environ["STORAGE_EMULATOR_HOST"]) as proxy:
            proxy.stall_s = 0.5
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
            yield proxy, gs_place

    def test_results_are_written_whole_and_media_arrive(
        self, gs_proxy: tuple[FaultyProxy, str]
    ) -> None:
        proxy, place = gs_proxy
        bodies = {f"{place}/{number}.jpg": bytes([number]) * 10_000 for number in range(10)}
        output = OutputFolder(f"{place}/out")
        for uri, body in bodies.items():
            output.store.write(uri, body)
        proxy.rate = FIFTH
        for number in range(10):
            output.write_table(
                f"{RESULTS}/{number:02d}.parquet",
                pa.table({"id": [f"{number}"], "text": ["x" * 5000]}),
            )
        read = [
            table["id"].to_pylist() for _, table in output.read_tables(RESULTS, ["id"], threads=2)
        ]
        assert read == [[f"{number}"] for number in range(10)]
        with Fetcher(ReadPolicy(place), backoff_s=0.01, timeout_s=60) as fetcher:
            assert dict(zip(bodies, fetcher.fetch_many(bodies), strict=True)) == bodies
        assert proxy.fired
