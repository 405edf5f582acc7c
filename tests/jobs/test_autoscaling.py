"""A cluster without a GPU that adds a node when the job asks for one, and takes it away after."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.cluster import RayHead, wait_for
from testing.datasets import write_images
from tests.jobs.output import read_output

pytestmark = pytest.mark.slow


def test_a_job_starts_on_no_gpu_node_and_leaves_none(tmp_path: Path, model: Path) -> None:
    write_images(tmp_path / "images", 12, large=0)
    head = RayHead({}, cpus=1, grows_by={"CPU": 3, "GPU": 1, "object_store_memory": 500_000_000})
    try:
        assert "GPU" not in head.resources()
        done = head.run(
            *(
                "jobs/caption_dataset.py",
                "--input",
                str(tmp_path / "images"),
                "--output",
                str(tmp_path / "out"),
            ),
            *(
                "--model",
                str(model),
                "--max-new-tokens",
                "8",
                "--retries",
                "0",
                "--max-tiles",
                "2",
                "--autoscaling",
            ),
            *("--engines", "1", "--gpus-per-engine", "1", "--prepare-actors", "1"),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results, errors = read_output(tmp_path / "out")
        assert (len(results), len(errors)) == (12, 0)
        wait_for("the node to be taken away", lambda: "GPU" not in head.resources())
    finally:
        head.stop()
