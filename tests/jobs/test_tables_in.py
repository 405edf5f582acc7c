"""The caption job over a table: one version for a run, only the wanted rows, and only what is new
the next night."""

import json

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from PIL import Image

from testing.commands import run_here
from tests.jobs.output import read_output

pytestmark = pytest.mark.usefixtures("ray_session")


def test_two_nights_over_a_delta_table(tmp_path, any_answer):
    table = tmp_path / "table"

    def night(first: int, last: int) -> tuple[str, dict]:
        rows = [
            {"id": f"r{n}", "image": f"{n}.png", "lang": ["de", "en"][n % 2], "n": n}
            for n in range(first, last)
        ]
        write_deltalake(
            str(table), pa.Table.from_pylist(rows), mode="append", partition_by=["lang"]
        )
        for n in range(first, last):
            Image.new("RGB", (64, 64), (n * 10, 0, 0)).save(table / f"{n}.png")
        where = ("--input", table, "--output", tmp_path / "out")
        chosen = ("--where", "lang = 'en'", "--columns", "n")
        done = run_here("caption_dataset.py", *where, *chosen, *any_answer)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, json.loads(
            max((tmp_path / "out" / "_runs").glob("*/run.json")).read_text()
        )

    said, record = night(0, 4)
    assert "2 units in = 2 results + 0 errors" in said
    assert record["input_snapshot"] == {"format": "delta", "version": 0}
    said, record = night(4, 8)
    assert "4 units in = 2 results + 0 errors + 2 already done" in said
    assert record["input_snapshot"]["version"] == 1
    results, _ = read_output(tmp_path / "out")
    assert dict(zip(results.id, results.n, strict=True)) == {"r1": 1, "r3": 3, "r5": 5, "r7": 7}
    assert "lang" not in results.columns
