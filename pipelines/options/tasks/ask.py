"""Answers to questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, ask
from internvl_ops.tasks.forms import read_schema
from pipelines.options.registered_task import Example, RegisteredTask


class AskOptions(BaseModel):
    """Question"""

    json_schema: str | None = Field(None, description="JSON schema that the answer must follow: a "
        "file, or the schema itself.")  # fmt: skip
    choices: tuple[str, ...] = Field((), description="Allow this answer. Repeat for more. A row's "
        "own choices column has priority.")  # fmt: skip


def make_ask(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    if "question" not in columns and not options.prompt:
        raise ConfigurationError(
            "Nothing to ask: the manifest has no column 'question'. Add it, or give --prompt TEXT."
        )
    return ask(
        prompt=options.prompt,
        json_schema=None if options.json_schema is None else read_schema(options.json_schema),
        choices=options.choices,
        in_manifest=columns,
        max_new_tokens=options.max_new_tokens,
    )


TASK = RegisteredTask(
    "ask",
    AskOptions,
    make_ask,
    tiles=12,  # as InternVL evaluates ChartQA
    media=("image", "document", "video"),
    text_alone=True,
    examples=(
        Example(
            "`question` column or `--prompt`",
            reads="images (one or several), pages, videos, text alone",
        ),
    ),
)
