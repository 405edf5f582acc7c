"""Vectors of pictures, pages, clips and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.tasks.base import Row, Task, bad_row, text_of
from internvl_ops.tasks.conversation import Answered, Conversation
from internvl_ops.tasks.labelling import COLUMNS as LABEL_COLUMNS
from internvl_ops.tasks.outcomes import NUMBERS, STATES

VectorType = Literal["float32", "float16"]
VECTOR = "vector"  # name of the column
VECTORS = "vectors"  # and of that with a vector for each token
_TYPES: dict[VectorType, tuple[pa.DataType, type[np.floating]]] = {
    "float32": (pa.float32(), np.float32),
    "float16": (pa.float16(), np.float16),
}


def embed(
    size: int,
    *,
    vector_type: VectorType = "float32",
    text_column: str | None = None,
    labels: Sequence[str] = (),
    states: bool = False,
    details: Mapping[str, object] | None = None,
) -> Task:
    """The task that makes a vector of each unit; column ``vector``, a list of fixed size.

    Args:
        size: Length of a vector.
        vector_type: Type of its numbers. float16 takes half the space; the numbers of a vector of
            length one keep three digits.
        text_column: Column with a text, which is embedded instead of pictures.
        labels: Labels of which the engine gives a probability each, after the vector. The task then
            has the columns ``label``, the likeliest, and ``labels``, all of them, likeliest first.
        states: Keep the vector of each token instead: column ``vectors``, a list of lists of fixed
            size. The engine then answers with `States`.
        details: As in `Task`.
    """
    number, array = _TYPES[vector_type]

    def converse(row: Row) -> list[Conversation]:
        if text_column is None:
            return [Conversation(("",))]
        text = text_of(row, text_column)
        if text is None:
            raise bad_row(f"nothing to embed: column '{text_column}' is null or empty")
        return [Conversation((text,))]

    def parse_states(answered: Answered) -> dict[str, object]:
        (values,) = answered.numbers
        return {VECTORS: list(_stored(np.frombuffer(values, np.float32).reshape(-1, size)))}

    def parse(answered: Answered) -> dict[str, object]:
        (values,) = answered.numbers
        if len(values) != size + len(labels):
            raise UnitError(
                "parse",
                "bad_answer",
                f"{len(values)} numbers; {size} of a vector and {len(labels)} are expected",
            )
        values, chances = values[:size], values[size:]
        return {VECTOR: _stored(values), **(_labelled(chances) if labels else {})}

    def _stored(values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            found = values.astype(array)
        if not np.isfinite(found).all():
            largest = (
                f"a number of the vector, {np.abs(values).max():g}, is too large for {vector_type}"
            )
            raise UnitError(
                "parse",
                "bad_answer",
                f"{largest}: leave the vectors at length one, or store float32",
            )
        return found

    def _labelled(chances: np.ndarray) -> dict[str, object]:
        order = np.argsort(-chances, kind="stable")
        return {
            "label": labels[order[0]],
            "labels": [{"label": labels[at], "probability": float(chances[at])} for at in order],
        }

    return Task(
        name="embed",
        prompt="",
        columns=pa.schema(
            [
                pa.field(VECTORS, pa.list_(pa.list_(number, size)))
                if states
                else pa.field(VECTOR, pa.list_(number, size)),
                *(LABEL_COLUMNS if labels else []),
            ]
        ),
        converse=converse,
        parse=parse_states if states else parse,
        reads=() if text_column is None else (text_column,),
        outcome=STATES if states else NUMBERS,
        details=details or {},
    )
