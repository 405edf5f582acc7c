"""The registry of tasks: what a job, the preview and the messages take from a task's row."""

import re
from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands.preview import PreviewOptions, prepared_preview
from pipelines.options.command_line import build_options
from pipelines.options.job_options import JobOptions
from pipelines.options.messages import whose_option
from pipelines.options.several_tasks import AnnotateJobOptions, AnnotateOptions, make_several
from pipelines.options.tasks import TASKS, job_options

ROOT = Path(__file__).parents[3]
NEEDED = {"input": "in.jsonl", "output": "out", "model": "m"}


@pytest.mark.parametrize("name", TASKS)
class TestEachTask:
    def test_its_job_has_its_options_and_its_tiles(self, name: str) -> None:
        row = TASKS[name]
        assert (ROOT / "jobs" / f"{name}_dataset.py").is_file()
        options = build_options(job_options(name), NEEDED)
        assert options.max_tiles == row.tiles
        assert options.input_needs.media_optional == row.text_alone
        assert set(type(options).model_fields) == {
            *JobOptions.model_fields,
            *row.options.model_fields,
        }

    def test_the_job_of_several_tasks_and_the_preview_know_it(self, name: str) -> None:
        assert set(TASKS[name].options.model_fields) <= set(AnnotateOptions.model_fields)
        assert re.search(rf"\b{name}\b", AnnotateOptions.model_fields["tasks"].description or "")
        assert (
            build_options(PreviewOptions, {"inputs": ["a.png"], "model": "m", "task": name}).task
            == name
        )

    def test_an_option_of_its_own_is_told_from_one_that_no_job_has(self, name: str) -> None:
        for option in TASKS[name].options.model_fields:
            assert name in whose_option(f"--{option}", ["input"])
        assert whose_option("--no-such-option", ["input"]) == ""

    def test_only_media_that_it_reads_are_taken(self, name: str) -> None:
        row, columns = TASKS[name], ("question", "phrase")
        options = build_options(job_options(name), {**NEEDED, **row.examples[0].options})
        for kind in ("image", "document", "video"):
            if kind in row.media:
                assert row.task(options, kind, columns).name == name
            else:
                with pytest.raises(
                    ConfigurationError, match=rf"The task {name} reads .*; the input has videos"
                ):
                    row.task(options, kind, columns)


def test_several_tasks_refuse_media_that_one_of_them_does_not_read() -> None:
    options = build_options(AnnotateJobOptions, {**NEEDED, "tasks": "caption,ocr"})
    assert make_several(options, "document", ()).name == "annotate"
    with pytest.raises(ConfigurationError, match="The task ocr reads images and pages"):
        make_several(options, "video", ())


def test_a_task_that_no_row_names_is_refused_by_the_preview() -> None:
    options = build_options(PreviewOptions, {"inputs": [__file__], "model": "m", "task": "capton"})
    with pytest.raises(
        ConfigurationError, match=r"--task capton: .* is no task.*Did you mean caption\?"
    ):
        prepared_preview(options)
