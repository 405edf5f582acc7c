"""Files of the product that a reader takes in at once."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = 400


def test_no_file_is_long() -> None:
    files = [
        file
        for folder in ("internvl_batch", "internvl_ops", "pipelines", "jobs")
        for file in (ROOT / folder).rglob("*.py")
    ]
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert len(lines) > 200
    long = {name: number for name, number in lines.items() if number > LINES}
    assert long == {}, f"over {LINES} lines: give a part of each a file of its own"
