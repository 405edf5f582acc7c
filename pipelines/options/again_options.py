"""Options for going over an output again: some of its units, with another prompt, more tiles or
another model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class AgainOptions(BaseModel):
    """Again"""

    only: str | None = Field(None, description="Do only the units of an earlier output for which "
        "this is true: a condition in SQL (DuckDB) on its results, errors and reviews, such as "
        "\"finish_reason = 'repetition' OR review = 'bad'\". Their new rows replace the old ones; "
        "prompt, tiles and model may differ.")  # fmt: skip
    only_in: str | None = Field(None, description="The earlier output that --only looks at, if the "
        "answers go into a new --output. Default: --output itself.")  # fmt: skip
    join: tuple[str, ...] = Field((), description="More outputs about the same units for --only, "
        "as NAME=URI, such as scores=s3://bucket/scores or verdicts=s3://bucket/verdicts. The "
        "condition uses their columns by name, or as NAME.column. Repeat for more.")  # fmt: skip
    fallback: str | None = Field(None, description="Once --model has done all units and "
        "its engines have ended, repeat with this model those that failed, ran into a repetition "
        "loop or were cut off. The column model says which model answered.")  # fmt: skip
    fallback_base_url: str | None = Field(None, description="Address of the server of --fallback "
        "with --engine openai. Default: --base-url.")  # fmt: skip
    fallback_args: dict[str, Any] = Field({}, description="Engine arguments for --fallback as "
        "JSON, in the form of --engine-args.")  # fmt: skip
    keep_history: bool = Field(False, description="Keep the rows that --only or --fallback "
        "replaces, in history/ of the output.")  # fmt: skip
