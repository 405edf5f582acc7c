"""A preview of several models and prompts: each answers the same units, and the answers are shown
side by side."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.tasks import Task
from pipelines.commands.job import check_input
from pipelines.commands.judging import plan_texts
from pipelines.commands.preview import media_kind_of
from pipelines.commands.preview_options import TriesOptions, combinations, given, job_class
from pipelines.flags import flag
from pipelines.options.command_line import build_options
from pipelines.options.job_options import InputOptions, JobOptions
from pipelines.options.own_tasks import find_task
from pipelines.options.rules import check_options, refuse
from pipelines.options.tasks import TASKS
from pipelines.run_folder import run_folder
from pipelines.sources import SourcePlan, has_rows
from pipelines.wiring.engines import check_endpoint, load_model

_MANIFEST = "preview.jsonl"
_PLACEHOLDER = "?"  # a prompt, for checks before one is typed


@dataclass(frozen=True)
class Try:
    """A model with a prompt.

    Args:
        number: What it is called by, from 1.
        options: Options of the job that would do the same.
        checkpoint: Of the model; None if only a server has it.
        task: What is asked.
    """

    number: int
    options: JobOptions
    checkpoint: Checkpoint | None
    task: Task

    @property
    def engine(self) -> tuple[str, str | None]:
        """What its engine is made of; tries with the same share one."""
        return self.options.model, self.options.lora


@dataclass(frozen=True)
class Checked:
    """What is to be tried.

    Args:
        options: Of the command.
        plan: Plan of the input.
        tries: Models and prompts; the first has a placeholder as its prompt if one is to be typed
            first.
        waits: Whether a prompt is to be typed before anything can be asked.
    """

    options: TriesOptions
    plan: SourcePlan
    tries: Sequence[Try]
    waits: bool = False


def run_tries(options: TriesOptions) -> int:
    """Answers every unit by every model and prompt, and shows the answers side by side.

    Returns:
        The exit status: 0, or 1 if a unit could not be answered.

    Raises:
        ConfigurationError: An option is wrong, as in the jobs.
    """
    with run_folder() as scratch:
        checked = check_tries(options, scratch)
        # takes seconds to import, so only after the checks
        from pipelines.commands.preview_show import Showing

        return Showing(checked).run()


def check_tries(options: TriesOptions, scratch: Path) -> Checked:
    """Checks the options and plans the input; loads no model.

    Args:
        options: Of the command.
        scratch: A folder for the manifest of the named files.

    Raises:
        ConfigurationError: As `run_tries`.
    """
    _check_own(options)
    find_task(options.task)
    values, plan_of = _input_of(options, scratch), plan_texts
    pairs, prompts = combinations(options), [text or None for text in options.prompt] or [None]
    plan: SourcePlan | None = None
    tries: list[Try] = []
    waits = False
    for model, lora in pairs:
        checkpoint: Checkpoint | None = None
        for position, prompt in enumerate(prompts):
            job = _job(options, values, model, lora, prompt)
            plan = plan or plan_of(job)
            waits = (
                options.interactive and prompt is None and options.task == "ask" and not _asks(plan)
            )
            if waits:
                job = _job(options, values, model, lora, _PLACEHOLDER)
            if position == 0:
                checkpoint = load_model(job)
            tries.append(_try(len(tries) + 1, job, plan, checkpoint))
        check_endpoint(tries[-1].options)
    assert plan is not None, "there is at least one model"
    _check_plan(options, plan)
    if not tries[0].task.outcome.generated:
        raise ConfigurationError(
            f"--task {options.task}: its answers are {tries[0].task.outcome.name}, and a preview"
            " shows texts. Run its job, with --limit 3 for a first look."
        )
    return Checked(options, plan, tries, waits)


def another(checked: Checked, prompt: str | None, number: int) -> Try:
    """A try of the first one's model with another prompt.

    Raises:
        ConfigurationError: The task takes no such prompt.
    """
    first = checked.tries[0]
    values = {name: getattr(first.options, name) for name in first.options.model_fields_set} | {
        "prompt": prompt
    }
    options = build_options(type(first.options), values)
    return _try(number, options, checked.plan, first.checkpoint)


def _try(number: int, job: JobOptions, plan: SourcePlan, checkpoint: Checkpoint | None) -> Try:
    check_options(job)
    task: Task = check_input(job, plan, checkpoint, type(job).make_task)
    return Try(number, job, checkpoint, task)


def _job(
    options: TriesOptions, values: dict[str, Any], model: str, lora: str | None, prompt: str | None
) -> JobOptions:
    """The options of the job that would do a try; it is never run, so its output is any."""
    more = {
        name: value for name, value in (("lora", lora), ("prompt", prompt)) if value is not None
    }
    if options.task not in TASKS:
        more["task"] = options.task
    return build_options(
        job_class(options.task), {**values, "model": model, "output": "preview", **more}
    )


def _input_of(options: TriesOptions, scratch: Path) -> dict[str, Any]:
    """The options of a job over the units that are shown."""
    values = given(options)
    if options.input is not None:
        if options.inputs:
            raise ConfigurationError(
                f"{options.inputs[0]} and --input {options.input}: two inputs. Leave one of them"
                " out."
            )
        return values | {"input": options.input}
    refuse(
        options,
        [name for name in InputOptions.model_fields if name != "s3_anonymous"],
        "it is about --input",
    )
    refuse(options, ("sample", "sample_seed"), "it draws rows of --input")
    return values | manifest_of(options.inputs, kind_of_files(options.inputs), scratch / _MANIFEST)


def kind_of_files(uris: Sequence[str]) -> MediaKind:
    """The kind of the named files.

    Raises:
        ConfigurationError: A local one is not there, or they are of several kinds.
    """
    for uri in uris:
        if _is_local(uri) and not Path(uri).expanduser().is_file():
            raise ConfigurationError(f"{uri}: no such file.")
    kinds = sorted(set(map(media_kind_of, uris)))
    if len(kinds) > 1:
        raise ConfigurationError(
            f"{' and '.join(f'{kind}s' for kind in kinds)} in one comparison: compare files of each"
            " kind by themselves."
        )
    return kinds[0]


def manifest_of(uris: Sequence[str], kind: MediaKind, path: Path) -> dict[str, object]:
    """Writes a manifest of the named files; returns the options of a job that reads it, and may
    read the files."""
    places = [os.path.abspath(os.path.expanduser(uri)) if _is_local(uri) else uri for uri in uris]
    rows = [{"id": uri, kind: place} for uri, place in zip(uris, places, strict=True)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {
        "input": str(path),
        "input_format": "jsonl",
        "id_column": "id",
        f"{kind}_column": kind,
        "media_root": os.getcwd(),
        "allow": tuple(places),
    }


def _is_local(uri: str) -> bool:
    return "://" not in uri and not uri.startswith("data:")


def _check_own(options: TriesOptions) -> None:
    refuse(
        options,
        ("drawings",),
        "pictures are drawn for one model and one prompt; --page shows boxes here",
    )
    count = len(options.model) * max(1, len(options.prompt)) * max(1, len(options.lora))
    for name in ("model", "prompt", "lora"):
        texts = getattr(options, name)
        if len(set(texts)) < len(texts):
            raise ConfigurationError(f"{flag(name)}: the same value twice. Leave one of them out.")
    if options.choose is not None and options.choose > count:
        raise ConfigurationError(
            f"--choose {options.choose}: no such number. Give one from 1 to {count}."
        )
    if options.choose is not None and options.interactive:
        raise ConfigurationError(
            f"--choose {options.choose} with --interactive: type :write {options.choose} there."
        )
    if options.choose is not None and Path(options.job).exists():
        raise ConfigurationError(
            f"--job {options.job} is there already. Remove it, or give another file."
        )
    if options.interactive and len(combinations(options)) > 1:
        raise ConfigurationError(
            "--interactive keeps one engine running: give one --model and one --lora at most."
        )
    for name in ("page", "job"):
        path = getattr(options, name)
        if path is not None and not Path(path).expanduser().absolute().parent.is_dir():
            raise ConfigurationError(
                f"{flag(name)} {path}: its folder is not there. Make it, or give another file."
            )


def _asks(plan: SourcePlan) -> bool:
    return "question" in plan.schema.names


def _check_plan(options: TriesOptions, plan: SourcePlan) -> None:
    if not has_rows(plan):
        raise ConfigurationError(f"--input {options.input} has no rows to draw.")
    # a question there is a text, and not what is asked
    judged = options.task in ("score", "classify")
    if _asks(plan) and not judged and (len(options.prompt) > 1 or options.interactive):
        raise ConfigurationError(
            f"--input {options.input} has a column question, which has priority over every prompt."
            " Compare prompts on an input without it."
        )


def warn(text: str) -> None:
    """Tells how far a preview is, beside the answers."""
    print(text, file=sys.stderr)
