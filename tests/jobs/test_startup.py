"""What a command does not import before it needs it: help and refusals come at once."""

import json
import subprocess
import sys

import pytest

from testing.cluster import ROOT

# Seconds each of import; what needs one of them imports it then.
SLOW = {
    "torch",
    "vllm",
    "ray",
    "transformers",
    "aiohttp",
    "jsonschema",
    "fsspec",
    "s3fs",
    "botocore",
    "cv2",
    "av",
}
PROGRAM = """
import atexit, json, runpy, sys
def tell():
    print("\\n" + json.dumps(sorted(name for name in sys.modules if "." not in name)))
atexit.register(tell)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NANO = ("--model", "examples/nano/checkpoint")


def run(job, *arguments):
    """Exit status, standard error, and the slow libraries that were imported."""
    command = [sys.executable, "-c", PROGRAM, f"jobs/{job}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr, SLOW & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "job", ["caption_dataset", "annotate_dataset", "evaluate_model", "preview"]
)
def test_help_imports_nothing_slow(job):
    assert run(job, "--help") == (0, "", set())


@pytest.mark.parametrize(
    ("job", "arguments", "message"),
    [
        ("caption_dataset", ("--no-such-option",), "--no-such-option"),
        (
            "caption_dataset",
            ("--input", "x", "--output", "y", *NANO, "--max-tiles", "many"),
            "--max-tiles many",
        ),
        (
            "caption_dataset",
            ("--input", "x", "--output", "y", "--model", "no-such-model"),
            "--model no-such-model",
        ),
        (
            "caption_dataset",
            ("--input", "no-such-file.jsonl", "--output", "y", *NANO),
            "no-such-file.jsonl does not exist",
        ),
        (
            "ocr_dataset",
            ("--input", "examples/demo/images", "--output", "y", *NANO, "--fps", "2"),
            "--fps 2",
        ),
        ("preview", ("README.md", *NANO, "--min-tiles", "8", "--max-tiles", "2"), "--min-tiles 8"),
        ("preview", ("README.md", "--model", "no-such-model"), "--model no-such-model"),
    ],
)
def test_a_refusal_imports_nothing_slow(job, arguments, message):
    status, said, imported = run(job, *arguments)
    assert status == 2
    assert message in said
    assert imported == set()


def test_a_plan_imports_no_engine(tmp_path):
    status, _, imported = run(
        "caption_dataset",
        "--input",
        "examples/demo/images",
        "--output",
        tmp_path / "out",
        *NANO,
        "--dry-run",
    )
    assert status == 0
    assert imported <= {"fsspec"}  # the output is looked at
