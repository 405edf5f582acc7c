"""The table of published rows says what is so."""

from __future__ import annotations

from internvl_ops.evaluation import BENCHMARKS
from internvl_ops.evaluation.coverage import (
    CARD,
    GROUNDING,
    PUBLISHED_ROWS,
    VIDEO,
    coverage_markdown,
)
from internvl_ops.evaluation.published import PUBLISHED
from internvl_ops.evaluation.suites import SUITES
from internvl_ops.evaluation.vector_benchmarks import (
    RETRIEVAL,
    RETRIEVAL_NAMES,
    ZERO_SHOT,
    ZERO_SHOT_NAMES,
)

# The rows of the tables in the model card of InternVL2-1B, in their order.
IMAGES = ["DocVQA test", "ChartQA test", "InfoVQA test", "TextVQA val", "OCRBench", "MME sum",
          "RealWorldQA", "AI2D test", "MMMU val", "MMBench-EN test", "MMBench-CN test",
          "CCBench dev", "MMVet GPT-4-0613", "MMVet GPT-4-Turbo", "SEED-Image", "HallBench avg",
          "MathVista testmini", "OpenCompass avg"]  # fmt: skip
VIDEOS = [
    "MVBench",
    "MMBench-Video 8f",
    "MMBench-Video 16f",
    "Video-MME w/o subs",
    "Video-MME w subs",
]


def test_every_row_of_the_card_has_a_state() -> None:
    assert [one.row for one in PUBLISHED_ROWS if one.table == CARD] == IMAGES
    assert [one.row for one in PUBLISHED_ROWS if one.table == VIDEO] == VIDEOS
    assert [one.row for one in PUBLISHED_ROWS if one.table == GROUNDING] == list(
        PUBLISHED["refcoco"].columns
    )


def test_what_is_offered_can_be_measured_and_has_a_published_column() -> None:
    for one in PUBLISHED_ROWS:
        if one.benchmark is not None:
            assert one.benchmark in BENCHMARKS
            assert one.column in PUBLISHED[one.benchmark].columns, one
        elif one.vectors:
            assert set(one.vectors) <= {*ZERO_SHOT, *RETRIEVAL}, one
        else:
            assert one.why, one


def test_the_suite_of_the_card_has_every_offered_row() -> None:
    offered = {
        one.benchmark
        for one in PUBLISHED_ROWS
        if one.table in (CARD, VIDEO, GROUNDING) and one.benchmark
    }
    assert offered == set(SUITES["internvl2"])


def test_the_table_names_each_row_once() -> None:
    lines = coverage_markdown().splitlines()
    assert len(lines) == 2 + len(PUBLISHED_ROWS)
    assert len({(one.table, one.row) for one in PUBLISHED_ROWS}) == len(PUBLISHED_ROWS)
    assert "| card, images | RealWorldQA | offered | `realworldqa` |  |" in lines


def test_every_benchmark_of_vectors_has_published_figures_and_a_row() -> None:
    assert tuple(ZERO_SHOT) == ZERO_SHOT_NAMES
    assert tuple(RETRIEVAL) == RETRIEVAL_NAMES
    named = {name for one in PUBLISHED_ROWS for name in one.vectors}
    assert named == {*ZERO_SHOT, *RETRIEVAL}


def test_the_average_of_xtd_is_that_of_its_languages() -> None:
    for figures in RETRIEVAL["xtd"].published.values():
        *languages, average = figures[""]
        assert abs(sum(languages) / len(languages) - average) < 0.06


def test_kinetics_is_the_mean_of_top_1_and_top_5() -> None:
    said = ZERO_SHOT["kinetics400"].beside({"accuracy": 0.70, "top5": 0.90})
    assert said.startswith("Kinetics-400, mean of top-1 and top-5: 80.0; published: ")
    assert "InternVL-C with 8 frames 79.4 (+0.6)" in said
    assert ZERO_SHOT["kinetics400"].beside({"accuracy": 0.70}) == ""
