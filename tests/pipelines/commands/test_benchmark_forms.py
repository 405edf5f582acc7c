"""The data of benchmarks with options, and of those of yes and no, in the forms in which they are
published."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from internvl_ops.errors import ConfigurationError
from tests.pipelines.commands.test_benchmark_data import INLINE, PICTURE, jsonl, only, parquet, read

BASE64 = base64.b64encode(PICTURE).decode()
LETTER = "Answer with the option's letter from the given choices directly."
BYTES = [{"uri": None, "bytes": PICTURE}]


def tsv(path: Path, *rows: dict[str, Any]) -> Path:
    pd.DataFrame(list(rows)).to_csv(path, sep="\t", index=False)
    return path


TABLE = {
    "index": 3,
    "question": "Which?",
    "A": "a cat",
    "B": "a dog",
    "C": None,
    "answer": "B",
    "image": BASE64,
}


@pytest.mark.parametrize("name", ["realworldqa", "ai2d", "seed", "mmmu"])
def test_tables_of_vlmevalkit(tmp_path: Path, name: str) -> None:
    row = only(read(name, tsv(tmp_path / "table.tsv", TABLE)))

    assert row["question"] == f"Which?\nA. a cat\nB. a dog\n{LETTER}"
    assert (row["answers"], row["options"], row["__media"]) == (["B"], ["a cat", "a dog"], BYTES)


def test_ccbench(tmp_path: Path) -> None:
    row = only(read("ccbench", tsv(tmp_path / "CCBench_legacy.tsv", {**TABLE, "category": "food"})))

    assert (row["question"], row["category"]) == ("Which?\nA. a cat\nB. a dog", "food")


def test_ai2d_of_internvl_and_of_hugging_face(tmp_path: Path) -> None:
    own = {
        "image": "AI2D_TEST/0.png",
        "question": "Which?\nA. x\nB. y\nSay it.",
        "question_id": 0,
        "answer": "A",
    }
    row = only(read("ai2d", jsonl(tmp_path / "test_vlmevalkit.jsonl", own)))
    assert (row["question"], row["answers"]) == (own["question"], ["A"])

    listed = {"question": "Which?", "options": ["x", "y"], "answer": "1", "image": INLINE}
    row = only(read("ai2d", parquet(tmp_path / "test-00000-of-00001.parquet", listed)))
    assert (row["question"], row["answers"], row["__media"]) == (
        f"Which?\nA. x\nB. y\n{LETTER}",
        ["B"],
        BYTES,
    )


def test_seed_of_internvl_and_of_hugging_face(tmp_path: Path) -> None:
    own = {
        "image": "SEED-Bench-image/1",
        "text": f"How?\nA. x\n{LETTER}",
        "question_id": "101669",
        "answer": "A",
    }
    assert only(read("seed", jsonl(tmp_path / "seed.jsonl", own)))["question"] == own["text"]

    row = {"question": "How?", "choice_a": "w", "choice_b": "x", "choice_c": "y", "choice_d": "z",
           "answer": "C", "data_type": "image", "question_type_id": 3, "image": [INLINE],
           "question_id": "1"}  # fmt: skip
    path = parquet(
        tmp_path / "test-00000-of-00001.parquet",
        row,
        {**row, "data_type": "video", "question_type_id": 10},
    )
    first, second = read("seed", path).to_pylist()
    assert (first["question"], first["category"]) == (
        f"How?\nA. w\nB. x\nC. y\nD. z\n{LETTER}",
        "3",
    )
    assert first["__media"] == BYTES
    assert "--where" in second["__error"]["message"]
    assert only(read("seed", path, where="data_type = 'image'"))["answers"] == ["C"]


class TestMMMU:
    def test_hugging_face(self, tmp_path: Path) -> None:
        row = {"id": "validation_Art_Theory_3", "question": "Which <image 1>?",
               "options": "['x', 'y']", "answer": "B", "image_1": INLINE, "image_2": None,
               "image_3": None, "question_type": "multiple-choice"}  # fmt: skip
        two = {**row, "image_2": INLINE, "id": "validation_Art_4", "options": "[]", "answer": "5"}
        first, second = read(
            "mmmu", parquet(tmp_path / "Art" / "validation-00000-of-00001.parquet", row, two)
        ).to_pylist()

        assert first["question"] == f"Which <image 1>?\nA. x\nB. y\n{LETTER}"
        assert (first["split"], first["category"], first["__media"]) == ("val", "Art_Theory", BYTES)
        assert (
            second["question"]
            == "Which <image 1>?\nAnswer the question directly.<Image-1><Image-2>"
        )
        assert (second["options"], second["answers"]) == (["5", "Other Answers"], ["A"])
        assert second["__media"] == BYTES * 2

    def test_several_images_in_a_table(self, tmp_path: Path) -> None:
        row = {**TABLE, "image": str([BASE64, BASE64]), "split": "validation", "category": "Art"}
        found = only(read("mmmu", tsv(tmp_path / "MMMU_DEV_VAL.tsv", row)))

        assert found["question"].endswith("directly.<Image-1><Image-2>")
        assert (found["split"], found["category"], found["__media"]) == ("val", "Art", BYTES * 2)

    def test_a_row_without_an_image_is_an_error(self, tmp_path: Path) -> None:
        row = {
            "id": "dev_Art_1",
            "question": "?",
            "options": "['x', 'y']",
            "answer": "B",
            "image_1": INLINE,
        }
        table = read("mmmu", parquet(tmp_path / "dev.parquet", row, {**row, "image_1": None}))
        assert [one["__error"] is None for one in table.to_pylist()] == [True, False]


@pytest.mark.parametrize("image", [INLINE, "images/test/1/image.png"])
def test_scienceqa(tmp_path: Path, image: Any) -> None:
    row = {
        "image": image,
        "question": "Which?",
        "choices": ["x", "y"],
        "answer": 1,
        "hint": "",
        "subject": "language",
    }
    found = only(read("scienceqa", parquet(tmp_path / "test.parquet", row)))

    assert (found["question"], found["answers"]) == (f"Which?\nA. x\nB. y\n{LETTER}", ["B"])
    assert found["category"] == "language"


def test_mmvp_finds_its_images_by_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "Questions.csv"
    path.write_text("lndex,Question,Options,Correct Answer\n1,Open?,(a) Open (b) Closed,(a)\n"
                    "2,Open?,(a) Open (b) Closed,(b)\n")  # fmt: skip
    first, second = read("mmvp", path).to_pylist()

    assert first["question"] == f"Open?\nA. Open\nB. Closed\n{LETTER}"
    assert (first["group"], second["group"], second["answers"]) == ("0", "0", ["B"])
    assert second["__media"] == [{"uri": "MMVP Images/2.jpg", "bytes": None}]


class TestPope:
    def test_its_own_files(self, tmp_path: Path) -> None:
        for name in ("random", "adversarial"):
            row = {"question_id": 1, "image": "COCO_val2014_1.jpg", "text": "Is there a cat?"}
            jsonl(tmp_path / f"coco_pope_{name}.json", {**row, "label": "no"})
        rows = read("pope", tmp_path).to_pylist()

        assert sorted(row["category"] for row in rows) == ["adversarial", "random"]
        assert (rows[0]["question"], rows[0]["answers"]) == ("Is there a cat?", ["no"])

    def test_hugging_face(self, tmp_path: Path) -> None:
        row = {"question_id": "1", "question": "Is there a cat?", "answer": "yes",
               "category": "popular", "image": INLINE}  # fmt: skip
        found = only(read("pope", parquet(tmp_path / "test-00000-of-00003.parquet", row)))
        assert (found["category"], found["answers"]) == ("popular", ["yes"])


class TestHallusionBench:
    def test_the_table_of_vlmevalkit(self, tmp_path: Path) -> None:
        row = {"index": "hb_VD_math_3_1_0", "question": "Is it?", "answer": "Yes", "category": "VD",
               "l2-category": "VD_math", "image": BASE64}  # fmt: skip
        found = only(read("hallusionbench", tsv(tmp_path / "HallusionBench.tsv", row)))
        assert (found["group"], found["category"], found["answers"]) == (
            "3_1_0",
            "VD_math",
            ["yes"],
        )

    def test_hugging_face(self, tmp_path: Path) -> None:
        row = {"category": "VD", "subcategory": "math", "set_id": "3", "figure_id": "1",
               "question_id": "0", "question": "Is it?", "gt_answer": "0",
               "image": INLINE}  # fmt: skip
        found = only(
            read("hallusionbench", parquet(tmp_path / "image-00000-of-00001.parquet", row))
        )
        assert (found["group"], found["category"], found["answers"]) == ("3_1_0", "VD_math", ["no"])


@pytest.mark.parametrize("name", ["vqav2", "okvqa"])
def test_the_answers_of_ten_people_from_an_annotation_file(tmp_path: Path, name: str) -> None:
    row = {"image": "1.jpg", "question": "what?", "question_id": 7, "answer": "cat"}
    path = jsonl(tmp_path / f"{name}_val.jsonl", row)
    people = [{"answer": "cat", "answer_id": number} for number in range(10)]
    (tmp_path / "annotations.json").write_text(
        json.dumps({"annotations": [{"question_id": 7, "answers": people}]})
    )

    found = only(read(name, path, annotations=str(tmp_path / "annotations.json")))
    assert (found["answers"], found["split"]) == (["cat"] * 10, "val")


def test_another_form_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    row = {"question": "How many cars? Answer with a number.", "answer": "3", "image": INLINE}
    with pytest.raises(
        ConfigurationError, match=r"--benchmark realworldqa: .* has no column 'A' for the A"
    ):
        read("realworldqa", parquet(tmp_path / "test.parquet", row))
