"""The preview: answers on the terminal, boxes in a file, and a bad file beside a good one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from testing.cluster import ROOT


def preview(*arguments: object, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/preview.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def test_answers_are_shown_and_a_broken_file_is_named(tmp_path: Path, model: Path) -> None:
    Image.new("RGB", (300, 200), "red").save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.pdf").write_bytes(b"no pages")
    schema = {"type": "object", "properties": {"x": {"enum": ["left", "right"]}}, "required": ["x"]}
    done = preview(
        *(tmp_path / "broken.pdf", tmp_path / "red.png", tmp_path / "broken.png", "--model", model, "--task", "ask"),
        *("--prompt", "Where is it?", "--json-schema", json.dumps(schema), "--max-new-tokens", 60),
    )
    assert done.returncode == 1
    assert "red.png  300x200" in done.stdout
    assert "broken.png: unsupported in decode" in done.stderr
    assert "broken.pdf: unsupported in explode" in done.stderr
    assert "tokens," in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "m"], "--inputs is required"),
        (["{picture}", "--model", "no/such/folder"], "no/such/folder"),
        (["{clip}", "--model", "{tiny}", "--task", "ocr"], "videos"),
        (["{picture}", "--model", "{tiny}", "--task", "read"], "--task read"),
        (["{picture}", "--model", "{tiny}", "--task", "ask"], "--prompt"),
        (["nowhere.png", "--model", "{tiny}"], "nowhere.png: no such file"),
        (["{picture}", "--model", "{tiny}", "--lora", "/no/such"], "--lora /no/such"),
        (["{picture}", "--model", "{tiny}", "--min-tiles", "8", "--max-tiles", "2"], "--min-tiles 8"),
        (["{picture}", "--model", "{tiny}", "--n", "3"], "--n 3 at --temperature 0"),
        (["{picture}", "--model", "{tiny}", "--phrase", "a dog"], "--phrase a dog has no effect"),
        (["{picture}", "--model", "{tiny}", "--log-probs"], "--log-probs"),
        (
            ["{picture}", "--model", "{tiny}", "--engine-args", '{{"quantisation": "awq"}}'],
            "Did you mean 'quantization'",
        ),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(
    arguments: list[str], said: str, model: Path, tmp_path: Path
) -> None:
    files = {"picture": tmp_path / "x.png", "clip": tmp_path / "x.mp4"}
    for file in files.values():
        file.write_bytes(b"not looked at")
    done = preview(*(argument.format(tiny=model, **files) for argument in arguments), timeout=300)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
