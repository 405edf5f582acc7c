"""The preview: answers on the terminal, boxes in a file, and a bad file beside a good one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from testing.commands import ROOT, Done, run, run_here
from tests.jobs.output import read_output


def preview(*arguments: object) -> Done:
    return run("jobs/preview.py", *arguments)


def test_answers_are_shown_and_a_broken_file_is_named(tmp_path: Path, model: Path) -> None:
    Image.new("RGB", (300, 200), "red").save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.pdf").write_bytes(b"no pages")
    schema = {"type": "object", "properties": {"x": {"enum": ["left", "right"]}}, "required": ["x"]}
    done = preview(
        *(
            tmp_path / "broken.pdf",
            tmp_path / "red.png",
            tmp_path / "broken.png",
            "--model",
            model,
            "--task",
            "ask",
        ),
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
        (["--model", "m"], "Nothing to preview"),
        (["{picture}", "--model", "no/such/folder"], "no/such/folder"),
        (["{clip}", "--model", "{tiny}", "--task", "ocr"], "videos"),
        (["{picture}", "--model", "{tiny}", "--task", "read"], "--task read"),
        (["{picture}", "--model", "{tiny}", "--task", "ask"], "--prompt"),
        (["nowhere.png", "--model", "{tiny}"], "nowhere.png: no such file"),
        (["{picture}", "--model", "{tiny}", "--lora", "/no/such"], "--lora /no/such"),
        (
            ["{picture}", "--model", "{tiny}", "--min-tiles", "8", "--max-tiles", "2"],
            "--min-tiles 8",
        ),
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
    given = [argument.format(tiny=model, **files) for argument in arguments]
    done = run_here("preview.py", *given)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_prompt_that_was_chosen_gives_the_same_answers_in_its_job(tmp_path: Path) -> None:
    nano, source, out = (
        ROOT / "examples/nano/checkpoint",
        ROOT / "examples/demo/images",
        tmp_path / "out",
    )
    engine = ["--model", nano, "--engine", "transformers"]
    compared = [
        "--prompt",
        "What is here?",
        "--prompt",
        "",
        "--choose",
        1,
        "--job",
        tmp_path / "job.yaml",
    ]
    done = preview(
        "--input",
        source,
        "--sample",
        3,
        *engine,
        *compared,
        "--page",
        tmp_path / "p.html",
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    shown = dict(re.findall(r"^── (\S+) .*\n1 {2}(.*?) {2,}2 {2}", done.stdout, re.MULTILINE))
    assert len(shown) == 3
    assert (tmp_path / "p.html").read_text().count("data:image/jpeg") == 3
    job = run("jobs/caption_dataset.py", "--config", tmp_path / "job.yaml", "--output", out)
    assert job.returncode == 0, job.stderr
    answers = read_output(out)[0].set_index("id").caption
    # a column breaks longer answers
    assert all(answers[name].startswith(said) for name, said in shown.items())
