"""WebDataset shards."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.pipelines.manifests import errors, notes, plan_of, read_manifest, read_plan, shard


def samples(count: int, first: int = 0) -> dict[str, dict[str, bytes]]:
    return {
        f"{number:05d}": {
            "jpg": b"image %d" % number + bytes(2_000),
            "json": json.dumps({"width": number, "meta": {"from": "web"}}).encode(),
            "txt": f"caption {number}".encode(),
        }
        for number in range(first, first + count)
    }


def contents(table: object) -> list:
    return [media and [item["bytes"] for item in media] for media in table["__media"].to_pylist()]  # type: ignore[index]


def test_a_key_makes_a_row(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(shard(samples(3)))
    (tmp_path / "1.tar.gz").write_bytes(gzip.compress(shard(samples(2, first=3))))
    plan = plan_of(tmp_path)
    table = read_plan(plan, batch_rows=2)
    assert (plan.format, plan.schema.names, plan.total_rows) == (
        "webdataset",
        ["width", "meta", "txt"],
        None,
    )
    assert table["id"].to_pylist() == [f"{number:05d}" for number in range(5)]
    assert contents(table) == [[b"image %d" % number + bytes(2_000)] for number in range(5)]
    assert table["txt"].to_pylist() == [f"caption {number}" for number in range(5)]
    assert table["meta"].to_pylist() == [{"from": "web"}] * 5
    assert table["__source"].to_pylist() == [
        "0.tar:1",
        "0.tar:2",
        "0.tar:3",
        "1.tar.gz:1",
        "1.tar.gz:2",
    ]


def test_folders_dots_and_other_members(tmp_path: Path) -> None:
    data = {
        "./a/x": {"0.png": b"1", "1.png": b"2", "npy": b"?"},
        "b/x": {"JPG": b"3"},
        "c": {"seg.png": b"4", "png": b"5"},
    }
    (tmp_path / "m.tar").write_bytes(shard(data))
    table = read_manifest(tmp_path / "m.tar")
    assert table["id"].to_pylist() == ["a/x", "b/x", "c"]
    assert contents(table) == [[b"1", b"2"], [b"3"], [b"4", b"5"]]
    assert contents(read_manifest(tmp_path / "m.tar", image_column="seg.png"))[2] == [b"4"]


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "a/.DS_Store", "._a.jpg", "a/._x.jpg", ".hidden.jpg"),
        *("__MACOSX/a.jpg", "a/__MACOSX/x.jpg", "README", "a/LICENSE", "_SUCCESS", "__meta__"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_of_no_sample_makes_no_row(tmp_path: Path, name: str, place: int) -> None:
    """As in the library webdataset: hidden files and names without a suffix."""
    names = ["x.jpg", "y.jpg"]
    names.insert(place, name)
    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        for one in names:
            member = tarfile.TarInfo(one)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    table = read_manifest(tmp_path / "m.tar")
    assert table["id"].to_pylist() == ["x", "y"]
    assert not errors(table)


@pytest.mark.parametrize(
    ("option", "member"), [("video_column", "mp4"), ("document_column", "pdf")]
)
def test_other_media(tmp_path: Path, option: str, member: str) -> None:
    (tmp_path / "m.tar").write_bytes(shard({"a": {"jpg": b"no", member: b"yes"}}))
    for name in (member, option.removesuffix("_column")):
        assert contents(read_manifest(tmp_path / "m.tar", **{option: name})) == [[b"yes"]]


def test_an_id_in_the_json_member(tmp_path: Path) -> None:
    (tmp_path / "m.tar").write_bytes(shard({"k": {"jpg": b"x", "json": b'{"key": 7, "uid": "u"}'}}))
    assert read_manifest(tmp_path / "m.tar", id_column="uid")["id"].to_pylist() == ["u"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"json": b"{}"}, "no media"),
        ({"jpg": b"", "json": b"{}"}, "member '00005.jpg' is empty"),
        ({"jpg": b"x", "json": b"{"}, "member '00005.json' cannot be read"),
    ],
)
def test_a_bad_sample_costs_that_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict, says: str
) -> None:
    monkeypatch.setattr("pipelines.sources.webdataset._SAMPLED_ROWS", 3)
    (tmp_path / "m.tar").write_bytes(shard(samples(5) | {"00005": members} | samples(2, first=6)))
    table = read_manifest(tmp_path / "m.tar")
    assert list(errors(table)) == ["m.tar:6"]
    assert says in errors(table)["m.tar:6"]
    assert table["id"].to_pylist() == [f"{number:05d}" for number in range(8)]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"jpg": b"x", "txt": b"\xff"}, "column 'txt' holds bytes that are not UTF-8"),
        ({"jpg": b"x", "json": b'{"width": "wide"}'}, "column 'width' is int64"),
        ({"jpg": b"x", "json": b'{"new": 1}'}, 'sampled at start: {"new":1}'),
    ],
)
def test_what_is_only_carried_costs_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict, says: str
) -> None:
    monkeypatch.setattr("pipelines.sources.webdataset._SAMPLED_ROWS", 3)
    (tmp_path / "m.tar").write_bytes(shard(samples(5) | {"00005": members} | samples(2, first=6)))
    table = read_manifest(tmp_path / "m.tar")
    assert not errors(table)
    assert says in notes(table)["m.tar:6"][0]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [0.2, 0.5, 0.51, 0.9, 0.97])
def test_a_shard_cut_short_keeps_what_comes_before(
    tmp_path: Path, cut: float, compressed: bool
) -> None:
    data = shard(samples(100))
    path = tmp_path / ("m.tar.gz" if compressed else "m.tar")
    data = gzip.compress(data, 0) if compressed else data
    path.write_bytes(data[: int(len(data) * cut)])
    table = read_manifest(path)
    assert list(errors(table)) == [f"{path.name}:{len(table)}"]
    assert "cannot be read from here on" in errors(table)[f"{path.name}:{len(table)}"]
    assert len(table) > 100 * cut - (20 if compressed else 6)


def test_a_broken_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(shard(samples(10)))
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as tar:
        member = tar.getmember("00004.jpg")
    data[member.offset : member.offset + 512] = b"\x01" * 512
    (tmp_path / "m.tar").write_bytes(data)
    table = read_manifest(tmp_path / "m.tar")
    assert table["id"].to_pylist() == [f"{number:05d}" for number in range(4)]
    assert list(errors(table)) == ["m.tar:4"]


def test_limit(tmp_path: Path) -> None:
    for part in range(3):
        (tmp_path / f"{part}.tar").write_bytes(shard(samples(4, first=4 * part)))
    assert len(read_manifest(tmp_path, limit=6)) == 6


def test_batches_stay_within_their_bytes(tmp_path: Path) -> None:
    from pipelines.sources import read_split

    (tmp_path / "m.tar").write_bytes(
        shard({str(n): {"jpg": bytes([n]) * 300_000} for n in range(20)})
    )
    plan = plan_of(tmp_path / "m.tar")
    assert [len(table) for table in read_split(plan, plan.splits[0], batch_bytes=1_000_000)] == [
        3
    ] * 6 + [2]


def test_a_member_that_is_json_but_no_object_is_a_column(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "What is it?"}]
    members = {"jpg": b"x", "json": json.dumps(turns).encode()}
    (tmp_path / "m.tar").write_bytes(shard({"a": members, "b": members | {"json": b"7"}}))
    table = read_manifest(tmp_path / "m.tar")
    assert not errors(table)
    assert [json.loads(value) for value in table["json"].to_pylist()] == [turns, 7]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_members_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    members = {"jpg": b"x", "json": '{"a": "é"}'.encode(encoding), "txt": "é".encode("utf-8-sig")}
    (tmp_path / "m.tar").write_bytes(shard({"k": members}))
    table = read_manifest(tmp_path / "m.tar")
    assert table.select(["a", "txt"]).to_pylist() == [{"a": "é", "txt": "é"}]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_that_are_not_utf8_are_ids_that_stay_different(tmp_path: Path, form: int) -> None:
    with tarfile.open(tmp_path / "m.tar", "w", format=form) as tar:
        for name in (b"caf\xe9.jpg", b"caf\xe8.jpg"):
            member = tarfile.TarInfo(name.decode(errors="surrogateescape"))
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    assert read_manifest(tmp_path / "m.tar")["id"].to_pylist() == ["caf\\xe9", "caf\\xe8"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_media_that_are_links_are_not_left_out_without_a_word(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = kind, "a.jpg"
    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
        tar.addfile(link)
    table = read_manifest(tmp_path / "m.tar")
    assert contents(table)[0] == [b"x"]
    assert "'b.jpg' is a link to 'a.jpg'" in errors(table)["m.tar:2"]


def test_a_member_that_is_there_twice_counts_as_the_later_one(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        for content in (b"old", b"new"):
            member = tarfile.TarInfo("a.jpg")
            member.size = 3
            tar.addfile(member, io.BytesIO(content))
    assert contents(read_manifest(tmp_path / "m.tar")) == [[b"new"]]


@pytest.mark.parametrize("compressed", [False, True])
def test_shards_that_were_put_together_are_read_to_the_last_one(
    tmp_path: Path, compressed: bool
) -> None:
    parts = [shard(samples(2, first=2 * number)) for number in range(3)]
    data = b"".join(map(gzip.compress, parts)) if compressed else b"".join(parts)
    (tmp_path / ("m.tar.gz" if compressed else "m.tar")).write_bytes(data)
    table = read_manifest(tmp_path)
    assert not errors(table)
    assert table["id"].to_pylist() == [f"{number:05d}" for number in range(6)]


def test_what_stands_behind_a_shard_costs_none_of_its_samples(tmp_path: Path) -> None:
    (tmp_path / "m.tar").write_bytes(shard(samples(2)) + b"something else" * 100)
    table = read_manifest(tmp_path / "m.tar")
    assert "after its end stands something that is no tar" in errors(table)["m.tar:3"]
    assert len(table) == 3
