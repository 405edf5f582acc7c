"""The table of tasks in docs/tasks.md."""

from __future__ import annotations

from pydantic import create_model

from internvl_ops.tasks import ask
from pipelines.options.job_options import PromptOptions
from pipelines.options.tasks import TASKS


def task_markdown() -> str:
    """The tasks as a Markdown table, for docs/tasks.md."""
    lines = [
        "| command | reads | asks by default | columns | tiles | new tokens |",
        "|---|---|---|---|---:|---:|",
    ]
    for row in TASKS.values():
        options = create_model("Options", __base__=(row.options, PromptOptions))
        for example in row.examples:
            task = row.task(options(**example.options), example.media, ("question", "phrase"))
            asked = f"`{task.prompt.splitlines()[0]}`"
            prompt = "*the row's question*" if task.prompt == ask().prompt else asked
            columns = ", ".join(f"`{column}`" for column in task.columns.names)
            lines.append(
                f"| `{row.name}` {example.shown} | {example.reads} | {prompt} | {columns} |"
                f" {row.tiles} | {task.max_new_tokens:,} |"
            )
    return "\n".join(lines)
