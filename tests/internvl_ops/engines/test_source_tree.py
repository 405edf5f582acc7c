"""The project as a cluster gets it by --working-dir: copied sources and an interpreter that it is
not installed in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from testing.running_engine import RunningEngine

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def ran(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What source_tree.py printed."""
    folder = tmp_path_factory.mktemp("source-tree")
    shutil.copytree(ROOT / "internvl_ops", folder / "code" / "internvl_ops")
    script = shutil.copy(Path(__file__).parent / "source_tree.py", folder / "code")
    # Every installed package but this project, for an interpreter that has none of them itself.
    packages = folder / "packages"
    packages.mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if "internvl" not in package.name:
            (packages / package.name).symlink_to(package)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "LD_PRELOAD")
    }
    done = subprocess.run(
        [sys._base_executable, script, str(tiny_checkpoint)],  # type: ignore[attr-defined]
        # An empty cache, so that vLLM inspects the model class in a process of its own.
        env={**environment, "PYTHONPATH": str(packages), "VLLM_CACHE_ROOT": str(folder / "cache")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert Path(answer["from"]).is_relative_to(folder / "code")
    return answer


def test_the_plugin_is_not_installed_there(ran: dict) -> None:
    assert not any("internvl" in value for value in ran["before"])


def test_the_plugin_is_found_in_vllms_processes(
    ran: dict, vllm_engine: RunningEngine, checkpoint: Checkpoint
) -> None:
    rendered = Renderer(checkpoint).render("Describe.", [2])
    tiles = np.arange(2 * 3 * 112 * 112, dtype=np.uint32).astype(np.uint8).reshape(2, 3, 112, 112)
    request = Request("one", rendered.token_ids, tiles, rendered.images, ["one of the source tree"])
    assert (
        ran["token_ids"] == vllm_engine.generate(request, Sampling(8, ignore_stop=True)).token_ids
    )


def test_an_engine_that_is_killed_says_so_to_all_that_wait(ran: dict) -> None:
    assert ran["alive_before"]
    assert ran["under_way"] == [True, True]
    assert ran["afterwards"] == [True]
    assert ran["dead"]
