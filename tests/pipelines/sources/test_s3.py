"""The same sources from S3, over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from tests.pipelines.conftest import bucket_named
from tests.pipelines.manifests import plan_of, read_manifest, read_plan, shard, uris, write_manifest

ROWS = [{"image": f"pictures/{number}.jpg", "question": "Why?"} for number in range(25)]


@pytest.fixture
def bucket(s3_client: object) -> Iterator[object]:
    with bucket_named(s3_client, "manifests"):
        yield s3_client


def put(client, key: str, data: bytes) -> None:
    client.put_object(Bucket="manifests", Key=key, Body=data)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "txt", "jsonl.gz"])
def test_every_format_reads_as_from_disk(tmp_path: Path, bucket, suffix: str) -> None:
    path = write_manifest(tmp_path / f"m.{suffix.removesuffix('.gz')}", ROWS)
    data = gzip.compress(path.read_bytes()) if suffix.endswith(".gz") else path.read_bytes()
    put(bucket, f"sets/one/m.{suffix}", data)
    plan = plan_of(f"s3://manifests/sets/one/m.{suffix}")
    assert plan.base == "s3://manifests/sets/one"
    there, here = read_plan(plan), read_manifest(path)
    assert there.drop(["__source"]).equals(here.drop(["__source"]))


def test_webdataset(bucket) -> None:
    put(
        bucket,
        "w/0.tar",
        shard({"a": {"jpg": b"1", "txt": b"one"}, "b": {"jpg": b"2", "txt": b"two"}}),
    )
    plan = plan_of("s3://manifests/w")
    assert read_plan(plan).select(["id", "txt"]).to_pylist() == [
        {"id": "a", "txt": "one"},
        {"id": "b", "txt": "two"},
    ]
    assert len(read_plan(plan_of("s3://manifests/w", limit=1))) == 1


@pytest.mark.parametrize("uri", ["parts", "parts/", "parts/*.parquet", "parts/**/*.parquet", ""])
def test_parts_in_order(tmp_path: Path, bucket, uri: str) -> None:
    for part in range(3):
        path = write_manifest(tmp_path / f"{part}.parquet", ROWS[part * 5 : part * 5 + 5])
        put(bucket, f"parts/part-{part}.parquet", path.read_bytes())
    put(bucket, "parts/_SUCCESS", b"")
    put(bucket, "parts/.part-0.parquet.crc", b"")
    plan = plan_of(f"s3://manifests/{uri}")
    assert (len(plan.splits), plan.total_rows) == (3, 15)
    folder = "" if uri else "parts/"  # media are relative to their own manifest file
    assert uris(read_plan(plan)) == [[folder + row["image"]] for row in ROWS[:15]]


def test_files(bucket) -> None:
    names = ["a.jpg", "sub/b.png", "sub/c d#?.webp"]
    for name in [*names, ".hidden.jpg", "sub/.h/x.jpg", "notes.md", "sub/"]:
        put(bucket, f"in/{name}", b"")
    table = read_manifest("s3://manifests/in")
    assert table["id"].to_pylist() == names
    assert uris(table) == [[f"s3://manifests/in/{name}"] for name in names]
    assert read_manifest("s3://manifests/in/sub/*.png")["id"].to_pylist() == ["b.png"]
    assert read_manifest("s3://manifests/in", recursive=False)["id"].to_pylist() == ["a.jpg"]


@pytest.mark.parametrize("credentials", [False, True])
def test_a_public_bucket_is_read_without_credentials(
    tmp_path: Path, bucket, monkeypatch: pytest.MonkeyPatch, credentials: bool
) -> None:
    manifest = write_manifest(tmp_path / "m.jsonl", ROWS).read_bytes()
    for key, data in {"open/m.jsonl": manifest, "open/pictures/3.jpg": b"three"}.items():
        bucket.put_object(Bucket="manifests", Key=key, Body=data, ACL="public-read")
    if not credentials:
        for name, value in {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(ConfigurationError, match="--s3-anonymous"):
            plan_of("s3://manifests/open/m.jsonl")
    plan = plan_of("s3://manifests/open/m.jsonl", s3_anonymous=True)
    media = uris(read_plan(plan))[3]
    assert media is not None
    with Fetcher(ReadPolicy(plan.base, s3_anonymous=True)) as fetcher:
        assert fetcher.fetch(media[0]) == b"three"


def test_a_listing_of_several_pages_is_streamed(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:03d}.jpg" for number in range(45)]
    for name in names:
        put(bucket, f"many/{name}", b"")
    monkeypatch.setattr("internvl_ops.stores.s3.KEYS_A_PAGE", 10)
    assert read_manifest("s3://manifests/many")["id"].to_pylist() == names
    monkeypatch.setattr("pipelines.sources.files._LISTED_AT_START", 20)
    plan = plan_of("s3://manifests/many")
    assert plan.total_rows is None
    assert read_plan(plan)["id"].to_pylist() == names


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://no-such-bucket/m.jsonl", "does not exist"),
        ("s3://no-such-bucket", "no bucket 'no-such-bucket'"),
        ("s3://manifests/none.jsonl", "s3://manifests/none.jsonl does not exist"),
        ("s3://manifests/none/*.jsonl", "does not exist"),
        ("s3://", "bucket"),
    ],
)
def test_what_is_not_there(bucket, uri: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_of(uri)
    assert says in str(caught.value)
    assert "testing-secret-9f2c" not in str(caught.value)


def test_an_endpoint_that_does_not_answer(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        plan_of("s3://manifests/m.jsonl")
