"""What is said once, at the start and in the record, of a run that is allowed and perhaps not
meant."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.models.checkpoints.config import Checkpoint
from pipelines.commands.job import describe
from pipelines.options.job_options import JobOptions
from pipelines.output.folder import OutputFolder
from pipelines.report.record import RunRecord
from pipelines.sources import SourcePlan
from pipelines.wiring.notices import notices
from testing.office_files import stand_in
from tests.pipelines.finished_rows import CAPTION
from tests.pipelines.manifests import plan_of
from tests.pipelines.report.test_report import Page, finish, written


@pytest.fixture
def plan(tmp_path: Path) -> SourcePlan:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    return plan_of(tmp_path / "in")


def options(tmp_path: Path, **given: Any) -> JobOptions:
    common = {
        "input": str(tmp_path / "in"),
        "output": str(tmp_path / "out"),
        "model": "org/model",
        "max_tiles": 1,
    }
    return JobOptions.model_validate(common | given)


def noticed(options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint | None) -> list[str]:
    """Notices besides the one on the tiny checkpoint's own chat template, which is not the
    family's."""
    return [note for note in notices(options, plan, checkpoint) if "chat template" not in note]


def test_an_ordinary_run_has_none(tmp_path: Path, plan: SourcePlan, checkpoint: Checkpoint) -> None:
    assert noticed(options(tmp_path), plan, checkpoint) == []
    assert noticed(options(tmp_path), plan, None) == []


@pytest.mark.parametrize("engine", ["vllm", "transformers", "openai"])
def test_a_context_above_the_trained_one(
    tmp_path: Path, plan: SourcePlan, checkpoint: Checkpoint, engine: str
) -> None:
    trained = checkpoint.context_length
    for length, times in [(trained - 1, 0), (trained, 0), (trained + 1, 1), (10 * trained, 1)]:
        found = noticed(
            options(tmp_path, engine=engine, engine_args={"max_model_len": length}),
            plan,
            checkpoint,
        )
        assert len(found) == times
        for note in found:
            assert f"max_model_len {length:,}" in note
            assert f"{trained:,} tokens" in note


def test_long_rotary_factors_for_short_prompts(
    tmp_path: Path, plan: SourcePlan, checkpoint: Checkpoint
) -> None:
    two_ranges = replace(checkpoint, short_context=checkpoint.context_length // 4)
    long, short = two_ranges.context_length // 2, two_ranges.short_context
    for length, engine, times in [(long, "vllm", 1), (short, "vllm", 0), (long, "transformers", 0)]:
        found = noticed(
            options(tmp_path, engine=engine, engine_args={"max_model_len": length}),
            plan,
            two_ranges,
        )
        assert len(found) == times
        assert all(f"above {short:,}" in note for note in found)


def test_an_image_that_no_context_holds(
    tmp_path: Path, plan: SourcePlan, checkpoint: Checkpoint
) -> None:
    tiles = checkpoint.context_length // checkpoint.tokens_per_tile
    fits, exceeds = (
        replace(checkpoint, context_length=n * checkpoint.tokens_per_tile) for n in (12, 6)
    )
    asked = options(tmp_path, max_tiles=8)
    assert tiles > 0
    assert noticed(asked, plan, fits) == []
    (note,) = noticed(asked, plan, exceeds)
    assert f"the context is {6 * checkpoint.tokens_per_tile:,}" in note
    assert "prompt_too_long" in note
    for other in (replace(exceeds, dynamic=False),):
        assert noticed(asked, plan, other) == []
    for other_media in (replace(plan, media_kind="video"), replace(plan, media_column=None)):
        (note,) = noticed(asked, other_media, exceeds)
        assert note.startswith("--max-tiles 8 has no effect")


def test_they_stand_in_the_record_the_page_and_the_closing_words(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.txt", "c.txt", "LICENSE"):
        (tmp_path / "in" / name).touch()
    plan = plan_of(tmp_path / "in", format="files")
    asked = options(tmp_path)
    made = RunRecord(asked, CAPTION, OutputFolder(asked.output))
    made.notices, made.left_out = noticed(asked, plan, checkpoint), plan.left_out
    finish(made)
    run, html = written(tmp_path)
    assert run["left_out"] == {".txt": 2, "no suffix": 1}
    (said,) = run["notices"]
    assert "3 of 4 files are left out" in said
    assert "left out  3 files by their suffix" in made.summary()
    assert f"note      {said}" in describe(asked, plan, checkpoint, CAPTION)
    assert said in Page(html).text
    assert "LICENSE" not in json.dumps(run)


def test_office_documents_without_libreoffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.DOCX").touch()
    plan = plan_of(tmp_path / "in")
    monkeypatch.setenv("PATH", str(tmp_path))
    (note,) = noticed(options(tmp_path), plan, None)
    assert "a.DOCX" in note
    assert "LibreOffice" in note
    monkeypatch.setenv("PATH", str(stand_in(tmp_path, "exit 0")))
    assert noticed(options(tmp_path), plan, None) == []
