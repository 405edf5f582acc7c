"""How the caption job ends when it does not simply finish: too many errors, a signal, a model that
does not load."""

import json
import signal

import pytest

from testing.cluster import wait_for
from testing.commands import LIMIT_S, run_here, start
from testing.datasets import write_images
from tests.jobs.output import read_output


def options(folder):
    yield from ("--input", folder / "in", "--output", folder / "out")
    yield from ("--max-new-tokens", "4", "--max-tiles", "1")


def run(folder, *more) -> tuple[int, str, str]:
    done = run_here("caption_dataset.py", *options(folder), *more)
    return done.returncode, done.stdout, done.stderr


def record(folder):
    (path,) = (folder / "out" / "_runs").glob("*/run.json")
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_more_errors_than_allowed_is_status_3_with_every_row_written(tmp_path, model):
    write_images(tmp_path / "in", 3, large=0)
    (tmp_path / "in" / "page.jpg").write_text("<html></html>")
    status, out, err = run(tmp_path, "--model", model, "--max-error-rate", "0.2")
    assert status == 3, out + err
    assert "25.0% of the units failed, more than --max-error-rate 20.0%" in out
    results, errors = read_output(tmp_path / "out")
    assert (len(results), len(errors)) == (3, 1)
    assert record(tmp_path)["status"] == "too many errors"
    assert record(tmp_path)["advice"] == "too short to say which stage bound the run"
    assert record(tmp_path)["rates"]["seconds"] > 0


@pytest.mark.usefixtures("ray_session")
def test_a_job_that_is_sure_to_have_too_many_errors_stops(tmp_path, any_answer):
    (tmp_path / "in").mkdir()
    for number in range(400):
        (tmp_path / "in" / f"{number:03d}.jpg").write_text("<html></html>")
    status, out, err = run(tmp_path, *any_answer, "--max-error-rate", "0.1")
    assert status == 3, out + err
    assert "Stopped: " in out
    said = record(tmp_path)
    assert said["status"] == "too many errors"
    _, errors = read_output(tmp_path / "out")
    assert 40 < len(errors) == said["counts"]["errors"] < 400


def test_sigterm_leaves_what_is_written_valid_and_says_how_to_go_on(tmp_path, any_answer):
    write_images(tmp_path / "in", 400, large=0)
    more = (*any_answer, "--rows-per-file", "8")
    job = start("jobs/caption_dataset.py", *options(tmp_path), *more)
    wait_for("the first results", lambda: list((tmp_path / "out" / "results").glob("*.parquet")))
    job.send_signal(signal.SIGTERM)
    out, err = job.communicate(timeout=LIMIT_S)
    assert job.returncode == 1, out + err
    assert "the same command goes on from here" in out
    results, _ = read_output(tmp_path / "out")
    assert 0 < len(results) == results.id.nunique() < 400
    assert record(tmp_path)["status"] == "interrupted"


@pytest.mark.usefixtures("ray_session")
def test_a_model_that_does_not_load_fails_the_job_with_its_reason(tmp_path, model):
    write_images(tmp_path / "in", 2, large=0)
    status, out, err = run(
        tmp_path, "--model", model, "--engine-args", '{"kv_cache_memory_bytes": 1}'
    )
    assert status == 1, out + err
    assert "FAILED: " in out
    assert "EngineDead" in out.split("FAILED: ")[1].splitlines()[0]
    # the job's own traceback; Ray may print a worker's
    assert 'commands/job.py", line' not in err
    assert record(tmp_path)["status"] == "failed"
