"""A suite of benchmarks: its file, its checks before anything starts, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.nano import benchmarks
from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS
from internvl_ops.evaluation.suites import (
    SUITES,
    published_figures,
    published_model,
    suite_markdown,
)
from pipelines.commands.suite import plan_suite, read_suite
from pipelines.options.benchmark_options import EvaluateJobOptions as Options
from pipelines.options.command_line import build_options
from testing.cluster import ROOT

NANO = ROOT / "examples" / "nano" / "checkpoint"


def suite(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def planned(folder: Path, text: str, **options: Any) -> Any:
    values = {"suite": "internvl2", "input": str(suite(folder / "suite.yaml", text)),
              "model": str(NANO), "output": str(folder / "out"), **options}  # fmt: skip
    return plan_suite(build_options(Options, values), writes=False)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = """
docvqa: DocVQA/val.jsonl
textvqa: {input: s3://bucket/textvqa.jsonl, annotations: notes/a.json, media-root: /data, limit: 5}
"""
    assert read_suite(str(suite(tmp_path / "s.yaml", text)), SUITES["internvl2"]) == {
        "docvqa": {"input": f"{tmp_path}/DocVQA/val.jsonl"},
        "textvqa": {
            "input": "s3://bucket/textvqa.jsonl",
            "annotations": f"{tmp_path}/notes/a.json",
            "media_root": "/data",
            "limit": 5,
        },
    }


def test_each_benchmark_has_its_own_settings_and_a_folder(tmp_path: Path) -> None:
    benchmarks.draw_refcoco(tmp_path / "refcoco", 2)
    benchmarks.draw_docvqa(tmp_path / "docvqa", 2)
    jobs, absent = planned(
        tmp_path, "refcoco: {input: refcoco, max-tiles: 2}\ndocvqa: docvqa\n", release="V1.5"
    )

    assert [(job.name, job.options.max_tiles, job.options.release) for job in jobs] == [
        ("docvqa", 18, "V1.5"),
        ("refcoco", 2, "V1.5"),
    ]
    assert [job.options.output for job in jobs] == [
        f"{tmp_path}/out/docvqa",
        f"{tmp_path}/out/refcoco",
    ]
    assert absent == [name for name in SUITES["internvl2"] if name not in ("docvqa", "refcoco")]


def test_a_judge_is_for_those_that_need_one(tmp_path: Path) -> None:
    benchmarks.draw_docvqa(tmp_path / "docvqa", 2)
    [drawn] = (tmp_path / "docvqa").glob("*.parquet")
    table = pq.read_table(drawn)
    table = table.set_column(
        table.column_names.index("answers"), "answer", pa.array(["a"] * len(table))
    )
    (tmp_path / "mmvet").mkdir()
    pq.write_table(table, tmp_path / "mmvet" / "test.parquet")
    text = "docvqa: docvqa\nmmvet: mmvet\n"

    jobs, _ = planned(tmp_path, text, judge_url="http://127.0.0.1:9/v1", judge_model="judge")
    assert [(job.name, job.options.judge_model) for job in jobs] == [
        ("docvqa", None),
        ("mmvet", "judge"),
    ]
    with pytest.raises(
        ConfigurationError, match=r"--suite internvl2, mmvet: .*Name yours by --judge-url"
    ):
        planned(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("docvq: docvqa", {}, "docvq is not in the suite. Did you mean docvqa\\? It has: docvqa, "
            "chartqa"),
        ("docvqa: {split: val}", {}, "docvqa has no input"),
        ("docvqa: {input: x, model: y}", {}, "docvqa sets model, which is for the whole suite"),
        ("docvqa: {input: docvqa, splits: val}", {}, "--suite internvl2, docvqa: .*splits"),
        ("docvqa: {input: gone}", {}, "--suite internvl2, docvqa: .*gone"),
        ("- docvqa", {}, "it names no benchmark"),
        ("docvqa: [", {}, "--input .*suite.yaml"),
        ("docvqa: docvqa", {"benchmark": "docvqa"},
         "--suite internvl2 runs several. Leave one of the two out"),
        ("docvqa: docvqa", {"shards": 2}, "--shards 2: a suite has no parts"),
        ("docvqa: docvqa", {"beside": "InternVL2-9B"},
         "--beside InternVL2-9B: no figures .* Did you mean InternVL2-"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_starts(
    tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        planned(tmp_path, text, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("OpenGVLab/InternVL2-8B", "InternVL2-8B"),
        ("/models/internvl2-8b/", "InternVL2-8B"),
        ("/hub/models--OpenGVLab--InternVL2-Llama3-76B/snapshots/0f1e", "InternVL2-Llama3-76B"),
        ("OpenGVLab/InternVL-Chat-V1-2-Plus", "InternVL-Chat-V1-2-Plus"),
        ("OpenGVLab/InternVL2_5-8B", "InternVL2_5-8B"),
        ("OpenGVLab/InternVL2_5-38B", None),
        ("OpenGVLab/InternVL2-8B-MPO", None),
        ("mine", None),
    ],
)
def test_the_published_checkpoint_is_the_one_that_the_model_names(
    model: str, found: str | None
) -> None:
    assert published_model(model) == found


def test_the_table_has_the_difference_in_a_column_of_its_own() -> None:
    figures = {
        "docvqa": {"DocVQA val": 90.31},
        "mme": {"MME sum": 2200.0, "MME perception": 1600.0},
        "ai2d": {"x": 1.0},
    }
    lines = suite_markdown(
        "internvl2", figures, {"chartqa": "no data given"}, "InternVL2-8B"
    ).splitlines()

    assert lines[0] == "| benchmark | figure | here | published, InternVL2-8B | difference |"
    assert lines[2:] == [
        "| `docvqa` | DocVQA val | 90.3 | 90.8 | -0.5 |",
        "| `chartqa` | no data given | | | |",
        "| `mme` | MME sum | 2200.0 | 2210.3 | -10.3 |",
        "| `ai2d` | x | 1.0 |  |  |",
    ]
    assert "published, " not in suite_markdown("internvl2", figures, {}, None)


def test_suites_have_benchmarks_that_are_published() -> None:
    for names in SUITES.values():
        assert set(names) <= set(BENCHMARKS)
        assert len(set(names)) == len(names)
    assert all(published_figures(name, "InternVL2-1B") for name in SUITES["internvl2"])
