"""The wheel, unpacked away from this checkout: it has all that the commands need, and nothing
else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("internvl_batch", "internvl_ops", "pipelines", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds. Built from a copy, because the build leaves files beside
    the sources."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        built,
        copy,
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=300)
    (file,) = built.glob("*.whl")
    zipfile.ZipFile(file).extractall(built / "unpacked")
    return built / "unpacked"


def run(wheel: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`internvl-batch` of the wheel, in another folder."""
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    command = [sys.executable, "-m", "internvl_batch", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_it_has_the_packages_and_their_files(wheel: Path) -> None:
    assert {path.name for path in wheel.iterdir() if path.suffix != ".dist-info"} == {
        "internvl_batch", "internvl_ops", "pipelines",
    }  # fmt: skip
    assert (wheel / "internvl_batch" / "py.typed").is_file()
    here = {
        path.relative_to(ROOT)
        for name in SOURCES[:3]
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    wanted = {path for path in here if "__pycache__" not in path.parts and path.suffix != ".md"}
    assert {path for path in wanted if not (wheel / path).is_file()} == set()


def test_it_names_the_command_and_the_plugin_of_vllm(wheel: Path) -> None:
    (entry_points,) = wheel.glob("*.dist-info/entry_points.txt")
    text = entry_points.read_text()
    assert "internvl-batch = pipelines.commands.registry:main" in text
    assert "internvl_batch = internvl_ops.models.vllm_plugin:register" in text


def test_its_commands_run_in_another_folder(wheel: Path, tmp_path: Path) -> None:
    assert "Commands:" in run(wheel, tmp_path, "--help").stdout
    model, images = ROOT / "examples/nano/checkpoint", ROOT / "examples/demo/images"
    planned = run(
        wheel,
        tmp_path,
        "caption",
        "--input",
        str(images),
        "--output",
        "out",
        "--model",
        str(model),
        "--dry-run",
    )
    assert planned.returncode == 0, planned.stderr
    assert "# Plan" in planned.stdout


def test_a_task_of_the_folder_is_found(wheel: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/own_task.py", tmp_path / "mine.py")
    assert "--colours" in run(wheel, tmp_path, "run", "--task", "mine:colours", "--help").stdout
