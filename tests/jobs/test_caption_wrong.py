"""The caption job called wrongly: exit status 2, and a message that names the option and the
mend."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testing.commands import Done, run, run_here
from testing.datasets import write_images


def caption(*arguments) -> Done:
    return run_here("caption_dataset.py", *arguments)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, 3, large=0)
    return folder


def refused(*arguments) -> str:
    done = caption(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def parquet(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def broken_model(tmp_path, model, **changes) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "config.json").unlink()
    config = json.loads((model / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_missing_options_are_all_named():
    message = refused()
    assert all(f"--{name} is required" in message for name in ("input", "output", "model"))


def test_input_that_is_not_there(tmp_path, model):
    message = refused(
        "--input", tmp_path / "none.parquet", "--output", tmp_path / "out", "--model", model
    )
    assert "--input" in message
    assert "none.parquet" in message


def test_manifest_that_is_not_what_its_suffix_says(tmp_path, model):
    (tmp_path / "rows.parquet").write_text("not parquet")
    message = refused(
        "--input", tmp_path / "rows.parquet", "--output", tmp_path / "out", "--model", model
    )
    assert "rows.parquet" in message


def test_suffix_nobody_knows(tmp_path, model):
    (tmp_path / "rows.sqlite").write_text("x")
    message = refused(
        "--input", tmp_path / "rows.sqlite", "--output", tmp_path / "out", "--model", model
    )
    assert "--input-format" in message


def test_missing_column_names_those_that_are_there(tmp_path, model):
    manifest = parquet(tmp_path / "rows.parquet", picture=["a.jpg"], title=["A"])
    message = refused("--input", manifest, "--output", tmp_path / "out", "--model", model)
    assert "--image-column" in message
    assert "picture" in message


def test_named_column_that_is_not_there(tmp_path, model):
    manifest = parquet(tmp_path / "rows.parquet", image=["a.jpg"])
    message = refused(
        "--input", manifest, "--output", tmp_path / "out", "--model", model, "--image-column", "img"
    )
    assert "--image-column img" in message


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is where nobody may write")
def test_output_that_cannot_be_written(images, model):
    message = refused("--input", images, "--output", "/proc/captions", "--model", model)
    assert "--output /proc/captions: not writable" in message


def test_output_of_an_unknown_scheme(images, model):
    assert "--output foo://x" in refused("--input", images, "--output", "foo://x", "--model", model)


def test_model_folder_without_config(tmp_path, images):
    message = refused("--input", images, "--output", tmp_path / "out", "--model", tmp_path)
    assert "config.json" in message
    assert str(tmp_path) in message


def test_model_of_another_family(tmp_path, images, model):
    other = broken_model(tmp_path, model, model_type="llama")
    assert "'llama'" in refused("--input", images, "--output", tmp_path / "out", "--model", other)


def test_unknown_template_names_the_known_ones(tmp_path, images, model):
    other = broken_model(tmp_path, model, template="vicuna")
    message = refused("--input", images, "--output", tmp_path / "out", "--model", other)
    assert "vicuna" in message
    assert "internvl2_5" in message


def test_forgotten_prefix_ends_the_job_with_the_option_to_add(tmp_path, model):
    manifest = parquet(
        tmp_path / "rows.parquet", image=[f"s3://elsewhere/{n}.jpg" for n in range(50)]
    )
    message = refused("--input", manifest, "--output", tmp_path / "out", "--model", model)
    assert "--allow s3://elsewhere/" in message


def test_wrong_configuration_is_said_before_anything_slow_is_even_imported(tmp_path, images, model):
    """What keeps the answer under two seconds: each of these takes seconds to import."""
    other = broken_model(tmp_path, model, template="vicuna")
    arguments = ["--input", images, "--output", tmp_path / "out", "--model", other]
    done = run("-X", "importtime", "jobs/caption_dataset.py", *arguments)
    assert done.returncode == 2
    imported = {
        line.rsplit("|", 1)[-1].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time")
    }
    assert "pydantic" in imported
    assert imported.isdisjoint({"ray", "torch", "transformers", "vllm", "s3fs"})


def test_dry_run_prints_options_and_plan_and_starts_and_writes_nothing(tmp_path, images, model):
    done = caption(
        "--input",
        images,
        "--output",
        tmp_path / "out",
        "--model",
        model,
        "--max-tiles",
        "9",
        "--dry-run",
    )
    assert done.returncode == 0, done.stderr
    assert "max-tiles: 9" in done.stdout
    assert "rows: 3" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("ray_session")
def test_too_few_cpus_are_said_at_start(tmp_path, images, model):
    done = caption(
        "--input",
        images,
        "--output",
        tmp_path / "out",
        "--model",
        model,
        "--prepare-actors",
        "4000",
    )
    assert done.returncode == 2, done.stderr
    assert "4001 CPUs" in done.stderr
    assert "--prepare-actors" in done.stderr


@pytest.mark.usefixtures("ray_session")
def test_an_empty_manifest_is_done_with_zero_rows(tmp_path, model):
    (tmp_path / "rows.jsonl").write_text("")
    done = caption(
        "--input", tmp_path / "rows.jsonl", "--output", tmp_path / "out", "--model", model
    )
    assert done.returncode == 0, done.stderr
    assert "0 units in = 0 results + 0 errors + 0 already done" in done.stdout


@pytest.mark.parametrize("option", ["--input", "--output", "--allow"])
def test_credentials_in_a_uri_are_not_repeated(tmp_path, images, model, option):
    arguments = {
        "--input": images,
        "--output": tmp_path / "out",
        "--allow": "https://me:s3cret@host/?sig=s3cret",
    }
    arguments[option] = "ftp://me:s3cret@host/x?sig=s3cret"
    said = refused(*(part for pair in arguments.items() for part in pair), "--model", model)
    assert "host/x" in said
    assert "s3cret" not in said


def test_a_dry_run_shows_no_secret(tmp_path, images, model):
    args = [
        "--engine-args",
        '{"hf_token": "s3cret"}',
        "--allow",
        "https://me:s3cret@host/a?sig=s3cret",
    ]
    done = caption(
        "--input", images, "--output", tmp_path / "out", "--model", model, "--dry-run", *args
    )
    assert done.returncode == 0, done.stderr
    assert "https://host/a?…" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_an_output_of_another_prompt_is_not_mixed_with_this_one(tmp_path, images, model):
    (tmp_path / "out" / "results").mkdir(parents=True)
    older = pa.table({"id": ["a"], "image": ["a.jpg"]})
    older = older.replace_schema_metadata({"task": "caption", "prompt": "Which colours?"})
    pq.write_table(older, tmp_path / "out" / "results" / "older.parquet")
    arguments = ["--input", images, "--output", tmp_path / "out", "--model", model]
    message = refused(*arguments)
    assert "--prompt 'Which colours?' there" in message
    assert caption(*arguments, "--prompt", "Which colours?", "--dry-run").returncode == 0
    assert caption(*arguments, "--overwrite", "--dry-run").returncode == 0


def test_an_estimate_for_an_unknown_gpu(images, tmp_path, model):
    message = refused(
        *("--input", images, "--output", tmp_path / "out", "--model", model),
        "--estimate",
        "--gpu",
        "v9000",
    )
    assert "--gpu v9000" in message
    assert "Known are b200, h200, h100" in message


def test_an_estimate_of_a_model_that_a_server_has(images, tmp_path):
    where = ("--engine", "openai", "--base-url", "http://127.0.0.1:9/v1", "--model", "some-model")
    message = refused("--input", images, "--output", tmp_path / "out", *where, "--estimate")
    assert "--estimate with --engine openai" in message
