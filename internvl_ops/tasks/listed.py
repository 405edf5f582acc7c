"""Lists in the cells of a CSV, which can hold only text."""

from __future__ import annotations

import ast
import json
from typing import Any


def list_in(cell: str) -> list[Any] | None:
    """The list that a cell holds as JSON, or as pandas writes it (``['a', 'b']``); None if it holds
    none."""
    for read in (json.loads, ast.literal_eval):
        try:
            found: Any = read(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list | tuple):
            return list(found)
    return None
