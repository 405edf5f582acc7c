"""The functions of `internvl_batch`: each runs one task, from URIs to a folder or from a Dataset to
a Dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import Task
from pipelines.library.datasets import over_dataset
from pipelines.library.keywords import in_python
from pipelines.library.runs import Result, run_to_folder
from pipelines.library.tables import TAKEN, is_table
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.options.job_options import JobOptions
from pipelines.options.own_tasks import find_task, split_names, with_tasks
from pipelines.options.registered_task import RegisteredTask
from pipelines.options.several_tasks import AnnotateJobOptions
from pipelines.options.tasks import TASKS, job_options

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from ray.data import Dataset

    Uri: TypeAlias = str | os.PathLike[str]
    Table: TypeAlias = (
        Dataset | pandas.DataFrame | pyarrow.Table | Sequence[dict[str, Any]] | Sequence[Uri]
    )


@overload
def caption(data: Uri, output: Uri, *, model: Uri, **options: Any) -> Result: ...
@overload
def caption(data: Table, *, model: Uri, **options: Any) -> Dataset: ...
def caption(data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Captions images, pages or videos.

    With an ``output``, ``data`` is a manifest, a folder or a glob, and the call does what
    ``internvl-batch caption`` does: it writes results, errors and a record of the run, and resumes
    where an earlier run ended. Without, ``data`` holds rows, and the call returns a lazy Dataset:
    the same rows with the columns ``id``, ``caption``, ``response``, ``width``, ``height``,
    ``num_tiles``, ``prompt_tokens``, ``completion_tokens``, ``finish_reason``, ``attempts``,
    ``notes``, ``source_version`` and ``error``, which is null for a row that was answered. A column
    of yours that has one of these names is called ``manifest_`` and its name.

    Args:
        data: A path or URI; or a ``ray.data.Dataset``, a pandas or Polars DataFrame, an Arrow
            table, a list of rows (dicts), or a list of paths or URIs. Relative paths in rows are
            relative to ``media_root``, by default the current directory. What else rows may name is
            given by ``allow``, such as ``allow="s3://bucket/"``.
        output: A folder.
        model: InternVL checkpoint: a local directory or a Hugging Face name.
        options: The options of the command, such as ``style="detailed"`` or ``max_tiles=6``.
            ``internvl-batch caption --help`` describes all.

    Returns:
        A `Result`, or a Dataset.

    Raises:
        ConfigurationError: An option is wrong; the message names it, its value and what is allowed.
    """
    return _call(job_options("caption"), data, output, {**options, "model": model})


@overload
def ocr(data: Uri, output: Uri, *, model: Uri, **options: Any) -> Result: ...
@overload
def ocr(data: Table, *, model: Uri, **options: Any) -> Dataset: ...
def ocr(data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Reads the text of images and pages: column ``text``. `caption` describes the arguments and
    both forms."""
    return _call(job_options("ocr"), data, output, {**options, "model": model})


@overload
def ground(data: Uri, output: Uri, *, model: Uri, **options: Any) -> Result: ...
@overload
def ground(data: Table, *, model: Uri, **options: Any) -> Dataset: ...
def ground(data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Finds what phrases describe, or with ``detect=True`` every object: column ``boxes``, in
    pixels of the upright original. A row's own phrase is in its column ``phrase``. `caption`
    describes the arguments and both forms."""
    return _call(job_options("ground"), data, output, {**options, "model": model})


@overload
def ask(data: Uri, output: Uri, *, model: Uri, **options: Any) -> Result: ...
@overload
def ask(data: Table, *, model: Uri, **options: Any) -> Dataset: ...
def ask(data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Answers questions: columns ``answer`` and ``turns``. A row's own question is in its column
    ``question``; the others are asked ``prompt``. `caption` describes the arguments and both
    forms."""
    return _call(job_options("ask"), data, output, {**options, "model": model})


@overload
def annotate(data: Uri, output: Uri, *, model: Uri, **options: Any) -> Result: ...
@overload
def annotate(data: Table, *, model: Uri, **options: Any) -> Dataset: ...
def annotate(data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Does several tasks in one pass over each image, such as ``tasks="caption,ocr"``: every task's
    columns.

    `caption` describes the arguments and both forms.
    """
    return run("annotate", data, output, model=model, **options)


@overload
def embed(data: Uri, output: Uri, *, model: Uri, **options: Any) -> Result: ...
@overload
def embed(data: Table, *, model: Uri, **options: Any) -> Dataset: ...
def embed(data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Makes vectors of images, pages, videos, or with ``text_column`` of texts: column ``vector``.

    The model is an InternViT, a chat checkpoint of the family, or InternVL-14B-224px. `caption`
    describes the arguments and both forms.
    """
    return _call(EmbedJobOptions, data, output, {**options, "model": model})


@overload
def run(
    task: str | Task | RegisteredTask, data: Uri, output: Uri, *, model: Uri, **options: Any
) -> Result: ...
@overload
def run(
    task: str | Task | RegisteredTask, data: Table, *, model: Uri, **options: Any
) -> Dataset: ...
def run(task: Any, data: Any, output: Any = None, *, model: Any, **options: Any) -> Any:
    """Runs any task, your own too.

    Args:
        task: Name of a task, or a `Task` that is ready, or a `RegisteredTask`, which has options of
            its own.
        data: As in `caption`.
        output: As in `caption`.
        model: As in `caption`.
        options: The options of every job, and the task's own.
    """
    if not isinstance(options.get("tasks", ""), str):
        options["tasks"] = ",".join(options["tasks"])
    with in_python():
        cls = _options_class(task, options.get("tasks", ""))
    return _call(cls, data, output, {**options, "model": model})


def _options_class(task: str | Task | RegisteredTask, tasks: str) -> type[JobOptions]:
    if task == "embed":
        return EmbedJobOptions
    if task == "annotate":
        return with_tasks(AnnotateJobOptions, split_names(tasks), "tasks")  # type: ignore[return-value]
    if isinstance(task, str):
        return job_options(task) if task in TASKS else find_task(task).job_options()
    if isinstance(task, Task):
        task = RegisteredTask.of(task)
    return task.job_options()


def _call(cls: type[JobOptions], data: Any, output: Any, options: dict[str, Any]) -> Any:
    if is_table(data):
        if output is not None:
            raise ConfigurationError(
                f"output={os.fspath(output)!r}: rows that are there already give a Dataset. Write"
                " it by its own methods, such as write_parquet, or give the path of a manifest"
                " instead of the rows."
            )
        return over_dataset(cls, data, options)
    if output is None:
        raise ConfigurationError(
            f"{os.fspath(data)!r} names a manifest, a folder or a glob, so that output=FOLDER is"
            f" needed. To get a Dataset instead, give {TAKEN}."
        )
    return run_to_folder(cls, data, output, options)
