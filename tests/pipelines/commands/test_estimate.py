"""What a job will take, from a sample of its manifest: tiles and tokens as the job has them, then
arithmetic."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import ray
from PIL import Image

from internvl_ops.cost import Cost, Roofline
from internvl_ops.errors import ConfigurationError
from internvl_ops.gpus import GPUS
from internvl_ops.models.family.registry import REGISTRY
from pipelines.commands import estimate_sample as sample
from pipelines.commands.estimate import ASSUMED, Estimate, estimate
from pipelines.commands.estimate_sample import SampledUnit, SampleResult
from pipelines.commands.job import check_job
from pipelines.options.tasks import job_options
from pipelines.options.tasks.caption import make_caption
from testing import corpus_documents
from testing.commands import run_here

Options = job_options("caption")

EIGHT = Cost(next(entry.architecture for entry in REGISTRY if entry.name == "InternVL2_5-8B"), 256)
# Width and height, and tiles of 112 pixels by the cards' rule: 2 by 1 and the thumbnail; one; 3 by
# 4 and the thumbnail.
SHAPES = {(160, 80): 3, (100, 100): 1, (600, 800): 13}


def write_manifest(folder: Path, copies: int) -> str:
    """Images of three shapes, and a row whose file is not there."""
    rows = []
    for width, height in SHAPES:
        name = f"{width}x{height}.png"
        Image.new("RGB", (width, height)).save(folder / name)
        rows += [{"id": f"{name}-{copy}", "image": name} for copy in range(copies)]
    rows.append({"id": "gone", "image": "gone.png"})
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder / "m.jsonl")


def of(uri: str, tmp_path: Path, model: Path, **more: object) -> Estimate:
    given = {
        "input": uri,
        "output": str(tmp_path / "out"),
        "model": str(model),
        "gpu": "l4",
        **more,
    }
    options = Options.model_validate(given)
    return estimate(options, *check_job(options, make_caption, writes=False))


class TestSample:
    def test_tiles_and_tokens_are_those_of_the_job(
        self, tmp_path: Path, tiny_checkpoint: Path
    ) -> None:
        found = of(write_manifest(tmp_path, 4), tmp_path, tiny_checkpoint, max_tiles=12)
        seen = found.sample.seen
        assert Counter(unit.tiles for unit in seen) == {tiles: 4 for tiles in SHAPES.values()}
        (text,) = {unit.prompt_tokens - 16 * unit.tiles for unit in seen}  # 16 tokens a tile
        assert text > 10
        assert {unit.new_tokens for unit in seen} == {30}
        assert found.sample.errors == {"not_found": 1}
        assert found.sample.prepare_s is not None
        assert found.rows == 13
        assert found.units == pytest.approx(12)

    def test_headers_say_the_same_as_decoding(
        self, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri = write_manifest(tmp_path, 4)
        prepared = of(uri, tmp_path, tiny_checkpoint, max_tiles=12).sample
        # one block, then headers
        monkeypatch.setattr(sample, "at_most", lambda seconds: iter([True]))
        looked_at = of(uri, tmp_path, tiny_checkpoint, max_tiles=12).sample
        assert looked_at.prepared <= sample.BLOCK
        assert Counter(looked_at.seen) == Counter(prepared.seen)
        assert looked_at.errors == prepared.errors

    def test_no_more_rows_than_asked_for(self, tmp_path: Path, tiny_checkpoint: Path) -> None:
        found = of(write_manifest(tmp_path, 4), tmp_path, tiny_checkpoint, sample_rows=5)
        assert found.sample.rows == 5
        assert found.units == pytest.approx(13)

    def test_a_document_is_its_pages(
        self, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # both are looked at, however slow the machine
        monkeypatch.setattr(sample, "PATIENCE_S", 200)
        for name, pages in (("a.pdf", 2), ("b.pdf", 4)):
            file = corpus_documents.make(corpus_documents.Document(pages=pages))
            (tmp_path / name).write_bytes(file)
        (tmp_path / "m.jsonl").write_text('{"document": "a.pdf"}\n{"document": "b.pdf"}\n')
        found = of(str(tmp_path / "m.jsonl"), tmp_path, tiny_checkpoint)
        assert found.sample.units_per_row == 3
        assert found.units == 6
        assert len(found.sample.seen) == 2
        assert "2 rows, 3.0 units each, of which 6 units can be asked about" in found.text()

    @pytest.mark.usefixtures("no_ray_session")
    def test_nothing_is_started_and_nothing_written(
        self, tmp_path: Path, tiny_checkpoint: Path
    ) -> None:
        of(write_manifest(tmp_path, 1), tmp_path, tiny_checkpoint)
        assert not ray.is_initialized()
        assert not (tmp_path / "out").exists()

    def test_of_nothing(self, tmp_path: Path, tiny_checkpoint: Path) -> None:
        (tmp_path / "m.jsonl").write_text('{"image": "gone.png"}\n')
        assert (
            "nothing to ask a model about"
            in of(str(tmp_path / "m.jsonl"), tmp_path, tiny_checkpoint).text()
        )
        (tmp_path / "m.jsonl").write_text("")
        assert (
            "nothing to ask a model about"
            in of(str(tmp_path / "m.jsonl"), tmp_path, tiny_checkpoint).text()
        )


def test_the_job_says_it_and_starts_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    where = ("--input", write_manifest(tmp_path, 2), "--output", tmp_path / "out")
    done = run_here("caption_dataset.py", *where, "--model", tiny_checkpoint, "--estimate")
    assert done.returncode == 0, done.stderr
    assert "7 rows, of which 6 units can be asked about" in done.stdout
    assert "GPU hours" in done.stdout
    assert not (tmp_path / "out").exists()


class TestArithmetic:
    """Two kinds of units of InternVL2.5-8B on an H100."""

    def made(self, **more: object) -> Estimate:
        seen = [SampledUnit(13, 3_400, 100), SampledUnit(1, 300, 100)]
        looked_at = SampleResult(
            3, prepared=2, seen=seen, errors=Counter(corrupt=1), prepare_s=0.02
        )
        return Estimate(looked_at, 3_000_000, Roofline(EIGHT, GPUS["h100"]), **more)  # type: ignore[arg-type]

    def test_units_hours_price_and_cores(self) -> None:
        roofline = Roofline(EIGHT, GPUS["h100"])
        each = [
            roofline.seconds(tiles, prompt, 100, ASSUMED).total
            for tiles, prompt in ((13, 3_400), (1, 300))
        ]
        made = self.made(price_per_gpu_hour=2.5)
        assert made.units == pytest.approx(2_000_000)
        assert made.units_per_second() == pytest.approx(2 / sum(each))
        assert made.gpu_hours == pytest.approx(1_000_000 * sum(each) / 3600)
        assert made.price == pytest.approx(2.5 * made.gpu_hours)
        assert made.cores_per_gpu == pytest.approx(0.02 * made.units_per_second())

    def test_shorter_answers_cost_less_and_longer_ones_are_not_allowed(self) -> None:
        assert self.made(answer_tokens=20).gpu_hours < self.made().gpu_hours
        assert self.made(answer_tokens=5_000).gpu_hours == self.made().gpu_hours

    def test_the_text_says_what_is_assumed(self) -> None:
        text = self.made(price_per_gpu_hour=2.5).text()
        for said in (
            "1 units cannot be read (1 corrupt)",
            "7.0 a unit; 1: 50%, 13: 50%",
            "all they may have; --completion-tokens N if you know better",
            "assuming 40% of its operations and 60% of its bandwidth",
            "GPU hours, ",
            "ms of a core a unit, measured here",
        ):
            assert said in text

    def test_an_unknown_gpu(self, tmp_path: Path, tiny_checkpoint: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"Known are b200, h200, h100"):
            of(write_manifest(tmp_path, 1), tmp_path, tiny_checkpoint, gpu="v9000")
