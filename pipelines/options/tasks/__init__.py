"""The tasks of this package: a module each, with the task's options and its `RegisteredTask`,
called ``TASK``. `pipelines.task_rows` lists them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable

from pipelines.options.job_options import JobOptions
from pipelines.options.registered_task import RegisteredTask
from pipelines.task_rows import TASK_ROWS

TASKS: dict[str, RegisteredTask] = {
    row.name: importlib.import_module(f"{__name__}.{row.name}").TASK for row in TASK_ROWS
}


@functools.cache
def job_options(task: str) -> type[JobOptions]:
    """Options of the command that does a task."""
    return TASKS[task].job_options()


def tasks_by_option(others: Iterable[RegisteredTask] = ()) -> dict[str, list[str]]:
    """The tasks that have an option, by the option's name.

    Args:
        others: Tasks besides this package's own.
    """
    found: dict[str, list[str]] = {}
    for name, row in (TASKS | {row.name: row for row in others}).items():
        for option in row.options.model_fields:
            found.setdefault(option, []).append(name)
    return found
