"""Four jobs over bundled pictures and clips, one after the other, in one Ray session with one
engine.

`make demo` runs it. Each job is the one that its command runs alone, such as
`internvl-batch caption --input examples/demo/images --output demo-output --model
examples/nano/checkpoint`.

    python -m examples.demo.run
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipelines.commands.job import check_job
from pipelines.options.command_line import build_options, show
from pipelines.options.tasks import job_options
from pipelines.report.logs import configure

HERE = Path(__file__).parent
OUTPUT = Path("demo-output")
MODEL = HERE.parent / "nano" / "checkpoint"
# Command, its own options, and what is said before it.
JOBS: list[tuple[str, dict[str, Any], str]] = [
    ("caption", {"input": HERE / "images", "output": OUTPUT}, ""),
    (
        "ground",
        {"input": HERE / "phrases.jsonl", "output": OUTPUT / "boxes"},
        (
            "What phrases describe in the same pictures, what is written in others, and what moves"
            " in a clip:"
        ),
    ),
    ("ocr", {"input": HERE / "text", "output": OUTPUT / "text", "max_tiles": 6}, ""),
    ("ask", {"input": HERE / "questions.jsonl", "output": OUTPUT / "clips"}, ""),
]


def main() -> int:
    """Runs the jobs; returns the worst of their exit statuses."""
    configure(as_json=False)
    made = []
    for command, given, said in JOBS:
        cls = job_options(command)
        values = {
            name: str(value) if isinstance(value, Path) else value for name, value in given.items()
        }
        options = build_options(cls, {**values, "model": str(MODEL), "overwrite": True})
        made.append((options, *check_job(options, cls.make_task), said))
    # Ray takes seconds to import; what is wrong is said before.
    from pipelines.job_series import job_series

    status = 0
    with job_series(made[0][0], [one[0] for one in made]) as run_job:
        for options, plan, checkpoint, task, said in made:
            if said:
                show(said)
            record = run_job(options, plan, checkpoint, task)
            show(record.summary())
            status = max(status, record.exit_status)
    return status


if __name__ == "__main__":
    sys.exit(main())
