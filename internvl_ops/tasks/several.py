"""Several tasks over the same media in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.tasks.base import Row, Task
from internvl_ops.tasks.conversation import Answered, Conversation
from internvl_ops.tasks.outcomes import TEXT


def several(tasks: Sequence[Task]) -> Task:
    """One task that asks for all of ``tasks`` and has all their columns, with the raw answer of
    each as ``<task>_response``.

    Args:
        tasks: In the order in which they are asked.

    Raises:
        ConfigurationError: Two of them share a column, or the answers of one are not texts.
    """
    said = keyword("tasks", ",".join(task.name for task in tasks))
    for task in tasks:
        if task.outcome.name != TEXT.name:
            raise ConfigurationError(
                f"{said}: the answers of {task.name} are {task.outcome.name}, not texts. Run it as"
                " a job of its own."
            )
    fields: dict[str, pa.Field] = {}
    for task in tasks:
        for field in [*task.columns, pa.field(f"{task.name}_response", pa.string())]:
            if field.name in fields:
                raise ConfigurationError(
                    f"{said}: two of them have a column '{field.name}'. Run them as jobs of their"
                    " own."
                )
            fields[field.name] = field

    def converse(row: Row) -> list[Conversation]:
        asked = [
            (task.name, conversation)
            for task in tasks
            for conversation in task.converse(_own(row, task))
        ]
        return [replace(conversation, task=name) for name, conversation in asked]

    def parse(answered: Answered) -> Mapping[str, object]:
        values: dict[str, object] = {}
        notes: list[object] = []
        for task in tasks:
            its = replace(
                answered,
                dialogues=[one for one in answered.dialogues if one.conversation.task == task.name],
            )
            own: dict[str, Any] = dict(task.parse(its))
            notes += own.pop("notes", [])
            values |= {**own, f"{task.name}_response": its.response}
        return values | ({"notes": notes} if notes else {})

    return Task(
        name="annotate",
        prompt=" | ".join(task.prompt for task in tasks),
        columns=pa.schema(list(fields.values())),
        converse=converse,
        parse=parse,
        max_new_tokens=max(task.max_new_tokens for task in tasks),
        reads=tuple(dict.fromkeys(column for task in tasks for column in task.reads)),
        constrained=any(task.constrained for task in tasks),
        unparsed=next((task.unparsed for task in tasks if task.unparsed), None),
        text=next((task.text for task in tasks if task.text), None),
        parts=tuple(tasks),
        blank={name: value for task in tasks for name, value in task.blank.items()},
        details={name: value for task in tasks for name, value in task.details.items()},
    )


def _own(row: Row, task: Task) -> Row:
    """The row for one task. A row's question goes only to the task that asks questions."""
    return (
        row
        if task.name == "ask"
        else {name: value for name, value in row.items() if name != "question"}
    )
