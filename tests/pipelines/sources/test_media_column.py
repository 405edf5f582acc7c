"""Media in every shape a manifest may hold them, and the ids of rows."""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from pipelines.sources.media_column import to_media
from tests.pipelines.manifests import (
    errors,
    plan_of,
    read_manifest,
    read_plan,
    shard,
    uris,
    write_manifest,
)

MANIFESTS = ["parquet", "jsonl", "csv", "txt"]
ROWS = [
    {"image": f"pictures/{number}.jpg", "question": f"What is {number}?", "shelf": "00123"}
    for number in range(25)
]


class TestMedia:
    def test_a_hugging_face_struct_passes_on_its_path_and_keeps_its_bytes_inline(
        self, tmp_path: Path
    ) -> None:
        images = [
            {"bytes": b"\xff\xd8", "path": "a.jpg"},
            {"bytes": None, "path": "b.jpg"},
            {"bytes": b"PNG", "path": None},
        ]
        table = read_manifest(
            write_manifest(tmp_path / "m.parquet", [{"image": image} for image in images])
        )
        assert table["image"].to_pylist() == ["a.jpg", "b.jpg", None]
        assert table["__media"].to_pylist() == [
            [{"uri": i["path"], "bytes": i["bytes"]}] for i in images
        ]

    def test_relative_paths_start_from_the_media_root(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        path = write_manifest(tmp_path / "m.jsonl", ROWS)
        assert plan_of(path, media_root=str(tmp_path / "elsewhere")).base == str(
            tmp_path / "elsewhere"
        )
        with pytest.raises(ConfigurationError, match=r"--media-root .*gone: no such folder"):
            plan_of(path, media_root=str(tmp_path / "gone"))
        with pytest.raises(ConfigurationError, match="the media of files are the input itself"):
            plan_of(path, format="files", media_root=str(tmp_path))

    def test_bare_bytes_do_not_pass_through(self, tmp_path: Path) -> None:
        plan = plan_of(
            write_manifest(
                tmp_path / "m.parquet", [{"image": b"one", "n": 1}, {"image": b"two", "n": 2}]
            )
        )
        table = read_plan(plan)
        assert plan.schema.names == ["n"]
        assert plan.sample_uris == []
        assert [media[0]["bytes"] for media in table["__media"].to_pylist()] == [b"one", b"two"]
        assert len(set(table["id"].to_pylist())) == 2

    @pytest.mark.parametrize(
        "kind",
        [
            pa.list_(pa.string()),
            pa.large_list(pa.large_string()),
            pa.list_(pa.dictionary(pa.int32(), pa.string())),
            pa.list_(pa.string_view()),
        ],
        ids=str,
    )
    def test_a_list_of_uris(self, tmp_path: Path, kind: pa.DataType) -> None:
        values = [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg", "e.jpg", "f.jpg"]]
        pq.write_table(pa.table({"images": pa.array(values, kind)}), tmp_path / "m.parquet")
        table = read_manifest(tmp_path / "m.parquet")
        assert uris(table) == values
        assert table["images"].to_pylist() == values

    def test_a_list_of_structs(self, tmp_path: Path) -> None:
        rows = [
            {"images": [{"bytes": b"x", "path": "a"}, {"bytes": b"y", "path": "b"}]},
            {"images": [{"bytes": b"z", "path": "c"}]},
        ]
        table = read_manifest(write_manifest(tmp_path / "m.parquet", rows))
        assert table["images"].to_pylist() == [["a", "b"], ["c"]]
        assert [[m["bytes"] for m in media] for media in table["__media"].to_pylist()] == [
            [b"x", b"y"],
            [b"z"],
        ]

    def test_one_uri_and_lists_may_stand_in_one_jsonl_column(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(
            '{"image": "a"}\n{"image": ["b", "c"]}\n{"image": {"file": "d"}}\n'
        )
        table = read_manifest(tmp_path / "m.jsonl")
        assert uris(table) == [["a"], ["b", "c"], None]
        assert table["image"].to_pylist() == [["a"], ["b", "c"], None]
        assert list(errors(table)) == ["m.jsonl:3"]

    def test_a_struct_in_jsonl_names_a_path(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(
            '{"image": {"path": "a", "bytes": null}}\n{"image": {"path": "b"}}\n'
        )
        assert uris(read_manifest(tmp_path / "m.jsonl")) == [["a"], ["b"]]

    @pytest.mark.parametrize(
        ("column", "kind"),
        [("images", "image"), ("video", "video"), ("document", "document"), ("pdf", "document")],
    )
    def test_default_names_say_what_the_media_are(
        self, tmp_path: Path, column: str, kind: str
    ) -> None:
        plan = plan_of(write_manifest(tmp_path / "m.jsonl", [{column: "x", "note": "y"}]))
        assert (plan.media_column, plan.media_kind) == (column, kind)

    def test_an_option_names_another_column(self, tmp_path: Path) -> None:
        plan = plan_of(
            write_manifest(tmp_path / "m.csv", [{"image": "i", "clip_url": "v"}]),
            video_column="clip_url",
        )
        assert (plan.media_column, plan.media_kind) == ("clip_url", "video")
        assert read_plan(plan).select(["image", "clip_url"]).to_pylist() == [
            {"image": "i", "clip_url": "v"}
        ]

    def test_sample_uris_look_at_several_files_and_every_place_in_them(
        self, tmp_path: Path
    ) -> None:
        write_manifest(
            tmp_path / "a.jsonl",
            [{"image": f"s3://one/{n}.jpg"} for n in range(300)] + [{"image": "/etc/x"}],
        )
        write_manifest(tmp_path / "b.jsonl", [{"image": "http://two/x.jpg"}])
        sample = plan_of(tmp_path).sample_uris
        assert {"s3://one/0.jpg", "/etc/x", "http://two/x.jpg"} <= set(sample)
        assert len(sample) <= 100


class TestIds:
    @pytest.mark.parametrize(
        ("values", "ids"),
        [
            (pa.array([1, 20]), ["1", "20"]),
            (pa.array([b"k", b"\xff\x00"]), ["k", "ff00"]),
            (pa.array(["x", "x"]).dictionary_encode(), ["x", "x"]),
            (pa.array([True, False]), ["true", "false"]),
        ],
        ids=["int", "binary", "dictionary", "bool"],
    )
    def test_an_id_column_of_any_type_becomes_a_string(
        self, tmp_path: Path, values: pa.Array, ids: list
    ) -> None:
        pq.write_table(
            pa.table({"image": ["a", "b"], "id": values, "key": values}), tmp_path / "m.parquet"
        )
        assert read_manifest(tmp_path / "m.parquet")["id"].to_pylist() == ids

    def test_a_prompt_column_of_any_type_counts_towards_a_made_id(self, tmp_path: Path) -> None:
        questions = [
            pa.array([b"\xff", b"why"]),
            pa.array([["a"], ["b"]]),
            pa.array([1, 2]),
            pa.array(["x", "y"]).dictionary_encode(),
        ]
        for values in questions:
            pq.write_table(
                pa.table({"image": ["a", "a"], "question": values}), tmp_path / "m.parquet"
            )
            assert len(set(read_manifest(tmp_path / "m.parquet")["id"].to_pylist())) == 2

    def test_a_named_id_column_also_passes_through(self, tmp_path: Path) -> None:
        table = read_manifest(
            write_manifest(tmp_path / "m.jsonl", [{"key": 7, "image": "a"}]), id_column="key"
        )
        assert table.select(["id", "key"]).to_pylist() == [{"id": "7", "key": 7}]

    def test_jsonl_ids_may_mix_numbers_and_strings(self, tmp_path: Path) -> None:
        rows = [{"id": value, "image": "a"} for value in (1, "b", 2**64 - 1, 1.5, True)]
        table = read_manifest(write_manifest(tmp_path / "m.jsonl", rows))
        assert table["id"].to_pylist() == ["1", "b", "18446744073709551615", "1.5", "true"]

    def test_a_made_id_depends_on_media_and_prompt_only(self, tmp_path: Path) -> None:
        one = write_manifest(tmp_path / "a.jsonl", ROWS)
        turned = [
            {"note": n, "image": [row["image"]], "question": row["question"]}
            for n, row in enumerate(ROWS[::-1])
        ]
        other = write_manifest(tmp_path / "b.jsonl", turned)
        ids = read_manifest(one)["id"].to_pylist()
        assert ids == read_manifest(other)["id"].to_pylist()[::-1]
        assert len(set(ids)) == len(ROWS)

    def test_a_made_id_is_the_same_in_every_format(self, tmp_path: Path) -> None:
        plain = [{"image": row["image"]} for row in ROWS]
        made = [
            read_manifest(write_manifest(tmp_path / f"m.{suffix}", plain))["id"].to_pylist()
            for suffix in MANIFESTS
        ]
        empty_prompt = write_manifest(
            tmp_path / "empty.jsonl", [{**row, "question": None} for row in plain]
        )
        assert made.count(made[0]) == len(MANIFESTS)
        assert read_manifest(empty_prompt)["id"].to_pylist() == made[0]

    def test_a_made_id_stays_the_same_over_versions(self, tmp_path: Path) -> None:
        path = write_manifest(tmp_path / "m.jsonl", [{"image": "a.jpg", "question": "Why?"}])
        assert read_manifest(path)["id"].to_pylist() == ["48d939a847e86979a284376d841403a7"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"image": "a"}, {"image": "b"}),
            ({"image": ["a", "b"]}, {"image": ["ab"]}),
            ({"image": ["a", "b"]}, {"image": ["b", "a"]}),
            ({"image": "a", "question": "x"}, {"image": "a", "question": "y"}),
            (
                {"image": "a", "question": "x", "phrase": ""},
                {"image": "a", "question": "", "phrase": "x"},
            ),
            ({"image": "1:a|question=1:x"}, {"image": "a", "question": "x"}),
        ],
        ids=repr,
    )
    def test_different_rows_have_different_made_ids(
        self, tmp_path: Path, one: dict, other: dict
    ) -> None:
        ids = [
            read_manifest(write_manifest(tmp_path / f"{name}.jsonl", [row]))["id"].to_pylist()
            for name, row in (("one", one), ("other", other))
        ]
        assert ids[0] != ids[1]

    def test_inline_bytes_count_even_when_every_path_is_the_same(self, tmp_path: Path) -> None:
        rows = [{"image": {"bytes": data, "path": "image.png"}} for data in (b"1", b"2", b"1")]
        one, other, again = read_manifest(write_manifest(tmp_path / "m.parquet", rows))[
            "id"
        ].to_pylist()
        assert one == again != other


class TestPlaces:
    @pytest.mark.parametrize(
        ("image", "there"),
        [
            ("0.png", "train/0.png"),
            ("../shared/0.png", "train/../shared/0.png"),
            ("/data/0.png", "/data/0.png"),
            ("https://host/0.png", "https://host/0.png"),
            ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ],
    )
    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
    def test_media_are_relative_to_their_own_manifest_file(
        self, tmp_path: Path, image: str, there: str, suffix: str
    ) -> None:
        for part in ("train", "test"):
            (tmp_path / part).mkdir()
            write_manifest(tmp_path / part / f"m.{suffix}", [{"image": image, "n": "1"}])
        table = read_manifest(tmp_path, format=suffix)
        assert uris(table) == [[there.replace("train", "test", 1)], [there]]
        assert table["image"].to_pylist() == [image, image]
        assert len(set(table["id"].to_pylist())) == (1 if there == image else 2)
        assert uris(read_manifest(tmp_path, format=suffix, media_root=str(tmp_path))) == [
            [image],
            [image],
        ]

    def test_the_id_of_a_row_does_not_depend_on_the_folder_of_a_single_manifest(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "sub").mkdir()
        one = read_manifest(write_manifest(tmp_path / "m.jsonl", [{"image": "0.png"}]))
        other = read_manifest(write_manifest(tmp_path / "sub" / "m.jsonl", [{"image": "0.png"}]))
        assert one["id"].equals(other["id"])

    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "tar"])
    def test_folders_of_one_table_are_columns_and_no_place_for_media(
        self, tmp_path: Path, suffix: str
    ) -> None:
        folder = tmp_path / "lang=de%2Fat" / "day=1"
        folder.mkdir(parents=True)
        if suffix == "tar":
            (folder / "0.tar").write_bytes(shard({"k": {"jpg": b"x"}}))
        else:
            write_manifest(folder / f"m.{suffix}", [{"image": "0.png"}])
        table = read_manifest(tmp_path)
        assert table.select(["lang", "day"]).to_pylist() == [{"lang": "de/at", "day": "1"}]
        assert suffix == "tar" or uris(table) == [["0.png"]]


JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(200))


class TestWrittenInto:
    @pytest.mark.parametrize(
        "text",
        [
            base64.b64encode(JPEG).decode(),
            base64.b64encode(JPEG).decode().rstrip("="),
            base64.encodebytes(JPEG).decode(),
            "image/jpeg;base64," + base64.b64encode(JPEG).decode(),
        ],
        ids=["plain", "unpadded", "lines", "prefixed"],
    )
    def test_base64_text_is_the_file(self, tmp_path: Path, text: str) -> None:
        rows = [{"image": text}, {"image": "photos/9j.jpg"}]
        table = read_manifest(write_manifest(tmp_path / "m.jsonl", rows))
        first, second = table["__media"].to_pylist()
        assert (first[0]["bytes"], first[0]["uri"], second[0]["uri"]) == (
            JPEG,
            None,
            "photos/9j.jpg",
        )
        assert table["image"].to_pylist() == [None, "photos/9j.jpg"]

    @pytest.mark.parametrize(
        "begin",
        [
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF0000WEBP",
            b"II*\x00",
            b"MM\x00*",
            b"%PDF-1.7",
            b"\0\0\0 ftypavif",
        ],
    )
    def test_base64_of_every_kind_of_file(self, tmp_path: Path, begin: bytes) -> None:
        data = begin + bytes(range(100))
        row = {"image": [base64.b64encode(data).decode()]}
        table = read_manifest(write_manifest(tmp_path / "m.jsonl", [row]))
        assert table["__media"].to_pylist()[0][0]["bytes"] == data

    def test_blanks_around_an_address_are_no_part_of_it(self, tmp_path: Path) -> None:
        rows = [
            {"image": value}
            for value in (" https://host/a.jpg", "s3://b/k.jpg \n", "\thttp://h/x", " a b.jpg ")
        ]
        table = read_manifest(write_manifest(tmp_path / "m.jsonl", rows))
        assert uris(table) == [
            ["https://host/a.jpg"],
            ["s3://b/k.jpg"],
            ["http://h/x"],
            [" a b.jpg "],
        ]


