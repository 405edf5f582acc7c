"""An output folder on local disk and in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest

from testing.object_store import object_store


@pytest.fixture(scope="module")
def s3_environment() -> Iterator[dict[str, str]]:
    """Variables that lead to an object store."""
    with object_store() as environment:
        yield environment


@pytest.fixture
def s3_client(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the store for the test itself; the environment is set for the code under test."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    # one of another test knows another endpoint
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return boto3.client("s3")


@contextmanager
def bucket_named(client: Any, name: str) -> Iterator[None]:
    """A bucket that is there meanwhile, and then gone with all that is in it."""
    client.create_bucket(Bucket=name)
    yield
    for entry in client.list_objects_v2(Bucket=name).get("Contents", ()):
        client.delete_object(Bucket=name, Key=entry["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture
def bucket(s3_client: Any) -> Iterator[str]:
    with bucket_named(s3_client, "outputs"):
        yield "s3://outputs"


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        str(tmp_path / "out")
        if request.param == "local"
        else request.getfixturevalue("bucket") + "/run/out"
    )
