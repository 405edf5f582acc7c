"""What a command makes of its options, as values that can be compared: sources, readers, prompts,
engine, workers."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from internvl_ops.media.parts import DecodeOptions
from internvl_ops.media_reader import MediaReader
from internvl_ops.tasks import Task
from pipelines import cluster
from pipelines.annotate import Graph
from pipelines.blocks import rows_of
from pipelines.commands.job import check_job
from pipelines.options.command_line import build_options
from pipelines.options.rules import JOINING
from pipelines.output.continuity import columns_of
from pipelines.output.folder import OutputFolder
from pipelines.sources import SourcePlan
from pipelines.wiring.notices import notices

NODES = [{"CPU": 64.0, "GPU": 8.0}]
# What media of a kind are read with; `MediaOptions` says that the rest is not looked at.
READ_WITH = {
    "image": ("image", "stats", "find_blank", "tile_share"),
    "video": ("video", "clips"),
    "document": ("document", "image", "pages", "stats", "find_blank"),
}


@dataclasses.dataclass(frozen=True)
class Described:
    """What `Graph` asks of Ray Data, instead of a Dataset."""

    steps: tuple[Any, ...]

    def map_batches_internal(
        self, stage: Any, *, fn_constructor_kwargs: dict[str, Any], **resources: Any
    ) -> Described:
        return Described((*self.steps, (stage, fn_constructor_kwargs, resources)))


class Built(Graph):
    """The stages with what they are made of, instead of Ray Data operators."""

    def read(self) -> Any:
        return Described((("read", self.plan, self.columns.names, self.workers.blocks.rows),))

    def explode(self, files: Any) -> Any:
        reader = functools.partial(MediaReader, *self.reading)
        return Described((*files.steps, ("explode", reader, self.workers.prepare_actors // 4)))


def built(
    options_class: type,
    values: Mapping[str, Any],
    make_task: Callable[..., Task],
    make_plan: Any = None,
) -> Any:
    """All that a run is made of, after the checks of a job.

    Raises:
        ConfigurationError: As the job would.
    """
    options = build_options(options_class, dict(values))
    plan, checkpoint, task = check_job(options, make_task, make_plan=make_plan, writes=False)
    workers = cluster.plan_workers(options, checkpoint, rows_of(options, plan), NODES)
    ledger: Any = None
    columns = columns_of(OutputFolder(options.output), options, plan, task, [])
    graph = Built(options, task, plan, checkpoint, workers, ledger, columns)
    joining = tuple(getattr(options, name) for name in ("documents", *JOINING))
    documents = joining if graph.makes_documents else None
    return plain(
        (
            graph.results(),
            workers,
            task,
            graph.answered,
            documents,
            notices(options, plan, checkpoint),
        ),
        plan,
    )


def plain(value: Any, plan: SourcePlan | None = None, depth: int = 0) -> Any:
    """A value as nested tuples: equal where two things do the same."""
    again = functools.partial(plain, plan=plan, depth=depth + 1)
    assert depth < 60, f"{type(value)} holds itself"
    if isinstance(value, str | bytes | int | float | bool | Path | None):
        return value
    if isinstance(value, pa.Schema | pa.DataType):
        return str(value)
    if isinstance(value, Mapping):
        return tuple((key, again(item)) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(again(item) for item in value)
    if isinstance(value, functools.partial):
        return again(value.func), again(value.args), again(value.keywords)
    if isinstance(value, DecodeOptions):
        return _media(value, again, plan)
    if isinstance(value, types.FunctionType):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        return (
            value.__qualname__,
            again([one for one in held if one is not value]),
            again(value.__kwdefaults__),
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, again(
            {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        )
    if isinstance(value, type | types.BuiltinFunctionType | types.MethodType | types.ModuleType):
        return getattr(value, "__qualname__", repr(value))
    return type(value).__name__, again(vars(value)) if hasattr(value, "__dict__") else repr(value)


def _media(media: DecodeOptions, again: Callable[[Any], Any], plan: SourcePlan | None) -> Any:
    if plan is not None and plan.media_column is None and plan.format != "webdataset":
        return "no media"
    return media.kind, again({name: getattr(media, name) for name in READ_WITH[media.kind]})
