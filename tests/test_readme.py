"""README and docs say what is so: tables are made from code and figures, links lead somewhere,
options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmarks.tables import BLOCKS, up_to_date
from pipelines.commands.registry import COMMANDS
from pipelines.flags import flag
from pipelines.options.command_line import MODES

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
OPTIONS: list[type[BaseModel]] = [
    command.options_class() for command in COMMANDS.values() if command.options
]
# Options of other programs that the pages show.
OTHERS = {
    "--working-dir": "ray job submit",
    "--colours": "examples/own_task.py",
    "--max-model-len": "vllm serve",
    "--trust-request-mm-kwargs": "vllm serve",
    "--new": "benchmarks.bench_rows",
    "--part": "benchmarks.bench_rows",
    "--no-deps": "pip",
    "--torch-backend": "uv pip",
    "--address": "ray job submit",
    "--build": "docker compose",
    "--array": "sbatch",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", BLOCKS, ids=lambda page: page.name)
def test_the_tables_are_up_to_date(page: Path) -> None:
    assert up_to_date(page) == page.read_text(), "run make renew"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parts[-3] != "examples"], ids=name_of
)
def test_options_that_a_page_names_exist(page: Path) -> None:
    known = {"--help", "--version", "--config", *OTHERS, *(flag(mode) for mode in MODES)}
    known |= {flag(name) for options in OPTIONS for name in options.model_fields}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", page.read_text()))
    assert not {
        name for name in named if name not in known and name.replace("--no-", "--") not in known
    }


def test_the_readme_is_read_in_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
