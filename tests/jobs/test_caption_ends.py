"""How the caption job ends when it does not simply finish: too many errors, a signal, a model that
does not load."""

import json
import signal
import subprocess
import sys

import pytest

from testing.cluster import ROOT, wait_for
from testing.datasets import write_images
from tests.jobs.output import read_output

pytestmark = pytest.mark.timeout(1500)


def start(folder, model, *more) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "jobs/caption_dataset.py",
        "--input",
        folder / "in",
        "--output",
        folder / "out",
    ]
    command += ["--model", model, "--max-new-tokens", "4", "--max-tiles", "1", *more]
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(*arguments) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=900)
    return process.returncode, out, err


def record(folder):
    (path,) = (folder / "out" / "_runs").glob("*/run.json")
    return json.loads(path.read_text())


@pytest.mark.slow
def test_more_errors_than_allowed_is_status_3_with_every_row_written(tmp_path, model):
    write_images(tmp_path / "in", 3, large=0)
    (tmp_path / "in" / "page.jpg").write_text("<html></html>")
    status, out, err = run(tmp_path, model, "--max-error-rate", "0.2")
    assert status == 3, out + err
    assert "25.0% of the units failed, more than --max-error-rate 20.0%" in out
    results, errors = read_output(tmp_path / "out")
    assert (len(results), len(errors)) == (3, 1)
    assert record(tmp_path)["status"] == "too many errors"
    assert record(tmp_path)["advice"] == "too short to say which stage bound the run"
    assert record(tmp_path)["rates"]["seconds"] > 0


def test_a_job_that_is_sure_to_have_too_many_errors_stops(tmp_path, model):
    (tmp_path / "in").mkdir()
    for number in range(400):
        (tmp_path / "in" / f"{number:03d}.jpg").write_text("<html></html>")
    status, out, err = run(tmp_path, model, "--max-error-rate", "0.1")
    assert status == 3, out + err
    assert "Stopped: " in out
    said = record(tmp_path)
    assert said["status"] == "too many errors"
    _, errors = read_output(tmp_path / "out")
    assert 40 < len(errors) == said["counts"]["errors"] < 400


def test_sigterm_leaves_what_is_written_valid_and_says_how_to_go_on(tmp_path, model):
    write_images(tmp_path / "in", 400, large=0)
    job = start(tmp_path, model, "--rows-per-file", "8", "--engine", "transformers")
    wait_for("the first results", lambda: list((tmp_path / "out" / "results").glob("*.parquet")))
    job.send_signal(signal.SIGTERM)
    out, err = job.communicate(timeout=600)
    assert job.returncode == 1, out + err
    assert "the same command goes on from here" in out
    results, _ = read_output(tmp_path / "out")
    assert 0 < len(results) == results.id.nunique() < 400
    assert record(tmp_path)["status"] == "interrupted"


def test_a_model_that_does_not_load_fails_the_job_with_its_reason(tmp_path, model):
    write_images(tmp_path / "in", 2, large=0)
    status, out, err = run(tmp_path, model, "--engine-args", '{"kv_cache_memory_bytes": 1}')
    assert status == 1, out + err
    assert "FAILED: " in out
    assert "EngineDead" in out.split("FAILED: ")[1].splitlines()[0]
    assert 'caption_dataset.py", line' not in err, (
        "the job's own traceback; Ray may print a worker's"
    )
    assert record(tmp_path)["status"] == "failed"
