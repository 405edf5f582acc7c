"""Vectors of pictures in an object store, by a job that is killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from testing.cluster import ROOT, filesystem, wait_for
from testing.datasets import write_images
from testing.object_store import object_store
from testing.tiny.encoders import make_tiny_internvit

PICTURES = 2000


@pytest.mark.slow
def test_killed_and_started_again_every_picture_has_one_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_tiny_internvit(tmp_path / "model")
    write_images(tmp_path / "in", PICTURES, large=0)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with object_store(own_process=True) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fs = filesystem(environment)
        for bucket in ("pictures", "vectors"):
            fs.call_s3("create_bucket", Bucket=bucket)
        fs.put(f"{tmp_path / 'in'}/", "pictures/", recursive=True)
        command = [
            sys.executable,
            "jobs/embed_dataset.py",
            "--input",
            "s3://pictures/",
            "--output",
            "s3://vectors/out",
        ]
        command += ["--model", str(model), "--rows-per-file", "200", "--commit-seconds", "2"]
        job = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def files() -> list[str]:
            fs.invalidate_cache()
            return list(fs.glob("vectors/out/results/*.parquet"))

        wait_for("the first files", lambda: len(files()) > 2, seconds=600)
        job.send_signal(signal.SIGKILL)
        job.wait()
        written = sum(pq.read_metadata(fs.open(path)).num_rows for path in files())
        assert 0 < written < PICTURES
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert again.returncode == 0, again.stdout + again.stderr
        tables = [pq.read_table(fs.open(path)) for path in files()]
    ids = [name for table in tables for name in table["id"].to_pylist()]
    assert len(ids) == len(set(ids)) == PICTURES
    assert f"{PICTURES + 1:,} units in = " in again.stdout
    vectors = np.stack([np.array(one) for table in tables for one in table["vector"].to_pylist()])
    assert vectors.shape == (PICTURES, 128)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
