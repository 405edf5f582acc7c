"""Benchmarks about whole pages: from their published folder to figures, without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.benchmark_scores import score_benchmark
from pipelines.commands.evaluation import plan_benchmark
from pipelines.options.benchmark_options import EvaluateJobOptions as Options
from pipelines.options.command_line import build_options
from pipelines.sources import SourcePlan, count_rows, read_split

FACTS = {
    "headers.jsonl": [
        {"pdf": "h/a.pdf", "page": 1, "id": "1", "type": "absent", "text": "page 7"},
        {"pdf": "h/a.pdf", "page": 1, "id": "2", "type": "present", "text": "hello"},
    ],
    "tables.jsonl": [
        {"pdf": "t/b.pdf", "page": 1, "id": "3", "type": "table", "cell": "4", "up": "May"},
        {"pdf": "t/b.pdf", "page": 1, "id": "4", "type": "baseline"},
    ],
}


def published(folder: Path, facts: dict[str, list[dict[str, Any]]] = FACTS) -> Path:
    """The folder of olmOCR-Bench with two documents and a stray one."""
    for name, lines in facts.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("h/a.pdf", "t/b.pdf", "t/c.pdf"):
        (folder / "pdfs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pdfs" / name).write_bytes(b"%PDF-1.7")
    return folder


def planned(folder: Path, **more: Any) -> tuple[Any, SourcePlan]:
    values = {"benchmark": "olmocr_bench", "input": str(folder), "output": str(folder / "out"),
              "model": "OpenGVLab/InternVL2-1B"}  # fmt: skip
    options = build_options(Options, {**values, **more})
    return options, plan_benchmark(options)


def ids(plan: SourcePlan) -> list[str]:
    tables = [table for split in plan.splits for table in read_split(plan, split)]
    return pa.concat_tables(tables)["id"].to_pylist()


def answered(options: Any, plan: SourcePlan, answers: dict[str, str]) -> tuple[dict, pa.Table, str]:
    """The scores, the samples and what is printed, of pages that were answered so."""
    out = Path(options.output)
    (out / "results").mkdir(parents=True)
    table = pa.table({"id": list(answers), "answer": list(answers.values())})
    pq.write_table(table, out / "results" / "part.parquet")
    said = score_benchmark(options, plan)
    scores = json.loads((out / "evaluation" / "scores.json").read_text())
    return scores, pq.read_table(out / "evaluation" / "samples.parquet"), said


def test_each_page_is_asked_once_and_each_fact_is_scored(tmp_path: Path) -> None:
    options, plan = planned(published(tmp_path))

    assert (plan.media_kind, count_rows(plan)) == ("document", 3)
    assert ids(plan) == ["h/a.pdf", "t/b.pdf", "t/c.pdf"]
    page = "```markdown\n| May |\n|---|\n| 4 |\n```"
    scores, samples, said = answered(
        options, plan, {"h/a.pdf#page=1": "hello", "t/b.pdf#page=1": page}
    )
    rows = {row["id"]: row for row in samples.to_pylist()}

    # t/c.pdf has no answer: its baseline is wrong, and counted
    assert scores["figures"] == {
        "overall": pytest.approx((100 + 100 + 50) / 3), "±": pytest.approx(100 / 3 / 2),
        "headers": 100, "tables": 100, "baseline": 50,
    }  # fmt: skip
    assert (scores["questions"], scores["failed"]) == (6, 1)
    assert rows["t/c.pdf_baseline"]["error"] == "not_found: there is no answer about t/c.pdf#page=1"
    assert (rows["3"]["page"], rows["3"]["response"]) == (
        "t/b.pdf#page=1",
        "| May |\n|---|\n| 4 |",
    )
    assert "olmOCR-Bench, share of facts that the answers state: 6 questions, 1 of which" in said
    assert "| baseline | 66.7 | 3 |" in said


def test_a_split_is_about_its_own_documents(tmp_path: Path) -> None:
    options, plan = planned(published(tmp_path), split="tables")

    assert ids(plan) == ["t/b.pdf"]
    scores, _, _ = answered(options, plan, {"t/b.pdf#page=1": "text"})
    assert scores["figures"]["tables"] == 50  # the baseline alone


def test_a_limit_leaves_out_the_facts_of_other_documents(tmp_path: Path) -> None:
    options, plan = planned(published(tmp_path), limit=1)

    assert ids(plan) == ["h/a.pdf"]
    scores, _, _ = answered(options, plan, {"h/a.pdf#page=1": "hello on page 7"})
    assert scores["figures"]["headers"] == 50
    assert scores["questions"] == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "headers.jsonl").write_text("{}\n"), r"headers\.jsonl:1: type None;"),
        (lambda root: (root / "pdfs/t/b.pdf").unlink(), r"1 of the 3 files that it is about are"),
        (lambda root: [one.unlink() for one in root.glob("*.jsonl")], r"There is no \.jsonl file"),
        (lambda root: (root / "pdfs").rename(root / "pdf"), r"a folder with pdfs/ and \.jsonl fil"),
        (lambda root: (root / "headers.jsonl").write_bytes(b"\xff\xfe"), r"is not UTF-8"),
    ],
)
def test_data_that_cannot_be_used_end_the_job_at_once(
    tmp_path: Path, spoil: Any, message: str
) -> None:
    spoil(published(tmp_path))
    with pytest.raises(ConfigurationError, match=message):
        planned(tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"split": "tabels"}, r"--split tabels: none of the files has it in its name: headers\.js"),
        ({"media_root": "/tmp"}, r"--media-root /tmp has no effect: --benchmark olmocr_bench read"),
        ({"image_column": "image"}, r"--benchmark olmocr_bench has documents"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, more: dict, message: str) -> None:
    published(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        planned(tmp_path, **more)


def test_omnidocbench_from_its_folder_to_its_figures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pages = []
    for number, text in enumerate(("a long enough first text", "and the second one")):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"")
        block = {"category_type": "text_block", "text": text, "order": 1, "anno_id": 0}
        info = {"image_path": f"{number}.jpg", "page_attribute": {"data_source": "book"}}
        pages.append({"layout_dets": [block], "page_info": info})
    (tmp_path / "images" / "stray.jpg").write_bytes(b"")
    (tmp_path / "OmniDocBench.json").write_text(json.dumps(pages))

    options, plan = planned(tmp_path, benchmark="omnidocbench")
    assert (plan.media_kind, ids(plan)) == ("image", ["0.jpg", "1.jpg"])
    scores, samples, said = answered(options, plan, {"0.jpg": "A long enough first text."})

    assert scores["figures"] == {
        "Text edit": pytest.approx((1 / 20 + 1) / 2),
        "Read order edit": 0.5,
    }
    assert scores["published"]["InternVL3-78B"]["Table TEDS"] == 70.64
    assert samples["error"].to_pylist() == [None, "not_found: there is no answer about 1.jpg"]
    assert "| **OpenGVLab/InternVL2-1B**, here | 0.525 |" in said

    (tmp_path / "images" / "1.jpg").unlink()
    with pytest.raises(ConfigurationError, match=r"are not in images/: 1\.jpg"):
        planned(tmp_path, benchmark="omnidocbench")
