"""A model, adapter or number of GPUs that cannot work ends the job before anything is loaded, and
says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from testing.commands import Done, run, run_here
from testing.datasets import write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, 2, large=0)
    return folder


def caption(images: Path, out: Path, model: Path) -> Done:
    where = ("--input", images, "--output", out, "--model", model)
    return run("jobs/caption_dataset.py", *where)


def refused(images: Path, tmp_path: Path, model: Path, *more: str) -> str:
    where = ("--input", images, "--output", tmp_path / "out", "--model", model)
    done = run_here("caption_dataset.py", *where, *more)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "results").exists()
    return done.stderr


def test_gpus_that_the_heads_do_not_divide_by(images: Path, tmp_path: Path, model: Path) -> None:
    message = refused(images, tmp_path, model, "--gpus-per-engine", "3")
    assert "--gpus-per-engine 3" in message
    assert "2 attention heads" in message


def test_weights_that_are_cut_off(images: Path, tmp_path: Path, model: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors is" in refused(images, tmp_path, copy)


def test_an_adapter_that_is_not_there(images: Path, tmp_path: Path, model: Path) -> None:
    assert "--lora mine=/no/such" in refused(images, tmp_path, model, "--lora", "mine=/no/such")


@pytest.mark.slow
def test_a_model_too_big_for_the_machine(images: Path, tmp_path: Path, model: Path) -> None:
    """A terabyte of weights, all hole and no content: they would fail to load, so that nothing can
    have tried."""
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    size = 10**12
    header = json.dumps(
        {"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    ).encode()
    with (copy / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    done = caption(images, tmp_path / "out", copy)
    # only the engine's node knows its memory
    assert done.returncode == 1, done.stdout + done.stderr
    assert "931.3 for weights" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_chat_template_that_disagrees_is_said_once(
    images: Path, tmp_path: Path, model: Path
) -> None:
    done = caption(images, tmp_path / "out", model)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("has a chat template that differs from the conversation template") == 1
