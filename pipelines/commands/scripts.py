"""The scripts in jobs/: each runs one command. ``python -m pipelines.commands.scripts`` writes
them."""

from __future__ import annotations

from pathlib import Path

from pipelines.commands.registry import COMMANDS, PROGRAM

_DESCRIBED = "as a script; `pipelines.commands.registry` describes it."


def text(command: str) -> str:
    """The script of a command as it stands in jobs/."""
    return f'''"""The command `{PROGRAM} {command}` {_DESCRIBED}"""

from pipelines.commands.registry import main

if __name__ == "__main__":
    main("{command}")
'''


if __name__ == "__main__":
    for name, row in COMMANDS.items():
        if row.script:
            Path("jobs", row.script).write_text(text(name), encoding="utf-8")
