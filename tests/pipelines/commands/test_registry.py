"""The command `internvl-batch`: it lists its commands at once, and runs what the scripts in jobs/
run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.commands import scripts
from pipelines.commands.registry import COMMANDS, main

ROOT = Path(__file__).parents[3]
NANO = ROOT / "examples" / "nano" / "checkpoint"
# Libraries whose import a person would wait for.
SLOW = {"ray", "torch", "vllm", "transformers", "pydantic", "pyarrow", "numpy", "yaml"}


def ended(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `internvl-batch`."""
    with pytest.raises(SystemExit) as end:
        main(argv=list(argv))
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_overview_names_every_command_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = ended(capsys, "--help")
    assert status == 0
    assert re.findall(r"^  (\w+) ", said, re.MULTILINE) == list(COMMANDS)
    assert max(map(len, said.splitlines())) <= 80


def test_the_overview_imports_no_library() -> None:
    program = (
        "import atexit, json, sys; atexit.register(lambda: print(json.dumps([*sys.modules])));"
        "from pipelines.commands.registry import main; main(argv=['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not SLOW & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["captoin"], "captoin: no such command. Did you mean caption?"),
        (["caption", "--stlye", "short"], "Did you mean --style?"),
        (
            ["caption", "--input", "i", "--output", "o", "--model", "m", "--style", "shrot"],
            "Did you mean short?",
        ),
        (["schema", "captoin"], "Did you mean caption?"),
        (["completion", "bsh"], "Did you mean bash?"),
        (["view"], "error: OUTPUTS is required: Outputs of jobs"),
        (["completion", "bash", "zsh"], "the name of one shell alone"),
        (["schema", "caption", "ocr"], "the name of one command alone"),
        (["serve", "--model", "m"], "--model: name the checkpoint first"),
        (["serve", str(NANO), "--host"], "--host: give a value after it"),
        (["serve", str(NANO), "--port", "http"], "--port http: give a number"),
        (["search", "--input", __file__, "--query-text", "x"], "Not a directory. Give a folder"),
        (["view", __file__], "Not a directory. Give a folder"),
        (["compact", "--output", __file__], "Not a directory"),
        (["filter", "--input", __file__, "--output", "o"], "Not a directory. Give a folder"),
        (["export", "--input", __file__, "--output", "o", "--to", "sft"], "no such folder"),
    ],
)
def test_what_was_meant_is_said(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    status, _, error = ended(capsys, *argv)
    assert status == 2
    assert said in error


def test_without_a_command_the_overview_is_shown_and_the_status_is_that_of_a_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, said, _ = ended(capsys)
    assert status == 2
    assert "Commands:" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_describes_itself_under_its_own_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said, _ = ended(capsys, name, "--help")
    assert status == 0
    assert f"internvl-batch {name}" in said


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row.script])
def test_a_script_in_jobs_runs_its_command(name: str) -> None:
    script = ROOT / "jobs" / COMMANDS[name].script
    assert script.is_file(), "run make renew"
    assert script.read_text() == scripts.text(name), "run make renew"


def test_every_script_in_jobs_has_a_command() -> None:
    found = {path.name for path in (ROOT / "jobs").glob("[a-z]*.py")}
    assert found == {row.script for row in COMMANDS.values() if row.script}


def test_a_plan_is_printed_by_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = str(ROOT / "examples/nano/checkpoint")
    given = (
        "--input",
        str(ROOT / "examples/demo/images"),
        "--output",
        str(tmp_path / "out"),
        "--model",
        model,
    )
    status, said, _ = ended(capsys, "caption", *given, "--dry-run")
    assert status == 0
    assert "# Plan" in said
