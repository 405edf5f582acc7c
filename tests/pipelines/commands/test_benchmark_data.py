"""The data of benchmarks in the forms in which people have it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.video import load_video
from pipelines.commands.evaluation import plan_benchmark
from pipelines.options.benchmark_options import EvaluateJobOptions as Options
from pipelines.options.command_line import build_options
from pipelines.sources import read_split
from pipelines.wiring.media import decode_options


def png() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((24, 24), 50).save(file, "PNG")
    return file.getvalue()


PICTURE = png()
INLINE = {"bytes": PICTURE, "path": None}


def read(benchmark: str, path: Path, **options: Any) -> pa.Table:
    values = {
        "benchmark": benchmark,
        "input": str(path),
        "output": "out",
        "model": "model",
        **options,
    }
    plan = plan_benchmark(build_options(Options, values))
    return pa.concat_tables([table for split in plan.splits for table in read_split(plan, split)])


def only(table: pa.Table) -> dict[str, Any]:
    (row,) = table.to_pylist()
    assert row["__error"] is None, row["__error"]
    return row


def jsonl(path: Path, *rows: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(path: Path, *rows: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


REFERENCE = {
    "image": "coco/1.jpg",
    "sent": "left dog",
    "bbox": [1, 2, 30, 40.5],
    "height": 50,
    "width": 60,
}


class TestInternVLsOwnFiles:
    def test_refcoco(self, tmp_path: Path) -> None:
        row = only(read("refcoco", jsonl(tmp_path / "refcoco+_testA.jsonl", REFERENCE)))

        assert (row["question"], row["box"], row["split"]) == (
            "left dog",
            [1, 2, 30, 40.5],
            "refcoco+_testA",
        )
        assert row["id"] == "refcoco+_testA.jsonl:1"

    def test_two_phrases_of_one_picture_are_two_questions(self, tmp_path: Path) -> None:
        path = jsonl(
            tmp_path / "refcoco_val.jsonl", REFERENCE, REFERENCE, {**REFERENCE, "sent": "right dog"}
        )

        assert len(set(read("refcoco", path)["id"].to_pylist())) == 3

    def test_a_folder_of_splits_beside_its_pictures(self, tmp_path: Path) -> None:
        (tmp_path / "coco").mkdir()
        (tmp_path / "coco" / "refcoco_val.png").write_bytes(PICTURE)
        for split in ("refcoco_val", "refcocog_val"):
            jsonl(tmp_path / f"{split}.jsonl", REFERENCE)

        assert sorted(read("refcoco", tmp_path)["split"].to_pylist()) == [
            "refcoco_val",
            "refcocog_val",
        ]
        assert only(read("refcoco", tmp_path, split="refcocog_val"))["split"] == "refcocog_val"
        assert only(read("refcoco", tmp_path, split="cog_val"))["split"] == "refcocog_val"

    def test_paths_are_relative_to_the_media_root(self, tmp_path: Path) -> None:
        row = {
            "image": "data/docvqa/1.png",
            "question": "What?",
            "question_id": 7,
            "answer": ["a", "b"],
        }
        path = jsonl(tmp_path / "data" / "docvqa" / "val.jsonl", row)
        options = {"benchmark": "docvqa", "input": str(path), "output": "out", "model": "m"}
        plan = plan_benchmark(build_options(Options, {**options, "media_root": str(tmp_path)}))
        read = only(pa.concat_tables(read_split(plan, plan.splits[0])))

        assert plan.base == str(tmp_path)
        assert (read["answers"], read["question_id"], read["split"]) == (["a", "b"], "7", "val")
        assert read["__media"] == [{"uri": "data/docvqa/1.png", "bytes": None}]

    def test_textvqa_with_its_annotations(self, tmp_path: Path) -> None:
        row = {
            "image": "1.jpg",
            "question": "what brand?",
            "question_id": 34602,
            "answer": "dakota",
        }
        path = jsonl(tmp_path / "textvqa_val.jsonl", row)
        people = [{"answer": f"answer {number}", "answer_id": number} for number in range(10)]
        annotations = tmp_path / "textvqa_val_annotations.json"
        annotations.write_text(
            json.dumps({"annotations": [{"question_id": 34602, "answers": people}]})
        )

        assert only(read("textvqa", path, annotations=str(annotations)))["answers"][9] == "answer 9"
        with pytest.raises(
            ConfigurationError,
            match=r"1 answer\(s\) where VQA accuracy needs those of 10 people.*--anno",
        ):
            read("textvqa", path)

    def test_docvqa_with_its_annotations(self, tmp_path: Path) -> None:
        path = jsonl(
            tmp_path / "val.jsonl", {"image": "1.jpg", "question": "what?", "question_id": 5}
        )
        (tmp_path / "val_v1.0.json").write_text(
            json.dumps({"data": [{"questionId": 5, "answers": ["x"]}]})
        )

        assert only(read("docvqa", path, annotations=str(tmp_path / "val_v1.0.json")))[
            "answers"
        ] == ["x"]

    def test_chartqa_by_the_names_of_its_files(self, tmp_path: Path) -> None:
        for name, answer in (("test_human", "14"), ("test_augmented", 14)):
            jsonl(
                tmp_path / f"{name}.jsonl",
                {"image": "1.png", "question": "How many?", "answer": answer},
            )
        rows = read("chartqa", tmp_path).to_pylist()

        assert {row["split"]: row["answers"] for row in rows} == {
            "human": ["14"],
            "augmented": ["14"],
        }

    def test_mmbench_with_pictures_in_its_table(self, tmp_path: Path) -> None:
        row = {"index": 1_000_241, "question": "Which?", "hint": "Look\nclosely", "A": "a cat",
               "B": "a dog", "C": None, "D": None, "answer": "B", "category": "kinds",
               "image": base64.b64encode(PICTURE).decode()}  # fmt: skip
        path = tmp_path / "mmbench_dev_20230712.tsv"
        pd.DataFrame([row]).to_csv(path, sep="\t", index=False)
        read_row = only(read("mmbench", path))

        assert read_row["question"] == "Look\nclosely\nWhich?\nA. a cat\nB. a dog"
        assert (read_row["group"], read_row["options"], read_row["split"]) == (
            "241",
            ["a cat", "a dog"],
            "dev",
        )
        assert read_row["__media"] == [{"uri": None, "bytes": PICTURE}]


class TestHuggingFaceExports:
    @pytest.mark.parametrize("split", ["val", "validation"])
    def test_docvqa(self, tmp_path: Path, split: str) -> None:
        row = {"questionId": "337", "question": "what is the date?", "question_types": ["form"],
               "image": INLINE, "docId": 279, "answers": ["1/8/93"],
               "data_split": "val"}  # fmt: skip
        parquet(
            tmp_path / "DocVQA" / "test-00000-of-00001.parquet",
            {**row, "answers": None, "data_split": "test"},
        )
        parquet(tmp_path / "DocVQA" / "validation-00000-of-00006.parquet", row)
        found = only(read("docvqa", tmp_path, split=split))

        assert (found["answers"], found["question_id"], found["split"]) == (
            ["1/8/93"],
            "337",
            "val",
        )
        assert found["__media"] == [{"uri": None, "bytes": PICTURE}]
        with pytest.raises(
            ConfigurationError, match=r"no answers: those of test splits are not published"
        ):
            read("docvqa", tmp_path, split="test")

    @pytest.mark.parametrize(
        "row",
        [
            # lmms-lab
            {"type": "human_test", "question": "How many?", "answer": "14", "image": INLINE},
            # HuggingFaceM4
            {"image": INLINE, "query": "How many?", "label": ["14"], "human_or_machine": 0},
        ],
    )
    def test_chartqa(self, tmp_path: Path, row: dict) -> None:
        found = only(read("chartqa", parquet(tmp_path / "test-00000-of-00001.parquet", row)))

        assert (found["question"], found["answers"], found["split"]) == (
            "How many?",
            ["14"],
            "human",
        )

    def test_ocrbench(self, tmp_path: Path) -> None:
        row = {"dataset": "IIIT5K", "question": "what is written?",
               "question_type": "Regular Text Recognition", "answer": ["CENTRE"],
               "image": INLINE}  # fmt: skip
        found = only(read("ocrbench", parquet(tmp_path / "test.parquet", row)))

        assert (found["answers"], found["category"]) == (["CENTRE"], "Regular Text Recognition")

    def test_ocrbench_as_vlmevalkit_has_it(self, tmp_path: Path) -> None:
        row = {"index": 0, "image": base64.b64encode(PICTURE).decode(),
               "question": "what is written?", "answer": "['CENTRE', 'centre']",
               "category": "Regular Text Recognition"}  # fmt: skip
        pd.DataFrame([row]).to_csv(tmp_path / "OCRBench.tsv", sep="\t", index=False)

        assert only(read("ocrbench", tmp_path / "OCRBench.tsv"))["answers"] == ["CENTRE", "centre"]

    def test_mme_pairs_by_image(self, tmp_path: Path) -> None:
        row = {"question_id": "count/1.png", "image": INLINE,
               "question": "Is it? Please answer yes or no.", "answer": "Yes",
               "category": "count"}  # fmt: skip
        path = parquet(tmp_path / "test.parquet", row, {**row, "answer": "No"})

        assert read("mme", path)["group"].to_pylist() == ["count/count/1.png"] * 2

    def test_mmbench_writes_nan_where_there_is_nothing(self, tmp_path: Path) -> None:
        row = {"index": 241, "question": "Which?", "hint": "nan", "answer": "A", "A": "a cat",
               "B": "a dog", "C": "nan", "D": "nan", "category": "kinds", "image": INLINE,
               "split": "dev"}  # fmt: skip
        found = only(read("mmbench", parquet(tmp_path / "dev-00000-of-00001.parquet", row)))

        assert found["question"] == "Which?\nA. a cat\nB. a dog"

    @pytest.mark.parametrize("option", ["None", "N/A", "null", "NA", "n/a"])
    def test_mmbench_never_shows_options_that_pandas_reads_as_no_value(
        self, tmp_path: Path, option: str
    ) -> None:
        row = {"index": 241, "question": "Which?", "answer": "B", "A": "a cat", "B": "none",
               "C": option, "image": INLINE}  # fmt: skip
        found = only(read("mmbench", parquet(tmp_path / "dev-00000-of-00001.parquet", row)))

        assert found["question"] == "Which?\nA. a cat\nB. none"

    def test_video_mme_names_videos_without_their_suffix(self, tmp_path: Path) -> None:
        row = {"video_id": "001", "duration": "short", "videoID": "fFjv93ACGo8",
               "question_id": "001-1", "question": "What is it?",
               "options": ["A. x", "B. y", "C. z", "D. w"], "answer": "C"}  # fmt: skip
        found = only(read("videomme", parquet(tmp_path / "test-00000-of-00001.parquet", row)))

        assert found["question"] == "What is it?\nA. x\nB. y\nC. z\nD. w"
        assert found["__media"] == [{"uri": "fFjv93ACGo8.mp4", "bytes": None}]
        assert found["category"] == "short"

    def test_mvbench_asks_about_some_seconds(self, tmp_path: Path) -> None:
        row = {"video": "a.mp4", "question": "What happened?", "candidates": ["a", "b"],
               "answer": "b", "start": 1.5, "end": 9}  # fmt: skip
        found = only(read("mvbench", jsonl(tmp_path / "action_sequence.jsonl", row)))

        assert found["question"] == "Question: What happened?\nOptions:\n(A) a\n(B) b"
        assert (found["start"], found["end"], found["category"]) == (1.5, 9, "action_sequence")

    @pytest.mark.parametrize(
        ("given", "video"),
        [
            ("fFjv93ACGo8", "fFjv93ACGo8.mp4"),
            ("videos-1.0/fFjv93ACGo8", "videos-1.0/fFjv93ACGo8.mp4"),
            ("../videos/-xyz", "../videos/-xyz.mp4"),
            ("a.webm", "a.webm"),
            ("https://host/watch?v=abc", "https://host/watch?v=abc"),
        ],
    )
    def test_only_a_name_without_a_suffix_gets_one(
        self, tmp_path: Path, given: str, video: str
    ) -> None:
        row = {"video": given, "question": "What?", "options": ["A. x", "B. y"], "answer": "A"}

        assert (
            only(read("videomme", parquet(tmp_path / "test.parquet", row)))["__media"][0]["uri"]
            == video
        )

    def test_subtitles_of_video_mme(self, tmp_path: Path) -> None:
        row = {"question": "What?", "options": ["A. x", "B. y"], "answer": "A"}
        names = ["fFjv93ACGo8", "videos/spoken.mp4", "silent", "../../etc/passwd", "broken"]
        table = parquet(tmp_path / "test.parquet", *({**row, "videoID": name} for name in names))
        folder = tmp_path / "subtitle"
        folder.mkdir()
        for name in ("fFjv93ACGo8", "spoken"):
            (folder / f"{name}.srt").write_text(
                f"1\n00:00:01,000 --> 00:00:02,500\n{name}\nspeaks\n"
            )
        (folder / "broken.srt").write_bytes(b"\xff\xfe")
        rows = read("videomme", table, subtitles=str(folder)).to_pylist()

        assert [json.loads(row["subtitles"]) for row in rows] == [
            [[1000, 2500, "fFjv93ACGo8 speaks"]], [[1000, 2500, "spoken speaks"]], [], [], [],
        ]  # fmt: skip
        assert [row["__error"] is None for row in rows] == [True, True, True, True, False]
        assert "no SRT file in UTF-8" in rows[4]["__error"]["message"]
        with pytest.raises(ConfigurationError, match=r"--subtitles .*: no \.srt file is in it"):
            read("videomme", table, subtitles=str(tmp_path))
        with pytest.raises(ConfigurationError, match=r"--subtitles .*: no such folder"):
            read("videomme", table, subtitles=str(tmp_path / "gone"))

    def test_captions(self, tmp_path: Path) -> None:
        found = only(
            read(
                "captions",
                parquet(tmp_path / "t.parquet", {"image": INLINE, "caption": ["a cat", "one cat"]}),
            )
        )

        assert found["answers"] == ["a cat", "one cat"]


EPISODE = {
    "video": "castle_s07e24_seg02_clip_13",
    "question": "Why?",
    "candidates": ["a", "b"],
    "answer": "a",
}


def folder_of_frames(path: Path, count: int) -> None:
    """Frames as MVBench has them: 00001.jpg and so on, each of a grey of its own."""
    path.mkdir(parents=True)
    for number in range(1, count + 1):
        Image.new("RGB", (16, 16), (3 * number,) * 3).save(path / f"{number:05}.jpg")


class TestMVBenchTasks:
    @pytest.mark.parametrize("published", [True, False])
    @pytest.mark.parametrize(("start", "end"), [(0.0, 17.8), (3.4, 9.9), (5, 1000.0), (22.0, 24.0)])
    def test_episodic_reasoning_reads_folders_of_frames(
        self, tmp_path: Path, published: bool, start: float, end: float
    ) -> None:
        videos = tmp_path / "video"
        folder_of_frames(
            (videos / "tvqa/frames_fps3_hq" if published else videos) / EPISODE["video"], 72
        )
        table = jsonl(videos / "episodic_reasoning.jsonl", {**EPISODE, "start": start, "end": end})
        options = build_options(Options, {"benchmark": "mvbench", "input": str(table),
                                          "output": "out", "model": "model",
                                          "media_root": str(videos)})  # fmt: skip
        plan = plan_benchmark(options)
        row = only(next(iter(read_split(plan, plan.splits[0]))))
        with Fetcher(ReadPolicy(plan.base), frame_folders=True) as fetcher:
            data = fetcher.fetch(row["__media"][0]["uri"])
        how = decode_options(options, plan.media_kind).video
        video = load_video(data, replace(how, start=row["start"], end=row["end"]))

        # The published rule: frames count from 1, at 3 a second.
        first, last = max(1, round(start * 3)), min(round(end * 3), 72)
        step = (last - first) / 16
        expected = [int(first + step / 2 + np.round(step * number)) for number in range(16)]
        assert [number + 1 for number in video.frame_numbers] == expected
        assert [round(float(tile.mean()) / 3) for tile in video.tiles] == expected

    @pytest.mark.parametrize("name", ["task_type", "file", "folder"])
    def test_only_tasks_that_ask_about_a_part_read_its_bounds(
        self, tmp_path: Path, name: str
    ) -> None:
        def bounds(title: str) -> tuple[float | None, float | None]:
            row = {**EPISODE, "video": "a.mp4", "start": 1.5, "end": 9.0}
            file = title.lower().replace(" ", "_").replace("-", "_")
            path = {
                "file": f"{file}.parquet",
                "folder": f"{file}/train-00000-of-00001.parquet",
            }.get(name, "x.parquet")
            said = {"task_type": title} if name == "task_type" else {}
            table = parquet(tmp_path / file / path, row | said)
            found = only(read("mvbench", tmp_path / file if name == "folder" else table))
            return found["start"], found["end"]

        assert bounds("Action Localization") == (1.5, 9.0)
        assert bounds("Fine-grained Pose") == (None, None)

    def test_videos_are_found_in_the_published_folders(self, tmp_path: Path) -> None:
        (tmp_path / "video" / "star" / "Charades_v1_480").mkdir(parents=True)
        rows = [
            {**EPISODE, "video": "ZS9XR.mp4", "task_type": "Action Sequence"},
            {**EPISODE, "video": "b.webm", "task_type": "Action Antonym"},
            {**EPISODE, "task_type": "Episodic Reasoning"},
            {**EPISODE, "video": "mine/c.mp4", "task_type": "Action Count"},
            {**EPISODE, "video": "d.mp4", "task_type": "another"},
        ]
        table = jsonl(tmp_path / "all.jsonl", *rows)
        found = [
            [media[0]["uri"] for media in read("mvbench", table, **options)["__media"].to_pylist()]
            for options in (
                {"media_root": str(tmp_path / "video")},
                {"media_root": str(tmp_path)},
                {},
            )
        ]

        assert found[0] == ["star/Charades_v1_480/ZS9XR.mp4", "ssv2_video/b.webm",
                            f"tvqa/frames_fps3_hq/{EPISODE['video']}", "mine/c.mp4",
                            "d.mp4"]  # fmt: skip
        assert found[1] == found[2] == [row["video"] for row in rows]


def test_a_benchmarks_rows_have_the_columns_that_it_needs(tmp_path: Path) -> None:
    names = read("refcoco", jsonl(tmp_path / "refcoco_val.jsonl", REFERENCE)).column_names
    assert [name for name in names if not name.startswith("__")] == [
        "id",
        "image",
        "split",
        "question_id",
        "question",
        "box",
    ]


class TestWrongData:
    def test_another_benchmarks_columns(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigurationError,
            match=r"--benchmark docvqa: .* has no column 'question' or 'query' for the",
        ):
            read("docvqa", jsonl(tmp_path / "refcoco_val.jsonl", REFERENCE))

    def test_no_pictures(self, tmp_path: Path) -> None:
        path = jsonl(
            tmp_path / "val.jsonl", {"picture": "1.png", "question": "What?", "answer": "a"}
        )
        with pytest.raises(
            ConfigurationError, match=r"no column 'image' or 'images'.*--image-column"
        ):
            read("docvqa", path)
        assert only(read("docvqa", path, image_column="picture"))["image"] == "1.png"

    def test_ids_of_a_column(self, tmp_path: Path) -> None:
        path = jsonl(
            tmp_path / "val.jsonl",
            {"image": "1.jpg", "question": "what?", "question_id": 5, "answer": "a"},
        )
        assert only(read("docvqa", path, id_column="question_id"))["id"] == "5"
        with pytest.raises(
            ConfigurationError, match=r"--id-column questionId: .* has no such column"
        ):
            read("docvqa", path, id_column="questionId")

    def test_boxes_of_another_form(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path / "refcoco_val.jsonl", {**REFERENCE, "bbox": [300, 200, 40, 50]})
        with pytest.raises(
            ConfigurationError,
            match=r"none of the first 1 rows can be used.*not x, y, width, height",
        ):
            read("refcoco", path)

    def test_a_bad_row_costs_itself(self, tmp_path: Path) -> None:
        path = jsonl(
            tmp_path / "refcoco_val.jsonl",
            REFERENCE,
            {**REFERENCE, "bbox": [1, 2, 3]},
            {**REFERENCE, "sent": ""},
        )
        errors = read("refcoco", path)["__error"].to_pylist()

        assert errors[0] is None
        assert [error["kind"] for error in errors[1:]] == ["bad_row", "bad_row"]
        assert "four numbers are needed" in errors[1]["message"]
        assert "no question" in errors[2]["message"]

    def test_annotations_of_another_form(self, tmp_path: Path) -> None:
        path = jsonl(
            tmp_path / "val.jsonl", {"image": "1.jpg", "question": "what?", "question_id": 5}
        )
        (tmp_path / "a.json").write_text('{"questions": []}')
        with pytest.raises(ConfigurationError, match=r"--annotations .*has to be JSON"):
            read("docvqa", path, annotations=str(tmp_path / "a.json"))
        with pytest.raises(ConfigurationError, match=r"--annotations .*No such file"):
            read("docvqa", path, annotations=str(tmp_path / "gone.json"))


def test_defaults_are_the_benchmarks_and_flags_win() -> None:
    common = {"input": "in", "output": "out", "model": "model"}
    assert build_options(Options, {**common, "benchmark": "infovqa"}).max_tiles == 24
    assert build_options(Options, {**common, "benchmark": "mvbench"}).num_frames == 16
    assert build_options(Options, {**common, "benchmark": "infovqa", "max-tiles": 3}).max_tiles == 3
    with pytest.raises(
        ConfigurationError, match=r"--benchmark docvq: must be 'refcoco', 'docvqa'.*'ocr'"
    ):
        build_options(Options, {**common, "benchmark": "docvq"})


class TestFoldersOfPages:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("a", "sub/b"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / f"{name}.png").write_bytes(PICTURE)
            (tmp_path / f"{name}.txt").write_text(f"what {name} says\n")
        return tmp_path

    def test_a_text_beside_a_picture_is_what_it_says(self, folder: Path) -> None:
        rows = read("ocr", folder).to_pylist()
        assert [(row["id"], row["answers"], row["__error"]) for row in rows] == [
            ("a.png", ["what a says"], None),
            ("sub/b.png", ["what sub/b says"], None),
        ]

    @pytest.mark.parametrize("suffix", [".gt.txt", ".md", ".html"])
    def test_other_suffixes_do_as_well(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / "a.tif").write_bytes(PICTURE)
        (tmp_path / f"a{suffix}").write_text("# what it says")
        assert only(read("ocr", tmp_path))["answers"] == ["# what it says"]

    def test_a_picture_without_a_text_is_an_error_of_its_own(self, folder: Path) -> None:
        (folder / "c.png").write_bytes(PICTURE)
        (folder / "d.png").write_bytes(PICTURE)
        (folder / "d.txt").write_bytes(b"\xff\xfe")
        errors = [
            row["__error"] and row["__error"]["message"] for row in read("ocr", folder).to_pylist()
        ]
        assert [bool(error) for error in errors] == [False, True, True, False]
        assert "there is no" in errors[1]
        assert "UTF-8" in errors[2]

    def test_a_folder_of_pictures_alone_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(PICTURE)
        with pytest.raises(ConfigurationError, match=r"a\.gt\.txt or a\.txt"):
            read("ocr", tmp_path)

    @pytest.mark.parametrize(
        ("benchmark", "message"),
        [
            ("ocr", "name the folder of the images and of the texts"),
            ("docvqa", "reads a table of questions"),
        ],
    )
    def test_a_table_is_not_read_as_such_files(
        self, tmp_path: Path, benchmark: str, message: str
    ) -> None:
        table = jsonl(tmp_path / "a.jsonl", {"image": "a.png", "question": "What?", "answer": "x"})
        with pytest.raises(ConfigurationError, match=message):
            read(benchmark, table, input_format="files")

    def test_the_texts_are_not_said_to_be_left_out(self, folder: Path) -> None:
        (folder / "notes.pdf").write_bytes(b"x")
        values = {"benchmark": "ocr", "input": str(folder), "output": "out", "model": "model"}
        assert plan_benchmark(build_options(Options, values)).left_out == {".pdf": 1}
