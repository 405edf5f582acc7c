"""A whole job whose input, media and checkpoint lie on the Hub; the output lies on disk."""

import io
import json
from pathlib import Path

from PIL import Image

from testing.commands import Done, run
from testing.hub import Hub, hub
from tests.jobs.output import read_output

# what is tested here is not the engine, and this one starts soonest
HOW = ("--engine", "transformers", "--max-new-tokens", "4")


def png(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()


def manifest(count: int) -> dict[str, bytes]:
    rows = [{"id": f"r{n}", "image": f"pictures/{n}.png"} for n in range(count)]
    pictures = {f"data/pictures/{n}.png": png(n * 20) for n in range(count)}
    return {"data/m.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(), **pictures}


def caption(served: Hub, folder: Path) -> Done:
    where = ("--input", "hf://datasets/lab/set/data/m.jsonl", "--output", folder / "out")
    return run(
        *("jobs/caption_dataset.py", *where, "--model", "lab/nano", *HOW),
        environment={"HF_ENDPOINT": served.url, "HF_HOME": str(folder / "hf")},
    )


def test_a_job_on_the_hub_and_the_next_night(tmp_path, model):
    files = {path.name: path.read_bytes() for path in Path(model).iterdir() if path.is_file()}
    with hub() as served:
        served.commit("models/lab/nano", files)
        served.commit("datasets/lab/set", manifest(3))
        done = caption(served, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 units in = 3 results + 0 errors" in done.stdout
        record = json.loads(max((tmp_path / "out" / "_runs").glob("*/run.json")).read_text())
        assert record["weights"].startswith("commit ")

        served.commit("models/lab/nano", {**files, "README.md": b"a better text"})
        served.commit("datasets/lab/set", manifest(4))
        done = caption(served, tmp_path)
        assert "4 units in = 1 results + 0 errors + 3 already done" in done.stdout, (
            done.stdout + done.stderr
        )
        results, _ = read_output(tmp_path / "out")
        assert sorted(results.id) == ["r0", "r1", "r2", "r3"]

        served.commit("models/lab/nano", {**files, "config.json": files["config.json"] + b" "})
        refused = caption(served, tmp_path)
        assert refused.returncode == 2
        assert "the files of --model are" in refused.stderr
