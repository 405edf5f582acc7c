"""Captions, text, boxes and answers for images, pages and video clips, with the InternVL family.

    import internvl_batch

    internvl_batch.caption("s3://bucket/images/", "s3://bucket/captions",
    model="OpenGVLab/InternVL2_5-8B") captions =
    internvl_batch.caption(ray.data.read_parquet("rows.parquet"), model="OpenGVLab/InternVL2_5-8B")

docs/python.md is the guide. What is in ``__all__`` is public; everything else may change with any
version. Importing this package imports nothing else: each name loads what it needs at its first
use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from internvl_ops.errors import ConfigurationError, UnitError
    from internvl_ops.tasks import Answered, Conversation, Dialogue, Task
    from pipelines.library.calls import annotate, ask, caption, embed, ground, ocr, run
    from pipelines.library.previews import Answer, Answers, preview
    from pipelines.library.runs import Result, RunFailed
    from pipelines.options.registered_task import RegisteredTask

_PLACES = {
    **dict.fromkeys(
        ("annotate", "ask", "caption", "embed", "ground", "ocr", "run"), "pipelines.library.calls"
    ),
    **dict.fromkeys(("Answer", "Answers", "preview"), "pipelines.library.previews"),
    **dict.fromkeys(("Result", "RunFailed"), "pipelines.library.runs"),
    **dict.fromkeys(("Answered", "Conversation", "Dialogue", "Task"), "internvl_ops.tasks"),
    **dict.fromkeys(("ConfigurationError", "UnitError"), "internvl_ops.errors"),
    "RegisteredTask": "pipelines.options.registered_task",
}

__all__ = [
    "Answer",
    "Answered",
    "Answers",
    "ConfigurationError",
    "Conversation",
    "Dialogue",
    "RegisteredTask",
    "Result",
    "RunFailed",
    "Task",
    "UnitError",
    "annotate",
    "ask",
    "caption",
    "embed",
    "ground",
    "ocr",
    "preview",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
