"""A preview in this process: real preparing and a real conversation, with a stand-in for the
engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.tasks import caption
from pipelines.commands.preview import PreviewOptions, prepared_preview
from pipelines.commands.preview_run import Preview
from testing.cluster import ROOT

NANO = str(ROOT / "examples" / "nano" / "checkpoint")


class TalkingStandIn:
    """Instead of a model: says how many tiles it sees, or ``said``, a token at a time."""

    dead = False
    said = ""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer(load_checkpoint(NANO))

    async def start(self) -> None: ...

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        assert request.tiles is not None
        ids = list(
            self._tokenizer.encode(
                self.said or f"{len(request.tiles)} tiles, seed {sampling.seed}", start=False
            )
        )
        for length in range(1, len(ids) + 1):
            assert watch is not None
            watch(ids[:length])
        return Completion(ids, len(request.token_ids), "stop")

    def shutdown(self) -> None: ...


def run(tmp_path: Path, **chosen: object) -> int:
    files = {"wide.png": (900, 300), "square.png": (300, 300)}
    for name, size in files.items():
        Image.new("RGB", size, (200, 30, 30)).save(tmp_path / name)
    inputs = [str(tmp_path / name) for name in files]
    options = PreviewOptions.model_validate(
        {"model": NANO, "inputs": inputs, "max_tiles": 3} | chosen
    )
    prepared_preview(options)  # checks the options
    preview = Preview(options, load_checkpoint(NANO), {"image": caption()}, TalkingStandIn)
    return asyncio.run(preview.run())


def test_each_input_is_shown_with_its_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 0
    wide, square = capsys.readouterr().out.split("──")[1:]
    assert "wide.png  900x300, 4 tiles" in wide
    assert "4 tiles, seed 0" in wide
    assert "square.png  300x300, 1 tiles" in square
    assert "1 tiles, seed 0" in square
    assert "stop" in square


def test_several_answers_are_shown_one_after_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, n=2, temperature=0.7) == 0
    wide = capsys.readouterr().out.split("──")[1]
    assert wide.index("4 tiles, seed 0") < wide.index("4 tiles, seed 1")


def test_a_file_that_is_no_image_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    Image.new("RGB", (300, 300)).save(tmp_path / "fine.png")
    assert run(tmp_path, inputs=[str(broken), str(tmp_path / "fine.png")]) == 1
    said = capsys.readouterr()
    assert "broken.png" in said.err
    assert "1 tiles, seed 0" in said.out
