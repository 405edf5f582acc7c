"""Tasks of other packages: ``module:object``, or a name of the entry point group
`internvl_batch.tasks`."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, Field, create_model

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task
from pipelines.options.job_options import InputNeeds, JobOptions, tiles
from pipelines.options.messages import nearest
from pipelines.options.registered_task import RegisteredTask
from pipelines.options.tasks import TASKS

ENTRY_POINTS = "internvl_batch.tasks"


class RunOptions(JobOptions):
    """Task"""

    task: str = Field(description="The task: module:object, where the object is a RegisteredTask "
        "or a Task of internvl_batch; or the name of a task that an installed package "
        "provides.")  # fmt: skip

    @property
    def input_needs(self) -> InputNeeds:
        """What the task needs of the input."""
        row = find_task(self.task)
        return InputNeeds(media_optional=row.text_alone) if row.needs is None else row.needs(self)

    def make_task(self, media: MediaKind, columns: Sequence[str]) -> Task:
        """The task for this input."""
        return find_task(self.task).task(self, media, columns)


@functools.cache
def find_task(name: str) -> RegisteredTask:
    """A task by its name, by the entry point that provides it, or by ``module:object``.

    Raises:
        ConfigurationError: There is none, or it cannot be imported.
    """
    if name in TASKS:
        return TASKS[name]
    provided = importlib.metadata.entry_points(group=ENTRY_POINTS)
    if name in provided.names:
        return _registered(name, provided[name].load)
    module, colon, attribute = name.partition(":")
    if not colon:
        known = [*TASKS, *sorted(provided.names)]
        raise ConfigurationError(
            f"{name!r} is no task; allowed are {', '.join(known)}, or"
            f" module:object.{nearest(name, known)}"
        )
    return _registered(
        name,
        lambda: functools.reduce(getattr, attribute.split("."), importlib.import_module(module)),
    )


def _registered(name: str, load: Any) -> RegisteredTask:
    try:
        found = load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"The task {name!r} cannot be imported: {error}.") from error
    if isinstance(found, Task):
        found = RegisteredTask.of(found)
    if not isinstance(found, RegisteredTask):
        raise ConfigurationError(
            f"The task {name!r} is a {type(found).__name__}; a RegisteredTask or a Task of"
            " internvl_batch is needed."
        )
    if found.name in TASKS:
        raise ConfigurationError(
            f"The task {name!r} has the name of this package's own task {found.name!r}: rename it."
        )
    return found


def named_tasks(argv: Sequence[str], option: str) -> list[str]:
    """The tasks that a command line names, or its --config file, before its options are known."""
    flag, config, found = f"--{option}", "", ""
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        value = value if equals else "".join(argv[place + 1 : place + 2])
        if name == flag:
            found = value
        elif name == "--config":
            config = value
    return split_names(found or _in_config(config, option))


def _in_config(path: str, option: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return str(yaml.safe_load(file).get(option, ""))
    except Exception:  # the file is read again with all options, and its faults are said then
        return ""


def split_names(names: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in names.split(",") if name.strip()]


def with_tasks(cls: type[BaseModel], names: Iterable[str], option: str) -> type[BaseModel]:
    """A command's options with those of the tasks that it is asked for.

    Args:
        cls: Options of the command, which has the options of this package's own tasks.
        names: Names of tasks, as for `find_task`.
        option: The option that names them.

    Raises:
        ConfigurationError: A task is not found, or has an option that the command has already.
    """
    names = list(names)
    try:
        rows = [find_task(name) for name in names]
    except ConfigurationError as error:
        raise ConfigurationError(f"--{option} {','.join(names)}: {error}") from error.__cause__
    own = [row for row in rows if row.name not in TASKS]
    for row in own:
        for name in row.options.model_fields:
            if name in cls.model_fields:
                raise ConfigurationError(
                    f"--{option}: the task {row.name} has an option {name}, which the command has"
                    " already: rename it."
                )
    if issubclass(cls, RunOptions) and rows:
        return create_model(
            "Options", __base__=(rows[0].options, cls), max_tiles=(int, tiles(rows[0].tiles))
        )
    bases = tuple(dict.fromkeys(row.options for row in own))
    return create_model(cls.__name__, __base__=(*bases, cls), __doc__=cls.__doc__) if bases else cls
