"""Inputs that cannot be read as configured end the job at start, with what is wrong and what is
allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.output.folder import OutputFolder
from pipelines.sources import SourceOptions, plan_source
from tests.pipelines.manifests import plan_of, read_manifest, write_manifest

ROW = {"image": "a.jpg", "key": "k", "picture_url": "x"}


@pytest.mark.parametrize(
    ("files", "uri", "options", "says"),
    [
        ({}, "nothing.jsonl", {}, ["--input", "nothing.jsonl does not exist"]),
        ({"manifest.jsonl": b""}, "manifets.jsonl", {}, ["Did you mean", "manifest.jsonl?"]),
        ({}, "no/*.jsonl", {}, ["no does not exist"]),
        ({"m.jsonl": b""}, "*.parquet", {}, ["*.parquet", "no file"]),
        ({"d/x.bin": b""}, "d", {}, ["no file of a known suffix", ".parquet"]),
        ({"d/.hidden.jpg": b""}, "d", {"format": "files"}, ["no file with a known suffix", ".jpg"]),
        ({"d/x.jpg": b""}, "d", {"format": "parquet"}, ["no file with a suffix of parquet"]),
        (
            {"d/a.csv": b"", "d/b.parquet": b""},
            "d",
            {},
            ["several formats", "csv (1)", "--input-format"],
        ),
        ({"d/a.jpg": b"", "d/metadata.jsonl": b""}, "d", {}, ["several formats", "--input-format"]),
        (
            {"m.xyz": b""},
            "m.xyz",
            {},
            ["'.xyz' does not tell the format", "--input-format", "parquet"],
        ),
        (
            {"m.jsonl": b""},
            "m.jsonl",
            {"format": "xml"},
            ["--input-format xml", "auto, parquet, jsonl"],
        ),
        ({"m.parquet": b"no such thing"}, "m.parquet", {}, ["m.parquet cannot be read as Parquet"]),
        ({"m.parquet": b""}, "m.parquet", {}, ["m.parquet cannot be read as Parquet"]),
        ({"m.tar": b"no tar" * 200}, "m.tar", {}, ["m.tar is no tar that can be read"]),
        ({"m.json": b'[\n{"image": "a"}\n]\n'}, "m.json", {}, ["a JSON array", "jq -c '.[]' FILE"]),
        ({"m.jsonl": b'[{"image": "a"}]'}, "m.jsonl", {}, ["a JSON array", "jq -c '.[]' FILE"]),
        ({"m.jsonl": b"\x1f\x8b\x08\xff\n"}, "m.jsonl", {}, ["is a JSON object", ".gz"]),
        ({"m.csv": "image,é\na".encode("latin-1")}, "m.csv", {}, ["header", "not UTF-8"]),
        ({"m.csv": b'"image\na.jpg'}, "m.csv", {}, ["header", "not CSV"]),
        ({"m.csv": b"image,image\na,b"}, "m.csv", {}, ["names 'image' twice"]),
        (
            {"d/1.csv": b"image,a\n", "d/2.csv": b"x.jpg,b\n"},
            "d",
            {},
            ["2.csv has columns x.jpg, b", "1.csv"],
        ),
        ({"m.csv": b"image;text\na.jpg;b\n"}, "m.csv", {}, ["separated by ';'", "image;text"]),
        ({"m.tsv": b"image,text\na.jpg,b\n"}, "m.tsv", {}, ["separated by commas", "image,text"]),
        (
            {"m.csv": b"image,text\na,b\n"},
            "m.csv",
            {"names": ("image", "x")},
            ["--columns image,x", "names image"],
        ),
        ({"m.csv": b"a.jpg,b,c\n"}, "m.csv", {"names": ("image", "x")}, ["has 3 values, not 2"]),
        (
            {"m.csv": b"url,text\na,b"},
            "m.csv",
            {},
            ["no media column", "url, text", "--image-column url"],
        ),
        ({"m.csv": b"imag\na"}, "m.csv", {}, ["Did you mean --image-column imag?"]),
        (
            {"m.csv": b"image,video\na,b"},
            "m.csv",
            {},
            ["several media columns", "--video-column video"],
        ),
        ({"m.jsonl": b'{"image": 1}'}, "m.jsonl", {}, ["Column 'image' is int64", "URI"]),
        (
            {"m.csv": b"image,id,key\n"},
            "m.csv",
            {"id_column": "key"},
            ["--id-column key", "also has a column 'id'"],
        ),
        (
            {"m.csv": b"image\n"},
            "m.csv",
            {"id_column": "key"},
            ["--id-column key", "Columns there: image"],
        ),
        (
            {"m.csv": b"image\n"},
            "m.csv",
            {"image_column": "imaeg"},
            ["--image-column imaeg", "Did you mean image?"],
        ),
        (
            {"m.csv": b"image,v\n"},
            "m.csv",
            {"image_column": "image", "video_column": "v"},
            ["--image-column image and --video-column v", "one kind"],
        ),
        ({"m.csv": b"image\n"}, "m.csv", {"limit": -1}, ["--limit -1"]),
    ],
)
def test_says_what_is_wrong(
    tmp_path: Path, files: dict, uri: str, options: dict, says: list[str]
) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        plan_of(tmp_path / uri, **options)
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize("uri", ["ftp://x/y", "hdfs://x/y", "memory://x"])
def test_names_the_schemes_that_are_read(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed are local paths and s3://"):
        plan_of(uri)


def test_an_empty_input() -> None:
    with pytest.raises(ConfigurationError, match="--input is empty"):
        plan_of("")


def test_a_parquet_file_cut_short_is_named_among_many(tmp_path: Path) -> None:
    for part in range(3):
        write_manifest(tmp_path / f"{part}.parquet", [ROW])
    (tmp_path / "1.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:-20])
    with pytest.raises(ConfigurationError, match=r"1\.parquet cannot be read as Parquet"):
        plan_of(tmp_path)


def test_a_parquet_file_with_two_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["image", "image"]),
        tmp_path / "m.parquet",
    )
    with pytest.raises(ConfigurationError, match="two columns 'image'"):
        plan_of(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    "uri", ["s3://AKIA:hunter2@bucket/x.jsonl", "s3://AKIA:hun/ter2@bucket/x.jsonl"]
)
def test_keys_in_an_address_are_refused_and_not_repeated(uri):
    for refuse in (lambda: plan_source(SourceOptions(uri)), lambda: OutputFolder(uri)):
        with pytest.raises(
            ConfigurationError, match=r"s3://bucket/x.jsonl: no keys are taken"
        ) as caught:
            refuse()
        assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("braces", ["{0..99999}{0..99999}", "{a,b}" * 40, "{0..999999999999}"])
def test_braces_that_name_too_many_files(tmp_path: Path, braces: str) -> None:
    with pytest.raises(ConfigurationError, match="name more than 100,000 files"):
        plan_of(tmp_path / f"{braces}.jsonl")


@pytest.mark.parametrize("written", ["file:{}", "file://{}", "FILE://localhost{}"])
def test_uris_of_local_files(tmp_path: Path, written: str) -> None:
    for name, quoted in (("a b.jsonl", "a%20b.jsonl"), ("a%20c.jsonl", "a%20c.jsonl")):
        (tmp_path / name).write_text('{"image": "a.jpg"}')
        assert len(read_manifest(written.format(tmp_path / quoted))) == 1


@pytest.mark.parametrize("name", ["x" * 300 + ".jsonl", "loop.jsonl"])
def test_paths_that_lead_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    with pytest.raises(ConfigurationError, match="does not exist"):
        plan_of(tmp_path / name)


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "webdataset"])
def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path: Path, format: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for uri in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ConfigurationError, match="not a regular file"):
            plan_of(uri, format=format)