@pytest.mark.parametrize("several", [False, True])
def test_passwords_and_signatures_of_addresses_are_used_and_not_kept(several):
    signed, plain = "https://me:s3cr3t@h/a.jpg?sig=s3cr3t", "b.jpg"
    column = pa.array([[signed, plain], [plain]] if several else [signed, plain])
    media, kept, problems = to_media(column)
    assert media[0].as_py()[0]["uri"] == signed
    assert kept.to_pylist() == (
        [["https://h/a.jpg?sig=…", plain], [plain]] if several else ["https://h/a.jpg?sig=…", plain]
    )
    assert not problems


class TestMediaThatMetadataDescribe:
    """Folders as `datasets` lays them out: metadata with file_name beside the media, or above
    them."""

    NAMES = ("0.png", "a [1].png", "b {x,y}.png", "c*?.png", "sub/d#%20.png")

    def laid_out(self, root: Path, suffix: str, splits: tuple[str, ...]) -> None:
        for part in splits:
            for name in self.NAMES:
                (root / part / name).parent.mkdir(parents=True, exist_ok=True)
                (root / part / name).write_bytes(f"{part}/{name}".encode())
            rows = [{"file_name": name, "text": f"{part}/{name}"} for name in self.NAMES]
            write_manifest(root / part / f"metadata.{suffix}", rows)

    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
    @pytest.mark.parametrize(
        "splits", [("",), ("train", "test"), ("data [v2]/train", "data [v2]/{a,b}")]
    )
    def test_each_row_gets_the_file_beside_its_own_metadata(
        self, tmp_path: Path, suffix: str, splits: tuple[str, ...]
    ) -> None:
        self.laid_out(tmp_path / "set [1]", suffix, splits)
        plan = plan_of(tmp_path / "set [1]", format=suffix, image_column="file_name")
        rows = read_plan(plan)
        assert len(set(rows["id"].to_pylist())) == len(rows) == len(splits) * len(self.NAMES)
        with Fetcher(ReadPolicy(plan.base)) as fetcher:
            found = fetcher.fetch_many([media[0]["uri"] for media in rows["__media"].to_pylist()])
        assert found == [text.encode() for text in rows["text"].to_pylist()]

    @pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
    def test_the_way_to_read_them_is_said(self, tmp_path: Path, suffix: str) -> None:
        self.laid_out(tmp_path, suffix, ("train",))
        with pytest.raises(
            ConfigurationError, match=f"--input-format {suffix} --image-column file_name"
        ):
            plan_of(tmp_path)


@pytest.mark.parametrize(
    ("rows", "several"),
    [
        ([{"image": "a.jpg"}], False),
        ([{"image": "a.jpg"}, {"image": ["b.jpg", "c.jpg"]}], True),
        ([{"images": ["a.jpg"]}], True),
        ([{"image": {"bytes": b"x", "path": "a.jpg"}}], False),
        ([{"images": [{"bytes": b"x", "path": "a.jpg"}]}], True),
    ],
)
def test_a_plan_says_whether_a_row_may_have_several_files(
    tmp_path: Path, rows: list[dict], several: bool
) -> None:
    inline = "bytes" in str(rows)
    path = write_manifest(tmp_path / ("m.parquet" if inline else "m.jsonl"), rows)
    assert plan_of(path).several_media is several


@pytest.mark.parametrize("several", [False, True])
def test_so_does_one_of_shards(tmp_path: Path, several: bool) -> None:
    members = {"0.jpg": b"x"} | ({"1.jpg": b"y"} if several else {}) | {"txt": b"words"}
    (tmp_path / "0.tar").write_bytes(shard({"a": members}))
    assert plan_of(tmp_path / "0.tar").several_media is several
