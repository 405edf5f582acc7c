"""Turns answers into the task's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.replies import TEXT_LAYER
from internvl_ops.tasks import Task
from internvl_ops.tasks.text_layer import answer_of_layer, compared, located
from pipelines import columns as c
from pipelines.failures import errors_with, fill, one_by_one, outcomes
from pipelines.stages import wire


class Parse:
    """Actor that turns the replies of an engine into the task's columns.

    Args:
        checkpoint: Has the tokenizer of the answers; None if they need none.
        task: Task of the job.
        columns: The columns of its outcome.
        trust_remote_code: Let a tokenizer's own code run.
        compares: Whether rows have the columns of `columns.TEXT_LAYER`, with which answers are
            compared.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        task: Task,
        columns: pa.Schema,
        trust_remote_code: bool,
        compares: bool = False,
    ) -> None:
        self._tokenizer = (
            None
            if checkpoint is None
            else Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        )
        notes = pa.schema([c.PREPARED.field("notes")])
        added = [columns, task.columns, notes, *[c.COMPARED] * compares]
        self._task, self._columns, self._compares = task, pa.unify_schemas(added), compares

    def __call__(self, rows: pa.Table) -> pa.Table:
        return one_by_one(self._parse, rows, "parse")

    def _parse(self, rows: pa.Table) -> pa.Table:
        answers = outcomes(rows, "parse", self._columns_of)
        rows = c.set_errors(
            rows.drop_columns([c.REPLIES, c.UNASKED, c.PAGE_POINTS, c.LAYER_BOXES]),
            errors_with(rows, answers),
        )
        values = [None if isinstance(answer, UnitError) else answer for answer in answers]
        return fill(rows, "parse", values, self._columns)

    def _columns_of(self, row: pa.Table) -> dict[str, Any]:
        """The answer's columns for the single row in ``row``."""
        task, size = self._task, wire.size_of(row)
        (reason,) = wire.unasked_rows(row)
        if reason is not None:
            given = (
                answer_of_layer(task, row["text_layer"][0].as_py())
                if reason == TEXT_LAYER
                else task.blank
            )
            return {**task.outcome.unasked(reason), **given, "notes": row["notes"][0].as_py()}
        replies = wire.decode_replies(row, 0, task.outcome) or ()
        conversations = task.converse(wire.asked_of(row, task))
        values = task.outcome.result(task.parse, conversations, replies, size, self._decoded)
        values = values | {"notes": [*(row["notes"][0].as_py() or ()), *values["notes"]]}
        if self._compares:
            values |= located(values, wire.layer_lines(row), size)
            values |= self._compared(row, values)
        return values

    def _compared(self, row: pa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
        layer, doubts = (row[name][0].as_py() for name in ("text_layer", "text_layer_doubts"))
        return compared(self._task, values, layer or "", doubts or ())

    def _decoded(self, token_ids: Sequence[int]) -> str:
        assert self._tokenizer is not None, "answers without texts are of a checkpoint"
        return self._tokenizer.decode(token_ids, keep_special=True)
