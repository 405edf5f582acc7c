"""Every architecture of the family, small: vLLM loads the published layout without remote code and
computes the same.

Both types of InternViT times the five backbones, each with the tokenizer it is published with. In
float32 the log-probabilities agree with those of a plain-torch forward to 1e-3; what each part
contributes is far above that, which is tested with the part left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.media.tiling import tile_image
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from testing.running_engine import RunningEngine
from testing.tiny import LANGUAGES, VISIONS, make_tiny_checkpoint, make_tiny_native_checkpoint
from tests.reference.internvl import ReferenceInternVL

TOLERANCE = 1e-3  # of log-probabilities
NOTICED = 0.1
QUICK = [("6b", "internlm2"), ("300m", "phi3")]
CELLS = [
    pytest.param(cell, id="-".join(cell), marks=() if cell in QUICK else pytest.mark.slow)
    for cell in [(vision, language) for language in LANGUAGES for vision in VISIONS]
]


def picture(seed: int) -> Image.Image:
    y, x = np.mgrid[0:223, 0:331]
    waves = 128 + 100 * np.sin(x / 17 + seed) * np.cos(y / 23)
    return Image.fromarray(
        np.stack([x * 255 / 331, y * 255 / 223, waves], axis=-1).astype(np.uint8)
    )


class Loaded:
    """One cell in vLLM and in plain torch."""

    def __init__(self, folder: Path, reference: ReferenceInternVL | None = None) -> None:
        self.folder = folder
        self.checkpoint = load_checkpoint(str(folder))
        self.renderer = Renderer(self.checkpoint)
        self.running = RunningEngine(VllmEngine(self.checkpoint, engine_args={"dtype": "float32"}))
        self.reference = reference or ReferenceInternVL(folder)

    def ask(
        self, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray, list[int], list[dict[int, float]]]:
        """Prompt, tiles, answer and its log-probabilities, of a picture of seven tiles."""
        tiles = tile_image(
            picture(seed), tile_size=self.checkpoint.tile_size, max_tiles=12, resize="exact"
        )
        rendered = self.renderer.render("Describe the picture.", [len(tiles)])
        request = Request(
            f"picture {seed}", rendered.token_ids, tiles, rendered.images, [f"picture {seed}"]
        )
        answer = self.running.generate(request, Sampling(6, ignore_stop=True, logprobs=20))
        return rendered.token_ids, tiles, answer.token_ids, answer.logprobs

    def difference(self, reference: ReferenceInternVL) -> float:
        """Largest difference of a log-probability that vLLM reports."""
        prompt, tiles, answer, logprobs = self.ask()
        expected = reference.logprobs(
            prompt, answer[:-1], tiles, self.renderer.tokenizer.image_context_id
        )
        return max(
            abs(float(expected[position, token]) - logprob)
            for position, likeliest in enumerate(logprobs)
            for token, logprob in likeliest.items()
        )


@pytest.fixture(scope="module", params=CELLS)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    vision, language = request.param
    cell = Loaded(
        make_tiny_checkpoint(
            tmp_path_factory.mktemp("cell") / "model", vision=vision, language=language
        )
    )
    yield cell
    cell.running.close()


class TestMatrix:
    def test_equals_a_plain_forward(self, loaded: Loaded) -> None:
        assert loaded.difference(loaded.reference) < TOLERANCE

    def test_another_picture_gives_another_answer(self, loaded: Loaded) -> None:
        assert loaded.ask(0)[3] != loaded.ask(5)[3]

    def test_norms_are_noticed(self, loaded: Loaded) -> None:
        """Leaving out what tells the InternViTs apart is seen."""
        wrong = ReferenceInternVL(loaded.folder)
        if wrong.config["vision_config"]["qk_normalization"]:
            wrong.config["vision_config"]["qk_normalization"] = False
        else:
            wrong.weights = {
                name: value
                for name, value in wrong.weights.items()
                if not name.endswith("qkv.bias")
            }
        assert loaded.difference(wrong) > NOTICED

    def test_the_prompt_is_its_template(self, loaded: Loaded) -> None:
        language = json.loads((loaded.folder / "config.json").read_text())["llm_config"][
            "model_type"
        ]
        assert language == loaded.checkpoint.backbone
        ids = loaded.renderer.render("Hi").token_ids.tolist()
        text = loaded.renderer.tokenizer.decode(ids, keep_special=True)
        assert loaded.checkpoint.system_message.replace(" ", "") in text.replace(" ", "")


@pytest.mark.slow
def test_an_earlier_layer(tmp_path: Path) -> None:
    """V1.1 uses the vision model's fourth layer from the end; the later ones are in its files all
    the same."""
    folder = make_tiny_checkpoint(
        tmp_path / "model", vision="6b", language="yi", select_layer=-2, layers=3
    )
    cell = Loaded(folder)
    assert cell.difference(cell.reference) < TOLERANCE
    cell.reference.config["select_layer"] = -1
    assert cell.difference(cell.reference) > NOTICED
    cell.running.close()


@pytest.mark.parametrize("vision", ["6b", pytest.param("300m", marks=pytest.mark.slow)])
def test_the_layout_of_transformers(tmp_path: Path, vision: str) -> None:
    """The same weights under transformers' own names give what the published ones give."""
    published = make_tiny_checkpoint(tmp_path / "published", vision=vision)
    cell = Loaded(
        make_tiny_native_checkpoint(tmp_path / "native", vision=vision),
        ReferenceInternVL(published),
    )
    try:
        assert cell.checkpoint.layout == "internvl"
        assert cell.difference(cell.reference) < TOLERANCE
    finally:
        cell.running.close()
