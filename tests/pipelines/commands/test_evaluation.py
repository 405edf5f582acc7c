"""From answers in an output to the evaluation's report, without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.evaluation import make_evaluate, plan_benchmark, score_benchmark
from pipelines.options.benchmark_options import EvaluateJobOptions as Options
from pipelines.options.command_line import build_options
from pipelines.output.folder import OutputFolder
from pipelines.output.settings import settings
from pipelines.report.record import RunRecord
from pipelines.sources import read_split

ROW = {
    "question": "Which?",
    "options": ["A. a cat", "B. a dog"],
    "answer": "A",
    "duration": "short",
}


def evaluated(folder: Path, responses: list[str], **options: Any) -> tuple[dict, str]:
    """The scores and what the job prints, of questions that were answered so."""
    rows = [{**ROW, "video": f"{number}.mp4"} for number in range(len(responses))]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = build_options(Options, {"benchmark": "videomme", "input": str(folder / "test.jsonl"),
                                    "output": str(folder / "out"),
                                    "model": "OpenGVLab/InternVL2-1B", **options})  # fmt: skip
    plan = plan_benchmark(given)
    table = pa.concat_tables([table for split in plan.splits for table in read_split(plan, split)])
    table = table.drop_columns([name for name in table.column_names if name.startswith("__")])
    for name, values in (
        ("answer", responses),
        ("width", [16] * len(rows)),
        ("height", [16] * len(rows)),
    ):
        table = table.append_column(name, pa.array(values))
    (folder / "out" / "results").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "out" / "results" / "part.parquet")
    said = score_benchmark(given, plan)
    return json.loads((folder / "out" / "evaluation" / "scores.json").read_text()), said


def test_the_report_names_the_release_and_its_settings(tmp_path: Path) -> None:
    scores, said = evaluated(tmp_path, ["A", "B", "no idea", "a cat"])

    assert (scores["release"], scores["exif"], scores["no_letter"]) == (
        "InternVL2",
        "ignore",
        "skip",
    )
    assert (scores["questions"], scores["left_out"], scores["failed"]) == (4, 2, 0)
    assert scores["figures"] == {"Video-MME w/o subs": 50}
    assert "2 of which have answers without a letter and are left out" in said
    assert "Settings of the release: InternVL2." in said
    samples = pq.read_table(tmp_path / "out" / "evaluation" / "samples.parquet")
    assert samples["score"].to_pylist() == [1, 0, None, None]

    scores, said = evaluated(tmp_path, ["A", "B", "no idea", "a cat"], release="InternVL2.5")
    assert (scores["release"], scores["left_out"], scores["figures"]) == (
        "InternVL2.5",
        0,
        {"Video-MME w/o subs": 50},
    )


def test_with_subtitles_it_stands_beside_the_figures_with_subtitles(tmp_path: Path) -> None:
    (tmp_path / "subtitle").mkdir()
    (tmp_path / "subtitle" / "0.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    scores, said = evaluated(tmp_path, ["A"], subtitles=str(tmp_path / "subtitle"))

    assert scores["figures"] == {"Video-MME w subs": 100}
    assert scores["published"]["InternVL2-1B"] == {
        "Video-MME w/o subs": 42.6,
        "Video-MME w subs": 44.7,
    }
    assert "This video's subtitles are listed below:" in scores["prompt"]
    assert "\nVideo-MME w subs, accuracy: 1 questions." in said


def test_the_record_of_a_run_names_the_release() -> None:
    options = build_options(Options, {"benchmark": "mme", "input": "in", "output": "out",
                                      "model": "OpenGVLab/InternVL-Chat-V1-5"})  # fmt: skip
    record = RunRecord(options, make_evaluate(options, "image", []), OutputFolder("out"))

    assert (record.configuration()["release"], record.configuration()["exif"]) == ("V1.5", "ignore")


def test_what_is_read_from_an_answer_is_no_setting_of_the_answer() -> None:
    given = {"benchmark": "videomme", "input": "in", "output": "out", "model": "model"}
    texts = []
    for more in ({}, {"no_letter": "wrong"}, {"release": "InternVL3"}):
        options = build_options(Options, {**given, **more})
        texts.append(settings(options, make_evaluate(options, "video", [])))

    assert texts[0] == texts[1] == texts[2]
    assert texts[0]["exif"] == "ignore"


@pytest.mark.parametrize("option", ["no_letter", "subtitles"])
def test_options_of_video_mme_are_refused_elsewhere(tmp_path: Path, option: str) -> None:
    options = build_options(Options, {"benchmark": "docvqa", "input": str(tmp_path),
                                      "output": "out", "model": "model",
                                      option: "text"})  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"text is for --benchmark videomme alone"):
        plan_benchmark(options)
