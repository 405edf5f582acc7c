"""Media in every store are read by the same rules: own bucket, limits, kinds of errors,
versions."""

from __future__ import annotations

import pytest

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.stores.opening import store_of
from testing.hub import Hub
from testing.stores import Emulators


def fetcher(base: str, *allow: str, **options: float) -> Fetcher:
    given: dict[str, float] = {"backoff_s": 0.01, "attempts": 1, "outage_s": 0} | options
    return Fetcher(ReadPolicy(base, allow), **given)  # type: ignore[arg-type]


def failure(reader: Fetcher, uri: str) -> UnitError:
    with pytest.raises(UnitError) as caught:
        reader.fetch(uri)
    return caught.value


def test_media_of_the_own_bucket(place: str) -> None:
    store = store_of(place)
    bodies = {f"{place}/{number} é#?.jpg": bytes([number]) * 1000 for number in range(8)}
    for uri, data in bodies.items():
        store.write(uri, data)
    with fetcher(place) as reader:
        assert dict(zip(bodies, reader.fetch_many(bodies), strict=True)) == bodies
        assert reader.fetch("3 é#?.jpg") == bytes([3]) * 1000
        first = next(iter(bodies))
        before = reader.version(first)
        assert reader.versions_now([first]) == [before]
        store.write(first, b"changed")
        assert reader.versions_now([first]) != [before]


def test_kinds_of_errors(place: str) -> None:
    store_of(place).write(f"{place}/a.jpg", bytes(1000))
    with fetcher(place, max_bytes=999) as reader:
        assert failure(reader, f"{place}/none.jpg").kind == "not_found"
        too_large = failure(reader, f"{place}/a.jpg")
        assert (too_large.kind, "max_bytes" in too_large.message) == ("too_large", True)


def test_another_bucket_needs_allow(remote_place: str) -> None:
    place = remote_place
    other = f"{place.partition(':')[0]}://other/a.jpg"
    with fetcher(place) as reader:
        refused = failure(reader, other)
    assert (refused.kind, refused.message.endswith(other.removesuffix("a.jpg"))) == (
        "refused",
        True,
    )
    assert ReadPolicy(place, (other.removesuffix("a.jpg"),)).check(other) == other


def test_files_of_the_hub(hub: Hub) -> None:
    hub.commit("datasets/lab/set", {"a.jpg": b"one", "big.mp4": bytes(2 << 20)})
    with fetcher("hf://datasets/lab/set", max_bytes=3 << 20) as reader:
        assert reader.fetch("a.jpg") == b"one"
        before = reader.version("a.jpg")
        assert reader.versions_now(["a.jpg"]) == [before]
        assert len(reader.fetch("hf://datasets/lab/set/big.mp4")) == 2 << 20
        assert len(reader.version("hf://datasets/lab/set/big.mp4")) == 64
        hub.commit("datasets/lab/set", {"a.jpg": b"two"})
        assert reader.fetch("hf://datasets/lab/set@main/a.jpg") == b"two"
        assert reader.versions_now(["a.jpg"]) != [before]
        assert failure(reader, "b.jpg").kind == "not_found"
        assert failure(reader, "hf://datasets/lab/other/a.jpg").message.endswith(
            "hf://datasets/lab/other/"
        )


def test_a_missing_package_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ossfs", None)
    monkeypatch.setenv("OSS_ENDPOINT", "http://yet-another")
    with (
        fetcher("oss://own") as reader,
        pytest.raises(ConfigurationError, match=r"internvl-batch\[oss\]"),
    ):
        reader.fetch("a.jpg")


@pytest.mark.parametrize("scheme", ["az", "oss"])
def test_wrong_credentials_are_said_once_and_without_secrets(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    for name, value in emulators.environment(scheme).items():
        monkeypatch.setenv(name, value.replace("Eby8", "hunter2a") if scheme == "az" else value)
    if scheme == "oss":
        monkeypatch.setenv("OSS_ACCESS_KEY_ID", "nobody")
    with fetcher(f"{scheme}://store-tests") as reader:
        error = failure(reader, "a.jpg")
    assert error.kind == "storage"
    assert ("AZURE_STORAGE_" if scheme == "az" else "OSS_ACCESS_KEY_ID") in error.message
    assert "hunter2" not in error.message
