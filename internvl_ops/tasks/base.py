"""What every task says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Answered:
    """One answered unit, as a task's parser sees it.

    Args:
        response: The model's text, special tokens kept, stop token removed.
        width: Of the upright original, in pixels; 0 without an image.
        height: Likewise.
    """

    response: str
    width: int
    height: int


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        name: As in ``jobs/<name>_dataset.py``.
        prompt: Asked where neither the job nor the row gives another.
        columns: The task's own result columns.
        parse: From an answer to a value for each of ``columns``. Raises ``UnitError`` of stage ``parse`` and kind
            ``bad_answer`` where the answer cannot be used.
    """

    name: str
    prompt: str
    columns: pa.Schema
    parse: Callable[[Answered], Mapping[str, object]]
