"""Completion in a shell: commands, options of the command, and values of an option."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Asks as the shell does: with the script that the command prints, and the line so far.
ASK = """
eval "$(internvl-batch completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDBREAKS=' '
read -ra COMP_WORDS <<< "$1"
_python_argcomplete internvl-batch
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the command `internvl-batch` of this checkout."""
    path = tmp_path_factory.mktemp("bin") / "internvl-batch"
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m internvl_batch "$@"\n'
    )
    path.chmod(0o755)
    return path.parent


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("internvl-batch cap", {"caption"}, {"ocr"}),
        ("internvl-batch ocr --ocr-", {"--ocr-format"}, {"--style"}),
        ("internvl-batch caption --style d", {"detailed", "dense"}, {"short"}),
        ("internvl-batch schema gr", {"ground"}, {"serve"}),
    ],
)
def test_bash_offers(program: Path, line: str, offered: set[str], not_offered: set[str]) -> None:
    environment = os.environ | {"PATH": f"{program}:{os.environ['PATH']}"}
    asked = subprocess.run(
        ["bash", "-c", ASK, "bash", line],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = {word.strip() for word in asked.stdout.splitlines()}
    assert offered <= found, asked.stderr
    assert not not_offered & found


@pytest.mark.parametrize(("shell", "word"), [("zsh", "compdef"), ("fish", "complete ")])
def test_other_shells_have_a_script(program: Path, shell: str, word: str) -> None:
    said = subprocess.run(
        [program / "internvl-batch", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    assert word in said.stdout
