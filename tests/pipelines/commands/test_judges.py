"""The judge of a benchmark: who is asked, what is kept, and what happens when it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.evaluation import plan_benchmark, score_benchmark
from pipelines.commands.judges import JudgeFailed, ask_judge_early
from pipelines.options.benchmark_options import EvaluateJobOptions as Options
from pipelines.options.command_line import build_options
from pipelines.output.settings import settings
from pipelines.sources import read_split
from testing.model_server import ModelServer, completion, refuses, says
from tests.pipelines.commands.test_benchmark_data import INLINE, parquet

ROW = {"question": "What is x?", "answer": "3", "capability": ["math", "ocr"], "image": INLINE}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def options_of(folder: Path, count: int = 3, **more: Any) -> Options:
    parquet(
        folder / "test.parquet",
        *({**ROW, "question": f"What is {number}?"} for number in range(count)),
    )
    values = {
        "benchmark": "mmvet",
        "input": str(folder / "test.parquet"),
        "output": str(folder / "out"),
    }
    return build_options(Options, {**values, "model": "OpenGVLab/InternVL2-1B", **more})


def scored(options: Options, responses: list[str]) -> tuple[dict[str, Any], str]:
    """The scores and what the job prints, of questions that were answered so."""
    plan = plan_benchmark(options)
    table = pa.concat_tables([table for split in plan.splits for table in read_split(plan, split)])
    table = table.drop_columns([name for name in table.column_names if name.startswith("__")])
    for name, values in (
        ("answer", responses),
        ("width", [16] * len(table)),
        ("height", [16] * len(table)),
    ):
        table = table.append_column(name, pa.array(values))
    (Path(options.output) / "results").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, Path(options.output) / "results" / "part.parquet")
    said = score_benchmark(options, plan)
    return json.loads((Path(options.output) / "evaluation" / "scores.json").read_text()), said


def test_each_answer_is_rated_once(tmp_path: Path, server: ModelServer) -> None:
    server.otherwise = says(completion("0.5"))
    options = options_of(tmp_path, judge_url=server.url)
    scores, said = scored(options, ["3", "x = 3", "4"])

    assert (scores["figures"], scores["not_judged"]) == ({"MMVet": 50}, 0)
    assert scores["categories"]["math"] == {"score": 50, "questions": 3}
    assert "MMVet, mean rating by a judge: 3 questions." in said
    assert len(server.bodies) == 3
    assert server.bodies[0]["max_tokens"] == 3
    assert server.bodies[0]["temperature"] == 0
    samples = pq.read_table(tmp_path / "out" / "evaluation" / "samples.parquet")
    assert samples["judgement"].to_pylist() == ["0.5"] * 3

    server.otherwise = says(completion("1.0"))
    scores, _ = scored(options, ["3", "x = 3", "another answer"])  # one answer is new

    assert len(server.bodies) == 4
    assert scores["figures"] == {"MMVet": pytest.approx(200 / 3)}


def test_another_judge_is_asked_anew(tmp_path: Path, server: ModelServer) -> None:
    server.otherwise = says(completion("0.5"))
    scored(options_of(tmp_path, judge_url=server.url), ["3", "3", "3"])
    scores, _ = scored(
        options_of(tmp_path, judge_url=server.url, judge_model="gpt-4-0613"), ["3", "3", "3"]
    )

    assert len(server.bodies) == 6
    assert server.bodies[-1]["model"] == "gpt-4-0613"
    assert scores["figures"] == {"MMVet GPT-4-0613": 50}


def test_unusable_words_are_asked_for_again_at_higher_temperatures(
    tmp_path: Path, server: ModelServer
) -> None:
    server.script = [says(completion(text)) for text in ("good", "2", "0.7")]
    scores, _ = scored(options_of(tmp_path, 1, judge_url=server.url), ["3"])
    assert [body["temperature"] for body in server.bodies] == [0, 0.5, 1.0]
    assert scores["figures"] == {"MMVet": 70}

    server.otherwise = says(completion("bad"))
    scores, said = scored(options_of(tmp_path, 1, judge_url=server.url), ["4"])
    assert [body["temperature"] for body in server.bodies[3:]] == [0, 0.5, 1.0, 1.5, 2.0]
    assert (scores["not_judged"], scores["figures"]) == (1, {"MMVet": 0})
    assert ", 1 of which the judge gave no usable judgement about" in said


def test_what_the_judge_said_before_it_went_away_is_kept(
    tmp_path: Path, server: ModelServer
) -> None:
    server.script = [says(completion("0.5"))]
    server.otherwise = refuses(401, "no such key")
    options = options_of(tmp_path, judge_url=server.url)
    with pytest.raises(
        JudgeFailed,
        match=r"refuses the key \(401\).* for this command\. What it said so far is kept",
    ):
        scored(options, ["3", "3", "3"])
    kept = pq.read_table(tmp_path / "out" / "evaluation" / "judgements.parquet")
    asked = len(server.bodies)
    assert len(kept) <= 1

    server.otherwise = says(completion("1.0"))
    scored(options, ["3", "3", "3"])
    assert len(server.bodies) == asked + 3 - len(kept)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {},
            (
                "--benchmark mmvet: a judge model rates or reads its answers. Name yours by"
                " --judge-url"
            ),
        ),
        (
            {"judge_url": "localhost:8000"},
            "--judge-url localhost:8000: give an address such as http://HOST:PORT/v1",
        ),
        (
            {"benchmark": "docvqa", "judge_url": "http://h/v1"},
            "--judge-url http://h/v1 is for --benchmark mmvet, mathvista, mmb",
        ),
        (
            {"benchmark": "docvqa", "judge_model": "x"},
            "--judge-model x is for --benchmark mmvet, mathvista, mmbench_video",
        ),
    ],
)
def test_a_judge_is_there_where_one_is_needed(
    tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plan_benchmark(options_of(tmp_path, **more))


def test_the_judge_of_mmbench_video_has_a_system_prompt(
    tmp_path: Path, server: ModelServer
) -> None:
    server.otherwise = says(completion("2"))
    line = "index\tvideo\tquestion\tanswer\tdimensions\tvideo_path\n"
    (tmp_path / "MMBench-Video.tsv").write_text(
        line + "7\tabc_processed\tWho?\tA cat.\t['OCR']\t./video/abc.mp4\n"
    )
    values = {
        "input": str(tmp_path / "MMBench-Video.tsv"),
        "output": str(tmp_path / "out"),
        "judge_url": server.url,
    }
    options = build_options(
        Options, {"benchmark": "mmbench_video", "model": "OpenGVLab/InternVL2-1B", **values}
    )
    plan = plan_benchmark(options)
    table = pa.concat_tables([table for split in plan.splits for table in read_split(plan, split)])
    assert [one["uri"] for one in table["__media"][0].as_py()] == ["abc_processed.mp4"]

    scores, said = scored(options, ["a cat"])

    assert [message["role"] for message in server.bodies[0]["messages"]] == ["system", "user"]
    assert scores["figures"] == {"MMBench-Video 16f": 2}
    assert scores["published"]["InternVL2-1B"]["MMBench-Video 16f"] == 0.98
    assert "| InternVL2-1B | 0.98 | 0.95 |" in said


def test_several_models_need_a_name(tmp_path: Path, server: ModelServer) -> None:
    server.models = says({"data": [{"id": "one"}, {"id": "two"}]})
    with pytest.raises(JudgeFailed, match=r"it serves one, two\. Name one by --judge-model"):
        scored(options_of(tmp_path, judge_url=server.url), ["3", "3", "3"])


def test_the_judge_is_asked_before_anything_starts(tmp_path: Path, server: ModelServer) -> None:
    options = options_of(tmp_path, judge_url=server.url, judge_model="tiny")
    server.otherwise = says(completion("Hi"))
    assert ask_judge_early(options) is None
    assert [body["max_tokens"] for body in server.bodies] == [1]

    server.otherwise = refuses(401, "no such key")
    with pytest.raises(
        ConfigurationError,
        match=r"refuses the key \(401\): no such key\. Set OPENAI_API_KEY for this",
    ):
        ask_judge_early(options)
    server.otherwise = refuses(404, "no such model")
    with pytest.raises(
        ConfigurationError, match=r"`judge_url` has to be its address .*`judge_model` a"
    ):
        ask_judge_early(options)
    server.otherwise = refuses(503, "starting")
    waiting = ask_judge_early(options)
    assert waiting is not None
    assert waiting.startswith("the judge does not answer yet: http://127.0.0.1")
    assert waiting.endswith("503: starting. It is asked when all questions are answered.")


def test_a_judge_that_has_rated_already_is_not_asked_early(
    tmp_path: Path, server: ModelServer
) -> None:
    options = options_of(tmp_path, judge_url=server.url)
    server.otherwise = says(completion("0.5"))
    scored(options, ["3", "3", "3"])
    server.otherwise = refuses(401, "no such key")
    assert ask_judge_early(options) is None


def test_the_judge_is_no_setting_of_the_answers(tmp_path: Path) -> None:
    from pipelines.commands.evaluation import make_evaluate

    texts = [
        settings(options, make_evaluate(options, "image", []))
        for options in (
            options_of(tmp_path, judge_url="http://a/v1"),
            options_of(tmp_path, judge_url="http://b/v1", judge_model="x"),
        )
    ]
    assert texts[0] == texts[1]
